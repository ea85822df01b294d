"""The history of one aggregate as a timeline: when, how long after the one before, what changed, and why."""

from collections.abc import Iterable
from typing import Any

import msgspec

from neural_hive.aggregates.aggregate import Aggregate
from neural_hive.aggregates.identity import derived_id
from neural_hive.connectors.kafka_log import Record
from neural_hive.replay.causes.node import Read
from neural_hive.replay.changes import Change
from neural_hive.replay.difference import cause_place
from neural_hive.replay.history import Folder, Happening, Step, steps
from neural_hive.replay.moment import Place, place_of
from neural_hive.replay.reader import LogSource
from neural_hive.replay.scan import records_at
from neural_hive.schemas.catalogue import UnknownSchema
from neural_hive.schemas.codec import BadRecord
from neural_hive.schemas.envelope import Header


class Reason(msgspec.Struct, frozen=True):
    """What caused an event."""

    id: str  # message_id, or the id of a timer that was due
    type: str  # of the message, or the timer's name; "" if that is not known
    place: str  # topic:partition:offset of the message; "" for a timer
    producer: str = ""  # who sent the message

    @property
    def text(self) -> str:
        """In words."""
        if not self.place:
            return f"timer {self.type}" if self.type else "a timer"
        return f"{self.type or 'a message that is not there any more'} {self.place}"


class Line(msgspec.Struct, frozen=True):
    """One event of the timeline."""

    happening: Happening
    since_us: int | None  # event time since the one before; None: it is the first
    changes: list[Change]
    reason: Reason


def timeline(
    source: LogSource, aggregates: Iterable[Aggregate[Any]], happenings: list[Happening], read: Read
) -> list[Line]:
    """The events of one aggregate. `read` decodes the messages that caused them. Raises NewerEvent; and what the source
    raises, save where causes lie that have expired.
    """
    aggregates = list(aggregates)
    places = {place_of(cause_place(happening)) for happening in happenings}
    messages = records_at(source, [place for place in places if place is not None])
    lines, earlier, timers, folder = list[Line](), None, dict[str, str](), Folder(aggregates)
    for step in steps(happenings, aggregates):
        at = step.happening.envelope.occurred_at
        since = None if earlier is None else at - earlier
        reason = _reason(step, messages, read) or _timer(step, folder, timers)
        lines.append(Line(step.happening, since, step.changes, reason))
        earlier = at
    return lines


def _reason(step: Step, messages: dict[Place, Record], read: Read) -> Reason | None:
    """The message that caused an event; None: it was a timer."""
    head = step.happening.envelope
    place = place_of(cause_place(step.happening))
    if place is None:
        return None
    header = _header(messages.get(place), read)
    if header is None:
        return Reason(head.causation_id, "", str(place))
    return Reason(head.causation_id, header.message_type, str(place), header.producer)


def _timer(step: Step, folder: Folder, known: dict[str, str]) -> Reason:
    """The aggregate's own timer that was due, by its name; `known` are those that events before this one have named."""
    head = step.happening.envelope
    if step.before is not None:
        aggregate = folder.aggregate(head.aggregate_type, step.happening.place.partition(":")[0])
        for name, due in aggregate.timers(step.before).items():
            known[derived_id(head.aggregate_id, name, str(due), str(head.version - 1))] = name
    return Reason(head.causation_id, known.get(head.causation_id, ""), "")


def _header(record: Record | None, read: Read) -> Header | None:
    try:
        head = read(record.value or b"").head if record is not None else None
    except (BadRecord, UnknownSchema):
        return None
    return head if isinstance(head, Header) else None
