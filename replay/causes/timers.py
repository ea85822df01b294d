"""Which timer an id stands for, and which event set it: what the log does not say, folding says.

Timers are not in the log, they follow from states. The id of one that came due follows from its aggregate, its name,
when it was due and the aggregate's version; so whoever folds the aggregates that it may have belonged to finds it.
"""

from collections.abc import Iterable
from typing import Any, Final

import msgspec

from neural_hive.aggregates.aggregate import Aggregate
from neural_hive.aggregates.identity import derived_id
from neural_hive.connectors.kafka_log import Record
from neural_hive.replay.envelopes import EnvelopeReader
from neural_hive.replay.history import Folder, NoBeginning, happening_of
from neural_hive.replay.reader import LogSource
from neural_hive.replay.scan import records
from neural_hive.schemas.catalogue import UnknownSchema
from neural_hive.schemas.codec import BadRecord

_NEEDLES_MAX: Final = 8  # more are sooner found by reading every envelope


class Timer(msgspec.Struct, frozen=True):
    """A timer that came due."""

    name: str
    due: int  # µs
    aggregate_type: str
    aggregate_id: str
    version: int  # of the aggregate when it came due
    set_by: str  # id of the event since which it stood so


class _Standing(msgspec.Struct):
    """One aggregate so far: its state, its timers, and since which event each of them stands."""

    state: Any = None
    timers: dict[str, tuple[int, str]] = {}
    version: int = 0


def timers_of(
    source: LogSource,
    aggregates: Iterable[Aggregate[Any]],
    wanted: Iterable[str],
    owners: Iterable[str],
) -> dict[str, Timer]:
    """The timers of these ids that belonged to aggregates with one of the ids `owners`, in one pass.

    Raises NewerEvent; and what the source raises.
    """
    own = [aggregate for aggregate in aggregates if aggregate.has_timers]
    wanted, owners, folder = frozenset(wanted), frozenset(owners), Folder(own)
    topics, names = sorted({aggregate.topic for aggregate in own}), {aggregate.name for aggregate in own}
    needles = owners if len(owners) <= _NEEDLES_MAX else ()
    found: dict[str, Timer] = {}
    standing: dict[tuple[str, str], _Standing] = {}
    read = EnvelopeReader().read
    for record in records(source, topics, needles=needles):
        if len(found) == len(wanted):
            break
        if (key := _key(record, read)) is not None and key[0] in names and key[1] in owners:
            one = standing.setdefault(key, _Standing())
            _note(record, key, folder, one)
            for name, (due, set_by) in one.timers.items():
                timer_id = derived_id(key[1], name, str(due), str(one.version))
                if timer_id in wanted:
                    found[timer_id] = Timer(name, due, *key, one.version, set_by)
    return found


def _note(record: Record, key: tuple[str, str], folder: Folder, one: _Standing) -> None:
    happening = happening_of(record)
    if happening is None or happening.envelope.version <= one.version:
        return
    try:
        one.state = folder.after(one.state, happening)
    except NoBeginning:
        return
    one.version = happening.envelope.version
    due = folder.aggregate(key[0], record.topic).timers(one.state)
    event_id = happening.envelope.event_id
    one.timers = {
        name: (at, one.timers[name][1] if name in one.timers and one.timers[name][0] == at else event_id)
        for name, at in due.items()
    }


def _key(record: Record, read: Any) -> tuple[str, str] | None:
    try:
        lead, rest = read(record.value or b"")
    except (BadRecord, UnknownSchema):
        return None
    return lead.aggregate_type, rest["aggregate_id"]
