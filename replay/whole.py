"""The whole system at a moment: every aggregate, folded in one pass over the log that keeps states only."""

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from neural_hive.aggregates.aggregate import Aggregate
from neural_hive.replay.changes import plain
from neural_hive.replay.history import Folder, Happening, happening_of
from neural_hive.replay.moment import NOW, BadMoment, Cut, Moment, cut_of
from neural_hive.replay.reader import LogSource
from neural_hive.replay.scan import divided

Key = tuple[str, str]  # aggregate type and id


class Standing(msgspec.Struct, frozen=True):
    """An aggregate as it stood."""

    version: int
    occurred_at: int  # of its last event, µs
    hash: str  # of its last event, SHA-256, hex
    state: Any


class Folded(msgspec.Struct, frozen=True):
    """One event of the log, folded: what was there before, what is there with it."""

    happening: Happening
    is_new: bool  # it comes after the first of two moments
    before: Standing | None
    after: Standing

    @property
    def key(self) -> Key:
        """Whose event it is."""
        return self.happening.envelope.aggregate_type, self.happening.envelope.aggregate_id


def whole(
    source: LogSource,
    aggregates: Iterable[Aggregate[Any]],
    moment: Moment = NOW,
    types: Iterable[str] = (),
) -> dict[Key, Standing]:
    """What every aggregate was, by type and id in their order; only those of some types, if any are named.

    Raises BadMoment, NewerEvent, NoBeginning; and what the source raises.
    """
    states: dict[Key, Standing] = {}
    for _ in folded(source, aggregates, states, None, moment, types):
        pass
    return dict(sorted(states.items()))


def folded(
    source: LogSource,
    aggregates: Iterable[Aggregate[Any]],
    states: dict[Key, Standing],
    since: Moment | None,
    until: Moment = NOW,
    types: Iterable[str] = (),
) -> Iterator[Folded]:
    """Folds the log up to a moment into `states`, event by event. Raises: see `whole`."""
    aggregates, types = list(aggregates), frozenset(types)
    topics = sorted({a.topic for a in aggregates})
    start, end = _cut(source, topics, since), _cut(source, topics, until) or Cut()
    own = [a.topic for a in aggregates if a.name in types]
    folder, last = Folder(aggregates), dict[tuple[str, int], int]()
    for record, is_new in divided(source, own or topics, start, end):
        happening = happening_of(record)
        if happening is None:
            continue
        head, at = happening.envelope, (record.topic, record.partition)
        if head.sequence <= last.get(
            at, 0
        ):  # the same event again, or another for its place: the first one counts
            continue
        last[at] = head.sequence
        if types and head.aggregate_type not in types:
            continue
        key = head.aggregate_type, head.aggregate_id
        before = states.get(key)
        state = folder.after(before.state if before else None, happening)
        states[key] = Standing(head.version, head.occurred_at, happening.hash, state)
        yield Folded(happening, is_new, before, states[key])


def known_types(aggregates: Iterable[Aggregate[Any]]) -> list[str]:
    """The names of the types, in their order."""
    return sorted({aggregate.name for aggregate in aggregates})


def fields(key: Key, standing: Standing) -> dict[str, Any]:
    """An aggregate as a machine reads it."""
    return {
        "aggregate_type": key[0],
        "aggregate_id": key[1],
        "version": standing.version,
        "occurred_at": standing.occurred_at,
        "hash": standing.hash,
        "state": plain(standing.state),
    }


def _cut(source: LogSource, topics: list[str], moment: Moment | None) -> Cut | None:
    if moment is None:
        return None
    if moment.version is not None:
        raise BadMoment(
            f"v{moment.version} is a version of one aggregate: for the whole system give a time or a record"
        )
    return cut_of(source, topics, moment)
