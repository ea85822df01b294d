"""The history of one aggregate as a timeline: when, how long after the one before, what changed, and why."""

from collections.abc import Iterable
from typing import Any

import msgspec

from neural_hive.aggregates.aggregate import Aggregate
from neural_hive.connectors.kafka_log import Record
from neural_hive.replay.causes.node import Read
from neural_hive.replay.causes.timers import Timer, timers_of
from neural_hive.replay.changes import Change
from neural_hive.replay.difference import cause_place
from neural_hive.replay.history import Happening, Step, steps
from neural_hive.replay.moment import Place, place_of
from neural_hive.replay.reader import LogSource
from neural_hive.replay.scan import records_at
from neural_hive.schemas.catalogue import UnknownSchema
from neural_hive.schemas.codec import BadRecord
from neural_hive.schemas.envelope import Header


class Reason(msgspec.Struct, frozen=True):
    """What caused an event."""

    id: str  # message_id, or the id of a timer that was due
    type: str  # of the message, or the timer's name and whose it is; "" if that is not known
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
    lines, earlier, timers = list[Line](), None, _timers(source, aggregates, happenings)
    for step in steps(happenings, aggregates):
        at = step.happening.envelope.occurred_at
        since = None if earlier is None else at - earlier
        reason = _reason(step, messages, read, timers)
        lines.append(Line(step.happening, since, step.changes, reason))
        earlier = at
    return lines


def _timers(
    source: LogSource, aggregates: list[Aggregate[Any]], happenings: list[Happening]
) -> dict[str, Timer]:
    """The timers that caused some of the events: the aggregate's own, or those of what it belongs to."""
    heads = [h.envelope for h in happenings if not h.envelope.source_topic]
    if not heads:
        return {}
    owners = {owner for head in heads for owner in (head.aggregate_id, head.correlation_id)}
    return timers_of(source, aggregates, {head.causation_id for head in heads}, owners)


def _reason(step: Step, messages: dict[Place, Record], read: Read, timers: dict[str, Timer]) -> Reason:
    head = step.happening.envelope
    place = place_of(cause_place(step.happening))
    if place is not None:
        header = _header(messages.get(place), read)
        told = (header.message_type, str(place), header.producer) if header else ("", str(place))
        return Reason(head.causation_id, *told)
    timer = timers.get(head.causation_id)
    if timer is None:
        return Reason(head.causation_id, "", "")
    whose = (
        "" if timer.aggregate_id == head.aggregate_id else f" of {timer.aggregate_type} {timer.aggregate_id}"
    )
    return Reason(head.causation_id, f"{timer.name}{whose}", "")


def _header(record: Record | None, read: Read) -> Header | None:
    try:
        head = read(record.value or b"").head if record is not None else None
    except (BadRecord, UnknownSchema):
        return None
    return head if isinstance(head, Header) else None
