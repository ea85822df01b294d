"""A partition's state, made anew from its events with the code that runs live, in a database of its own.

It is compared with the state that a processor keeps, and asked what an input that left nothing behind would do.
"""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from neural_hive.aggregates.aggregate import event_of
from neural_hive.connectors.kafka_log import Record
from neural_hive.replay.checks.chain import Event
from neural_hive.replay.checks.rocks import little
from neural_hive.replay.report import Check, Findings
from neural_hive.schemas.codec import Decoded, EventEncoder, payload_of
from neural_hive.streams.kernel.broadcast import Snapshot
from neural_hive.streams.kernel.bulk_fold import BulkFold
from neural_hive.streams.kernel.fold import Fold
from neural_hive.streams.kernel.inbox import open_mail
from neural_hive.streams.kernel.reading import RegistryAway
from neural_hive.streams.kernel.state import Position, Store
from neural_hive.streams.kernel.system import System
from neural_hive.streams.kernel.unit import Work

_CACHED_BYTES: Final = 2 << 20  # of rows; decoded they take several times that
_CHANGES_MAX: Final = 5_000  # of rows and all else that is kept until it is written
_LOGIC: Final = "0" * 16  # nothing that is decided here is written


class Mailed(msgspec.Struct, frozen=True):
    """A record as the kernel's inbox takes it: the append time is called `timestamp` there, ms."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]


def mailed(record: Record) -> Mailed:
    """The record as an inbox takes it."""
    return Mailed(
        record.topic,
        record.partition,
        record.offset,
        record.timestamp_ms,
        record.key,
        record.value,
        record.headers,
    )


class Refold:
    """The fold of one partition's events so far."""

    def __init__(
        self,
        system: System,
        partition: int,
        partitions_of: Mapping[str, int],
        folder: Path,
        read: Callable[[bytes], Decoded],
    ) -> None:
        """`read` decodes the messages of inputs, as the system's processor does."""
        self.sequence = 0
        self.last: dict[str, tuple[int, bytes]] = {}  # topic → offset and hash of its last event
        self._system, self._partition, self._partitions_of = system, partition, dict(partitions_of)
        self._store = Store(folder, chosen=little())
        self._read = read
        self._fold = Fold(system.all_aggregates, self._store, _CACHED_BYTES)
        self._bulk = BulkFold(self._fold)
        # What other systems said then is not known here, and what has no effect does not ask.
        self._views = {name: Snapshot(view.empty, {}, 0.0) for name, view in system.views.items()}
        self._encoders = {
            event.__name__: EventEncoder(event.__name__, aggregate.name, _LOGIC, system.name)
            for aggregate in system.all_aggregates
            for event in aggregate.events
        }

    def take(self, event: Event) -> None:
        """Folds the next event, if it is the first for its place. Raises BadRecord, LookupError: this build cannot."""
        rest = event.rest
        self.last[event.record.topic] = (event.record.offset, event.digest)
        if rest["sequence"] <= self.sequence:
            return  # recovery passes over it too
        value, of_type = event.record.value or b"", event.lead
        aggregate = self._fold.aggregates[of_type.aggregate_type]
        payload = payload_of(value, of_type.schema.id, event.payload_at)
        self._bulk.take(
            self._bulk.open(aggregate, rest["aggregate_id"]),
            event_of(aggregate, of_type.event_type, payload),
            rest["version"],
            rest["occurred_at"],
            event.digest,
            rest["causation_id"],
            event.record.key or b"",
            rest["correlation_id"],
            rest["trace_id"],
        )
        self.sequence = rest["sequence"]
        if self._fold.changes > _CHANGES_MAX:
            self._write()

    def has_no_effect(self, record: Record) -> bool:
        """Whether the system, in this state, would answer the record with nothing at all. Raises RegistryAway."""
        self._bulk.settle()
        work = Work(
            self._fold,
            self._partition,
            self._encoders,
            self._views,
            self._partitions_of,
            self._system.name,
            self.sequence,
        )
        try:
            mail = open_mail(self._system, self._read, mailed(record), self._partition, self._partitions_of)
            work.begin(mail.cause)
            mail.handler(work, mail.message)
        except RegistryAway:
            raise
        except Exception:  # a refusal of any kind would have left a dead letter
            return False
        finally:
            self._fold.undo()
        return not work.outputs

    def compare(self, kept: Store, position: Position, place: str, findings: Findings) -> None:
        """Notes every row, counter and timer of a processor's state that is not the fold of the log."""
        self._write()
        for topic, (offset, digest) in self.last.items():
            at = position.topics.get(topic)
            if at is None or at.offset != offset or at.hash != digest:
                found = "no position" if at is None else f"offset {at.offset}, hash {at.hash.hex()}"
                expected = f"offset {offset}, hash {digest.hex()}"
                findings.add(Check.STATE, f"{place} ({topic}:{self._partition})", "", expected, found)
        for key, expected_row, found_row in _paired(self._store.rows(), kept.rows()):
            findings.examined[Check.STATE] += 1
            if expected_row != found_row and not _same(expected_row, found_row):
                name = key[1:].replace(b"\0", b" ").decode(errors="replace")
                findings.add(Check.STATE, place, name, _text(expected_row), _text(found_row))

    def close(self) -> None:
        """Releases its database."""
        self._store.close()

    def _write(self) -> None:
        self._bulk.settle()
        self._fold.write(Position("", self.sequence, {}))


def _paired(
    left: Iterator[tuple[bytes, bytes]], right: Iterator[tuple[bytes, bytes]]
) -> Iterator[tuple[bytes, bytes | None, bytes | None]]:
    """Two sorted runs of rows side by side; None where one of them has no such key."""
    a, b = next(left, None), next(right, None)
    while a is not None or b is not None:
        if b is None or (a is not None and a[0] < b[0]):
            assert a is not None
            yield a[0], a[1], None
            a = next(left, None)
        elif a is None or b[0] < a[0]:
            yield b[0], None, b[1]
            b = next(right, None)
        else:
            yield a[0], a[1], b[1]
            a, b = next(left, None), next(right, None)


def _same(left: bytes | None, right: bytes | None) -> bool:
    """Equal values can have other bytes: the order of a map's keys."""
    if left is None or right is None:
        return False
    decoded: list[Any] = [msgspec.msgpack.decode(raw) for raw in (left, right)]
    return bool(decoded[0] == decoded[1])


def _text(row: bytes | None) -> str:
    return "no row" if row is None else str(msgspec.msgpack.decode(row))
