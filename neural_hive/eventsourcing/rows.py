"""How the index is laid out: the keys of its rows, and what stands in them.

An event stands under its originator and version, where aggregates are read; under its notification id stands where.
"""

import struct
from typing import Final

import msgspec

from neural_hive.eventsourcing.records import ORIGINATOR, UPSTREAM, Stored, Tracked
from neural_hive.streams.kernel.rocks import OWN

FORM: Final = 1  # of keys and rows; an index of another form is made anew
ID_BYTES_MAX: Final = 2**16 - 1
POSITION_KEY: Final = OWN + b"position"
_EVENT, _NOTIFICATION, _TRACKING, _LAST = b"e", b"n", b"t", b"l"
_AGGREGATE_TYPES: Final = {ORIGINATOR: b"o", UPSTREAM: b"u"}
_NUMBER_BYTES: Final = 8


class EventRow(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """An event; its originator's id and version are in the key."""

    notification_id: int
    is_uuid: bool
    topic: str
    state: bytes


class NotificationRow(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Where the event of a notification stands, and what it is about."""

    event_key: bytes
    topic: str


class TrackingRow(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """How far an upstream application was processed."""

    notification_id: int
    count: int


class Position(msgspec.Struct, frozen=True, array_like=True):
    """Which part of the log the index holds."""

    form: int
    topic_id: str  # Kafka's id of the topic: one made anew has another
    sequence: int = 0  # of the last record
    notification_id: int = 0  # the last one
    offset: int = -1  # of the last record
    hash: bytes = b""  # of the last record


def event_prefix(originator_id: str) -> bytes:
    """What the keys of an originator's events begin with."""
    name = originator_id.encode()
    return _EVENT + struct.pack(">H", len(name)) + name


def event_key(originator_id: str, version: int) -> bytes:
    """Where an event stands: ordered by its version within its originator."""
    return event_prefix(originator_id) + struct.pack(">Q", version)


def id_and_version(key: bytes) -> tuple[str, int]:
    """What an event's key says."""
    return key[3:-_NUMBER_BYTES].decode(), struct.unpack(">Q", key[-_NUMBER_BYTES:])[0]


def notification_key(notification_id: int) -> bytes:
    """Where a notification stands."""
    return _NOTIFICATION + struct.pack(">Q", notification_id)


def notification_id_of(key: bytes) -> int | None:
    """The id of a notification's key; None: it is the key of something else."""
    return struct.unpack(">Q", key[1:])[0] if key[:1] == _NOTIFICATION else None


def tracking_key(application_name: str) -> bytes:
    """Where it stands how far an upstream application was processed."""
    return _TRACKING + application_name.encode()


def last_key(content: Stored | Tracked) -> bytes:
    """Where the hash of the last record of the same originator, or upstream application, stands."""
    if isinstance(content, Stored):
        return _LAST + _AGGREGATE_TYPES[ORIGINATOR] + content.originator_id.encode()
    return _LAST + _AGGREGATE_TYPES[UPSTREAM] + content.application_name.encode()


def rows_of(content: Stored | Tracked) -> dict[bytes, bytes]:
    """What the index has of a record."""
    if isinstance(content, Tracked):
        tracked = TrackingRow(content.notification_id, content.count)
        return {tracking_key(content.application_name): msgspec.msgpack.encode(tracked)}
    key = event_key(content.originator_id, content.version)
    event = EventRow(content.notification_id, content.is_uuid, content.topic, content.state)
    notification = NotificationRow(key, content.topic)
    return {
        key: msgspec.msgpack.encode(event),
        notification_key(content.notification_id): msgspec.msgpack.encode(notification),
    }
