"""Reads the committed log of many partitions, each from its own position, and cuts it into batches.

No consumer group: positions live beside the rows that they stand for. What a record is, is looked at here only as
far as framing, schema id and kind go; ClickHouse decodes the rest.
"""

import time
from collections import deque
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Final

import structlog
from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

from neural_hive.connectors.kafka_log import Record
from neural_hive.connectors.publisher import KAFKA_LOG
from neural_hive.projections.archive import EVENTS, MESSAGES, Archive
from neural_hive.projections.container import Raw
from neural_hive.projections.ranges import Batch, Part, Place, Range
from neural_hive.schemas.catalogue import RecordKind, registered
from neural_hive.schemas.codec import FRAME_BYTES, BadRecord, schema_id
from neural_hive.schemas.topics import Kind

ROWS_MAX: Final = 100_000
BYTES_MAX: Final = 64 * 1024 * 1024
_CHUNK: Final = 1_000
_ROOM_BYTES: Final = 300  # of an insert, for what a record has beside its own bytes
_POLL_S: Final = 0.01
_IDLE_MOVE_S: Final = 10.0
_GROUP: Final = "neural-hive.projector"  # confluent-kafka wants a name; nothing is ever joined or committed
_PASSING: Final = (KafkaError._ALL_BROKERS_DOWN, KafkaError._TRANSPORT, KafkaError._TIMED_OUT)

log = structlog.get_logger(__name__)


class LogLost(RuntimeError):
    """The log does not have what the archive's position says it must: the archive may be the only copy."""


def archive_of(kind: Kind) -> Archive:
    """The table that a topic's records go to."""
    return EVENTS if kind is Kind.EVENT else MESSAGES


def looked_at(record: Record, archive: Archive) -> Raw:
    """The record with its schema id, or with the reason why it cannot be decoded."""
    value = record.value
    if value is None:
        return Raw(record, 0, "the value is null")
    known = _frames(archive.kind).get(value[:FRAME_BYTES])
    if known is not None:
        return Raw(record, known)
    try:
        number = schema_id(value)
    except BadRecord as error:
        return Raw(record, 0, str(error))
    row = registered().get(number)
    if row is None:
        return Raw(record, number, f"schema id {number} is not known to this build")
    if row.kind != archive.kind:
        return Raw(record, number, f"{row.name} is of kind {row.kind}, expected kind: {archive.kind}")
    return Raw(record, number)


@cache
def _frames(kind: RecordKind) -> dict[bytes, int]:
    """The first bytes of every record of a kind that this build knows, with their schema id."""
    return {b"\0" + n.to_bytes(4, "big"): n for n, row in registered().items() if row.kind == kind}


class Source:
    """The live log. Raises LogLost: a position is no longer in the log."""

    def __init__(
        self, config: Mapping[str, Any], archives: Mapping[str, Archive], starts: Mapping[Place, int]
    ) -> None:
        self._archives = archives
        self._nexts = dict(starts)
        self._moved: dict[Place, int] = {}  # past markers only: from where
        self._idle_at = 0.0
        # What has come and is in no batch yet: a batch of the broker may be many times larger once decompressed.
        self._arrived: deque[Message] = deque()
        self.stopped: dict[Place, str] = {}
        self._consumer = Consumer(_config(config), logger=KAFKA_LOG)
        self._consumer.assign([TopicPartition(t, p, offset) for (t, p), offset in starts.items()])

    def close(self) -> None:
        """Leaves the broker."""
        self._consumer.close()

    def stop(self, place: Place, reason: str) -> None:
        """Reads no more of a partition; the others go on."""
        if place not in self.stopped:
            self.stopped[place] = reason
            self._consumer.incremental_unassign([TopicPartition(*place)])
            log.error("partition stopped", topic=place[0], partition=place[1], reason=reason)

    def lags(self) -> dict[Place, int]:
        """Records and markers that are in the log and not yet read, as far as the broker has told."""
        found: dict[Place, int] = {}
        for place, following in self._nexts.items():
            if place not in self.stopped:
                _, high = self._consumer.get_watermark_offsets(TopicPartition(*place), cached=True)
                found[place] = max(0, high - following) if high >= 0 else 0
        return found

    def batch(self, linger_s: float, wanted: Callable[[], bool] = lambda: True) -> Batch:
        """What arrives within `linger_s`, or longer until it is wanted; less when a batch is full.

        So batches grow while the writer is busy, and stay small while it waits. Empty when nothing arrives.
        """
        found: dict[Place, list[Raw]] = {}
        rows = size_bytes = 0
        until = time.monotonic() + linger_s
        while rows < ROWS_MAX and size_bytes < BYTES_MAX:
            if not self._arrived:
                pause_s = max(until - time.monotonic(), _POLL_S)
                self._arrived.extend(self._consumer.consume(_CHUNK, pause_s))
            while self._arrived and rows < ROWS_MAX and size_bytes < BYTES_MAX:
                if raw := self._taken(self._arrived.popleft()):
                    found.setdefault((raw.record.topic, raw.record.partition), []).append(raw)
                    rows += 1
                    size_bytes += _size_bytes(raw.record)
            if time.monotonic() >= until and wanted():
                break
        nexts = {place: self._nexts[place] for place in {*found, *self._idly_moved()}}
        return Batch(tuple(self._part(place, tuple(raws)) for place, raws in found.items()), nexts)

    def _idly_moved(self) -> set[Place]:
        """Partitions whose position passed markers only; seldom told, since nothing depends on it soon."""
        if time.monotonic() < self._idle_at:
            return set()
        self._idle_at = time.monotonic() + _IDLE_MOVE_S
        moved, self._moved = set(self._moved), {}
        return moved

    def passed(self) -> dict[Place, tuple[int, int]]:
        """Positions that have passed markers only since they were told last: from where, and to where."""
        return {place: (before, self._nexts[place]) for place, before in self._moved.items()}

    def _part(self, place: Place, rows: tuple[Raw, ...]) -> Part:
        return part_of(place, self._archives[place[0]], rows)

    def _taken(self, message: Message) -> Raw | None:
        error = message.error()
        place: Place = (message.topic(), message.partition())
        if error is not None:
            self._note(error, place, message.offset())
            return None
        if place in self.stopped:
            return None
        raw = looked_at(_record(message, place), self._archives[place[0]])
        if raw.error and self._archives[place[0]].table == EVENTS.table:
            self.stop(place, f"offset {raw.record.offset}: {raw.error}")
            return None
        self._nexts[place] = raw.record.offset + 1
        self._moved.pop(place, None)
        return raw

    def _note(self, error: KafkaError, place: Place, offset: int) -> None:
        code = error.code()
        if code == KafkaError._PARTITION_EOF:
            if place not in self.stopped and offset > self._nexts[place]:
                self._moved.setdefault(place, self._nexts[place])
                self._nexts[place] = offset
        elif code in (KafkaError.OFFSET_OUT_OF_RANGE, KafkaError._AUTO_OFFSET_RESET):
            raise LogLost(f"{place[0]}:{place[1]} has no offset {self._nexts.get(place)}: {error.str()}")
        elif not (error.retriable() or code in _PASSING):
            raise LogLost(f"{place[0]}:{place[1]} cannot be read: {error.str()}")


def part_of(place: Place, archive: Archive, rows: tuple[Raw, ...]) -> Part:
    """The part that these records of one partition make."""
    first, last = rows[0].record.offset, rows[-1].record.offset
    return Part(Range(*place, first, last, len(rows)), archive, rows)


def _record(message: Message, place: Place) -> Record:
    headers = message.headers()
    return Record(
        *place,
        message.offset(),
        message.timestamp()[1],
        message.key(),
        message.value(),
        tuple(headers) if headers else (),
    )


def _size_bytes(record: Record) -> int:
    """About what a record takes in an insert."""
    held = sum([len(name) + len(value or b"") for name, value in record.headers])
    return len(record.value or b"") + len(record.key or b"") + held + _ROOM_BYTES


def _config(config: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **config,
        "group.id": _GROUP,
        "isolation.level": "read_committed",
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "enable.partition.eof": True,
        "auto.offset.reset": "error",
        "queued.max.messages.kbytes": BYTES_MAX // 1024,
        "queued.min.messages": ROWS_MAX,
        "fetch.message.max.bytes": 1024 * 1024,
        "fetch.wait.max.ms": 100,
        "fetch.queue.backoff.ms": 2,  # by default a full queue costs a second
        "max.poll.interval.ms": 86_400_000,  # while ClickHouse is away nothing is read
    }
