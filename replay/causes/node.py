"""What causes and is caused: events, the messages between them, and timers that came due."""

from collections.abc import Callable, Iterable
from enum import StrEnum
from typing import Any, Final

import msgspec

from neural_hive.aggregates.aggregate import Aggregate
from neural_hive.connectors.kafka_log import Record
from neural_hive.replay.history import Happening, NewerEvent, happening_of
from neural_hive.replay.moment import Place
from neural_hive.replay.steps.target import DEAD_LETTERS
from neural_hive.schemas.catalogue import UnknownSchema
from neural_hive.schemas.codec import BadRecord, Decoded
from neural_hive.schemas.envelope import Header
from neural_hive.streams.kernel.system import System

Read = Callable[[bytes], Decoded]  # decodes a message
_TOLD: Final = ("task_id", "attempt", "agent_id", "outcome", "reason", "error", "requested_by")
_TEXT_CHARS_MAX: Final = 500


class Kind(StrEnum):
    """What a node is."""

    EVENT = "event"
    MESSAGE = "message"
    TIMER = "timer"


class Node(msgspec.Struct, frozen=True):
    """One event, message or timer, and what it says caused it."""

    kind: Kind
    id: str  # event_id, message_id; of a timer, the id that its events name
    type: str  # name of the event or message; of a timer, its own
    place: str  # topic:partition:offset; "" for a timer
    at: int  # append time; of a timer, when it was due; µs
    occurred_at: int  # µs
    causation_id: str  # "" if nothing caused it
    cause_place: str  # of an event: where its cause was read; "" if that was a timer
    trace_id: str
    correlation_id: str
    aggregate_type: str  # "" for a message
    aggregate_id: str  # of a message: its routing id
    version: int  # of a timer: that of its aggregate when it came due; 0 for a message
    producer: str
    told: dict[str, Any] = {}  # a few of its fields, for people
    copies: tuple[str, ...] = ()  # other places of the same message: it was forwarded, or sent twice


class Topics(msgspec.Struct, frozen=True):
    """Where to look, and the aggregates whose events and timers are there."""

    events: tuple[str, ...]
    messages: tuple[str, ...]
    aggregates: tuple[Aggregate[Any], ...]

    @classmethod
    def of(cls, systems: Iterable[System]) -> "Topics":
        """Those of systems. Foreign topics are left out: their records are no messages."""
        systems = list(systems)
        messages = {
            topic
            for system in systems
            for topic in (*system.topics, *system.inputs)
            if topic not in system.inputs or not system.inputs[topic].is_foreign
        }
        return cls(
            tuple(sorted({topic for system in systems for topic in system.event_topics})),
            (*sorted(messages), DEAD_LETTERS),
            tuple(aggregate for system in systems for aggregate in system.all_aggregates),
        )


def node_of(record: Record, topics: Topics, read: Read) -> Node | None:
    """The node that a record is; None if it cannot be read. Raises NewerEvent."""
    if record.topic in topics.events:
        found = happening_of(record)
        return _event(found) if found is not None else None
    try:
        decoded = read(record.value or b"")
    except (BadRecord, UnknownSchema):
        return None
    return _message(record, decoded) if isinstance(decoded.head, Header) else None


def _event(found: Happening) -> Node:
    head = found.envelope
    source = Place(head.source_topic, head.source_partition, head.source_offset)
    return Node(
        Kind.EVENT,
        head.event_id,
        head.event_type,
        found.place,
        found.appended_at,
        head.occurred_at,
        head.causation_id,
        str(source) if head.source_topic else "",
        head.trace_id,
        head.correlation_id,
        head.aggregate_type,
        head.aggregate_id,
        head.version,
        head.producer,
        _few(found.payload),
    )


def _message(record: Record, decoded: Decoded) -> Node:
    head = decoded.head
    assert isinstance(head, Header)
    return Node(
        Kind.MESSAGE,
        head.message_id,
        head.message_type,
        str(Place(record.topic, record.partition, record.offset)),
        record.timestamp_ms * 1_000,
        head.occurred_at,
        head.causation_id,
        "",
        head.trace_id,
        head.correlation_id,
        "",
        head.routing_id,
        0,
        head.producer,
        _few(decoded.payload),
    )


def _few(payload: dict[str, Any]) -> dict[str, Any]:
    task = payload.get("task")
    given = {**payload, **({"task_id": task.get("task_id")} if isinstance(task, dict) else {})}
    found = {name: given[name] for name in _TOLD if given.get(name) not in (None, "", 0)}
    return {
        name: value[:_TEXT_CHARS_MAX] if isinstance(value, str) else value for name, value in found.items()
    }


__all__ = ["Kind", "NewerEvent", "Node", "Read", "Topics", "node_of"]
