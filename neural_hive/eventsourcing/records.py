"""The records of an application's log: an event of an aggregate, or how far an upstream application was processed.

Both are events of this project, with its envelope: `sequence` counts all records of the log, and `prev_hash` chains
those of one originator, and those that track one upstream application.
"""

from hashlib import sha256
from importlib.metadata import version
from typing import Any, Final

import msgspec

from neural_hive.aggregates.identity import derived_id
from neural_hive.schemas.catalogue import UnknownSchema
from neural_hive.schemas.codec import (
    BadRecord,
    EventEncoder,
    avro_bytes,
    decode,
    event_context,
    event_source,
)
from neural_hive.schemas.envelope import Envelope
from neural_hive.schemas.varint import avro_long

ORIGINATOR: Final = "originator"  # the two aggregate types
UPSTREAM: Final = "upstream"
VERSION_MAX: Final = 2**63 - 1
_NO_SOURCE: Final = event_source("", 0) + avro_long(0)


class Stored(msgspec.Struct, frozen=True, gc=False):
    """An event of an aggregate, as the library's mapper has written it."""

    originator_id: str
    is_uuid: bool
    version: int
    notification_id: int  # 1, 2, 3 … within the application
    topic: str
    state: bytes


class Tracked(msgspec.Struct, frozen=True, gc=False):
    """An upstream application, processed up to a notification."""

    application_name: str
    count: int  # 1, 2, 3 … for this application
    notification_id: int


class Entry(msgspec.Struct, frozen=True):
    """One record of the log."""

    content: Stored | Tracked
    sequence: int  # 1, 2, 3 … over all records of the log
    prev_hash: bytes
    hash: bytes  # SHA-256 of the record's value


class Insert(msgspec.Struct, frozen=True):
    """What all records of one insert have in common."""

    cause: str  # an id of the insert, a UUID
    occurred_at: int  # µs since 1970 UTC


class RecordWriter:
    """Writes the records of one topic."""

    def __init__(self, topic: str) -> None:
        self._topic = topic
        logic = f"eventsourcing-{version('eventsourcing')}"
        self._stored = EventEncoder("EventStored", ORIGINATOR, logic, topic)
        self._tracked = EventEncoder("NotificationTracked", UPSTREAM, logic, topic)

    def write(
        self, content: Stored | Tracked, sequence: int, prev_hash: bytes, insert: Insert
    ) -> tuple[Entry, bytes]:
        """The record and its value. Raises BadRecord: it does not fit, or is larger than a topic takes."""
        if isinstance(content, Stored):
            encoder, name, number = self._stored, content.originator_id, content.version
            payload: dict[str, Any] = {
                "notification_id": content.notification_id,
                "topic": content.topic,
                "originator_is_uuid": content.is_uuid,
                "state": content.state,
            }
        else:
            encoder, name, number = self._tracked, content.application_name, content.count
            payload = {
                "application_name": content.application_name,
                "notification_id": content.notification_id,
            }
        event_id = derived_id(self._topic, str(sequence), insert.cause)
        value = encoder.encode(
            event_id.encode(),
            avro_bytes(name.encode()),
            number,
            avro_long(insert.occurred_at),
            event_context(insert.cause, "", insert.cause.replace("-", "")),
            event_id.replace("-", "")[:16].encode(),
            sequence,
            _NO_SOURCE,
            prev_hash,
            payload,
        )
        return Entry(content, sequence, prev_hash, sha256(value).digest()), value


def read(value: bytes) -> Entry:
    """The record of a value. Raises BadRecord: it is none of an application's log."""
    try:
        decoded = decode(value, "event")
    except UnknownSchema as error:
        raise BadRecord(str(error)) from error
    head, payload = decoded.head, decoded.payload
    assert isinstance(head, Envelope)
    content: Stored | Tracked
    match head.event_type:
        case "EventStored":
            content = Stored(
                head.aggregate_id,
                payload["originator_is_uuid"],
                head.version,
                payload["notification_id"],
                payload["topic"],
                payload["state"],
            )
        case "NotificationTracked":
            content = Tracked(payload["application_name"], head.version, payload["notification_id"])
        case other:
            raise BadRecord(f"{other} is not a record of an application's log")
    return Entry(content, head.sequence, head.prev_hash, sha256(value).digest())
