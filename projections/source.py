"""Reads the committed log of many partitions, each from its own position, and cuts it into batches.

No consumer group: positions live beside the rows that they stand for. What a record is, is looked at here only as
far as framing, schema id and kind go; ClickHouse decodes the rest.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from typing import Any, Final

import structlog
from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

from neural_hive.connectors.kafka_log import Record
from neural_hive.connectors.publisher import KAFKA_LOG
from neural_hive.projections.archive import EVENTS, MESSAGES, Archive
from neural_hive.projections.groups import ROOM_BYTES, Group, Raw, grouped
from neural_hive.projections.ranges import Batch, Part, Place, Range
from neural_hive.schemas.catalogue import RecordKind, registered
from neural_hive.schemas.codec import FRAME_BYTES, BadRecord, schema_id
from neural_hive.schemas.topics import Kind

ROWS_MAX: Final = 100_000
BYTES_MAX: Final = 64 * 1024 * 1024
_CHUNK: Final = 1_000
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
    return Raw(record, *_schema_of(record.value, archive))


def _schema_of(value: bytes | None, archive: Archive) -> tuple[int, str]:
    """A record's schema id, and why it cannot be decoded; its first bytes decide."""
    if value is None:
        return 0, "the value is null"
    known = _frames(archive.kind).get(value[:FRAME_BYTES])
    if known is not None:
        return known, ""
    try:
        number = schema_id(value)
    except BadRecord as error:
        return 0, str(error)
    row = registered().get(number)
    if row is None:
        return number, f"schema id {number} is not known to this build"
    if row.kind != archive.kind:
        return number, f"{row.name} is of kind {row.kind}, expected kind: {archive.kind}"
    return number, ""


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
        self._arrived: Iterator[Message] = iter(())
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
        found = _Found()
        until = time.monotonic() + linger_s
        while True:
            self._take(found)
            if found.is_full or (time.monotonic() >= until and wanted()):
                break
            pause_s = max(until - time.monotonic(), _POLL_S)
            self._arrived = iter(self._consumer.consume(_CHUNK, pause_s))
        self._advance(found)
        nexts = {place: self._nexts[place] for place in {*found.places, *self._idly_moved()}}
        return Batch(tuple(self._part(place, groups) for place, groups in found.by_place()), nexts)

    def _take(self, found: "_Found") -> None:
        """Adds what has arrived, up to the limits. The inner loop of the projector: see groups.py."""
        groups, stopped = found.groups, self.stopped
        rows, size_bytes = found.rows, found.size_bytes
        for message in self._arrived:
            if (error := message.error()) is not None:
                self._advance(found)
                self._note(error, (message.topic(), message.partition()), message.offset())
                continue
            value = message.value()
            kind = (message.topic(), message.partition(), value and value[:FRAME_BYTES])
            if stopped and kind[:2] in stopped:
                continue
            group = groups.get(kind)
            if group is None:
                group = self._group(value, message)
                if group is None:
                    continue
                groups[kind] = group
            key, headers = message.key(), message.headers() or ()
            group.offsets.append(message.offset())
            group.timestamps_ms.append(message.timestamp()[1])
            group.keys.append(key)
            group.headers.append(headers)
            group.values.append(value)
            rows += 1
            size_bytes += ROOM_BYTES + (len(value) if value else 0) + (len(key) if key else 0)
            for name, held in headers:
                size_bytes += len(name) + (len(held) if held else 0)
            if rows >= ROWS_MAX or size_bytes >= BYTES_MAX:
                break
        found.rows, found.size_bytes = rows, size_bytes

    def _group(self, value: bytes | None, message: Message) -> Group | None:
        """What a record like this one goes to. None: it is an event that nobody can decode, and stops its partition."""
        place: Place = (message.topic(), message.partition())
        archive = self._archives[place[0]]
        number, why_not = _schema_of(value, archive)
        if why_not and archive.table == EVENTS.table:
            self.stop(place, f"offset {message.offset()}: {why_not}")
            return None
        return Group(*place, number, why_not)

    def _advance(self, found: "_Found") -> None:
        """Notes how far the partitions were read."""
        for group in found.groups.values():
            place = group.topic, group.partition
            following = group.offsets[-1] + 1
            if following > self._nexts[place]:
                self._nexts[place] = following
                self._moved.pop(place, None)

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

    def _part(self, place: Place, groups: tuple[Group, ...]) -> Part:
        return _part(place, self._archives[place[0]], groups)

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


class _Found:
    """A batch as it grows."""

    def __init__(self) -> None:
        self.groups: dict[tuple[str, int, bytes | None], Group] = {}  # by place and a record's first bytes
        self.rows = self.size_bytes = 0

    @property
    def is_full(self) -> bool:
        """Whether it may not grow any more."""
        return self.rows >= ROWS_MAX or self.size_bytes >= BYTES_MAX

    @property
    def places(self) -> set[Place]:
        """The partitions that it has records of."""
        return {(topic, partition) for topic, partition, _ in self.groups}

    def by_place(self) -> Iterable[tuple[Place, tuple[Group, ...]]]:
        """The groups of each partition."""
        found: dict[Place, list[Group]] = {}
        for (topic, partition, _), group in self.groups.items():
            found.setdefault((topic, partition), []).append(group)
        return ((place, tuple(groups)) for place, groups in found.items())


def part_of(place: Place, archive: Archive, rows: Iterable[Raw]) -> Part:
    """The part that these records of one partition make."""
    return _part(place, archive, tuple(grouped(rows)))


def _part(place: Place, archive: Archive, groups: tuple[Group, ...]) -> Part:
    first, last = min(g.offsets[0] for g in groups), max(g.offsets[-1] for g in groups)
    return Part(Range(*place, first, last, sum(len(g.offsets) for g in groups)), archive, groups)


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
