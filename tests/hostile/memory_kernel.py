"""The real partition of a real system, with its inbox, handlers, fold and timers, on a log and a disk in memory."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

import msgspec

from neural_hive.connectors.kafka_log import Record
from neural_hive.schemas.codec import Decoded, decode
from neural_hive.schemas.topics import MESSAGE_BYTES_MAX, TOPICS
from neural_hive.streams.kernel.broadcast import Snapshot
from neural_hive.streams.kernel.fold import Fold
from neural_hive.streams.kernel.inbox import DEAD_LETTERS
from neural_hive.streams.kernel.partition import Partition, Place
from neural_hive.streams.kernel.reading import MessageReader
from neural_hive.streams.kernel.recovery import recover
from neural_hive.streams.kernel.system import System
from neural_hive.streams.kernel.transport import Batch, Fetched
from neural_hive.streams.kernel.unit import Output
from tests.hostile.inputs import NOW
from tests.simulation.state import MemoryStore

EXPLAINED: Final = (
    "BadRecord",
    "PlainPersonalData",
    "Rejected",
    "UnknownSchema",
)  # what a record may be refused with
ROOM_BYTES: Final = 64 * 1024  # for key, headers and batch around a value, as the broker is told


class MemoryLog:
    """See PartitionLog: always there, and as strict about sizes as the broker."""

    def __init__(self, partition: int) -> None:
        self.partition = partition
        self.topics: dict[str, list[Record]] = {}
        self.ends: dict[str, int] = {}
        self.offsets: dict[str, int] = {}
        self.noted: set[str] = set()
        self.now = NOW

    def take_over(self) -> None:
        """See PartitionLog."""

    def committed(self, topics: Iterable[str]) -> dict[str, int]:
        """See PartitionLog."""
        return {topic: self.offsets.get(topic, -1) for topic in topics}

    def begun(self, topics: Iterable[str]) -> set[str]:
        """See PartitionLog."""
        return self.noted.intersection(topics)

    def note_begun(self, topics: Iterable[str]) -> None:
        """See PartitionLog."""
        self.noted.update(topics)

    def range(self, topic: str) -> tuple[int, int]:
        """See PartitionLog."""
        return 0, self.ends.get(topic, len(self.topics.get(topic, ())))

    def read(self, topic: str, first: int, end: int) -> Iterator[Record]:
        """See PartitionLog."""
        yield from self.topics.get(topic, [])[first:end]

    def at(self, partition: int) -> "MemoryLog":
        """See PartitionLog: all partitions are one here."""
        return self

    def ask_time(self, topic: str) -> int:
        """See PartitionLog."""
        return self.now

    def commit(self, outputs: list[Output], offsets: Mapping[str, int]) -> dict[str, int]:
        """See PartitionLog."""
        landed = {}
        for output in outputs:
            around = len(output.key or b"") + sum(
                len(name) + len(value or b"") for name, value in output.headers
            )
            known = TOPICS.get(output.topic)
            most = (known.bytes_max if known else MESSAGE_BYTES_MAX) + ROOM_BYTES
            assert len(output.value) + around <= most, f"the broker refuses a record for {output.topic}"
            log = self.topics.setdefault(output.topic, [])
            place = (output.topic, output.partition, len(log), self.now // 1_000)
            log.append(Record(*place, output.key, output.value, tuple(output.headers)))
            if output.hash is not None:
                landed[output.topic] = len(log) - 1
        self.offsets.update(offsets)
        return landed


class MemoryClock:
    """The log's clock."""

    def __init__(self, log: MemoryLog) -> None:
        self._log = log

    def now(self) -> int:
        """See Clock."""
        return self._log.now

    def elapsed_s(self) -> float:
        """See Clock."""
        return self._log.now / 1e6

    def sleep(self, seconds: float) -> None:
        """See Clock. Nothing here makes anybody wait."""
        raise AssertionError("the partition waits for a broker that is always there")


class Looked:
    """A view as it is now."""

    def __init__(self, look: Callable[[], Any]) -> None:
        self._look = look

    def snapshot(self) -> Snapshot[Any]:
        """See Broadcast.snapshot."""
        return Snapshot(self._look(), {}, 0.0)

    def read_to_end(self, within_s: float) -> None:
        """See Broadcast.read_to_end."""


class Outcome(msgspec.Struct, frozen=True):
    """What became of one record."""

    events: int
    letters: tuple[dict[str, Any], ...]
    forwarded: int
    sent: tuple[Record, ...]


class MemoryKernel:
    """Partition 0 of a system, as if its topics had `count` partitions."""

    def __init__(
        self,
        system: System,
        views: Mapping[str, Callable[[], Any]],
        count: int = 2,
        read: Callable[[bytes], Decoded] | None = None,
    ) -> None:
        self.system, self.log = system, MemoryLog(0)
        self._disk: dict[str, dict[bytes, bytes]] = {}
        self._place = Place(
            {},
            Path("state"),
            {topic: f"id-{topic}" for topic in system.event_topics},
            dict.fromkeys((*TOPICS, *system.topics, *system.event_topics), count),
            "logic",
            "state",
            30.0,
            read or MessageReader(),
            MemoryClock(self.log),
            partial(_store, self._disk),  # type: ignore[arg-type]
            lambda group, transactional_id, number: self.log,
        )
        self._looked: Any = {name: Looked(look) for name, look in views.items()}
        self.restart()

    def restart(self) -> None:
        """Another process takes over; the disk is the same."""
        self.partition = Partition(self.system, 0, self._place, self._looked)
        self.partition.open()

    def take(
        self,
        topic: str,
        value: bytes | None,
        key: bytes | None = b"k",
        headers: tuple[tuple[str, bytes | None], ...] = (),
    ) -> Outcome:
        """One record arrives, and is done with."""
        at = self.log.ends.get(topic, 0)
        self.log.ends[topic] = at + 1
        record = Fetched(topic, 0, at, self.log.now // 1_000, key, value, headers)
        return self._step([Batch(topic, 0, at, at + 1, [record], len(value or b""))])

    def pass_time(self, us: int) -> Outcome:
        """Time passes, and timers that are due fire."""
        self.log.now += us
        outcomes = [self._step([]) for _ in range(3)]
        failed = list(self.partition._failed_timers)
        assert not failed, f"a timer failed: {failed}"
        return outcomes[0]

    def _step(self, batches: list[Batch]) -> Outcome:
        before = {topic: len(log) for topic, log in self.log.topics.items()}
        while not self.partition.step(batches):
            pass  # the registry was away
        new = [r for topic, log in self.log.topics.items() for r in log[before.get(topic, 0) :]]
        letters = tuple(decode(r.value or b"", "message").payload for r in new if r.topic == DEAD_LETTERS)
        for letter in letters:
            assert letter["error_type"] in EXPLAINED, f"{letter['error_type']}: {letter['reason']}"
            assert letter["reason"], letter
        events = sum(r.topic in self.system.event_topics for r in new)
        forwarded = sum(r.topic == self.system.repartition for r in new)
        others = (DEAD_LETTERS, self.system.repartition, *self.system.event_topics)
        return Outcome(events, letters, forwarded, tuple(r for r in new if r.topic not in others))

    def check_state(self) -> None:
        """The state is what the log says."""
        disk: dict[str, dict[bytes, bytes]] = {}
        fresh = _store(disk, Path("fresh"))
        fold = Fold(self.system.all_aggregates, fresh)  # type: ignore[arg-type]
        recover(fold, self.log, self._place.topic_ids, "state")
        kept = _store(self._disk, Path("state") / "state")
        assert dict(kept.rows()) == dict(fresh.rows()), "the state is not the fold of the log"


def _store(disk: dict[str, dict[bytes, bytes]], folder: Path) -> MemoryStore:
    return MemoryStore(disk, folder, lambda step: None)
