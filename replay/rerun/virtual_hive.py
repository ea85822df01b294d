"""Systems at work in a time of their own: the real partitions, with inbox, handlers, fold, timers; in one thread."""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import msgspec

from neural_hive.connectors.kafka_log import Record
from neural_hive.replay.checks.inputs import Read
from neural_hive.replay.rerun.memory_broker import Heard, LatestView, MemoryBroker, MemoryLog, VirtualClock
from neural_hive.replay.rerun.then.memory_store import MemoryStore
from neural_hive.schemas.topics import partition_of
from neural_hive.streams.kernel.fold import NEVER
from neural_hive.streams.kernel.partition import Partition, Place
from neural_hive.streams.kernel.system import System
from neural_hive.streams.kernel.transport import Batch, batches_of

MILLISECOND: Final = 1_000  # µs
ROUNDS_MAX: Final = 100_000  # in one moment: whoever goes on for longer never ends
_LOGIC: Final = "0" * 16  # nobody keeps what is decided here
Seat = tuple[str, int]


class NeverEnds(RuntimeError):
    """The systems go on and on without any time passing: what they decide causes itself."""


class VirtualHive:
    """The systems, each with its partitions, on one broker."""

    def __init__(
        self,
        systems: Iterable[System],
        partitions: Mapping[str, int],
        lags_ms: Mapping[str, int],
        now: int,
        read: Read,
        heard: Heard,
    ) -> None:
        """By the systems' names: how many partitions each has, and how long after a record's append it is answered.
        `heard` is told of each record that is appended.
        """
        self._lags_ms = lags_ms
        self.broker = MemoryBroker(now, heard)
        # A partition looks for older states and people's words in its folder: in one that nobody else has.
        self._folder = TemporaryDirectory(prefix="neural-hive-rerun-")
        self.systems = {system.name: _unobserved(system) for system in systems}
        self.counts = _counts(self.systems, partitions)
        self.seats = {
            (name, number): self._open(system, number, read)
            for name, system in sorted(self.systems.items())
            for number in range(partitions[name])
        }

    def _open(self, system: System, number: int, read: Read) -> Partition:
        broker, counts = self.broker, self.counts
        views: Any = {
            name: LatestView(view, broker, counts[view.topic]) for name, view in system.views.items()
        }
        place = Place(
            {},
            Path(self._folder.name) / system.name / str(number),
            {topic: topic for topic in system.event_topics},
            counts,
            _LOGIC,
            _LOGIC,
            0.0,
            read,
            VirtualClock(broker),
            lambda folder: MemoryStore(),  # type: ignore[arg-type, return-value]
            partial(_log, broker),
        )
        partition = Partition(system, number, place, views)
        partition.open()
        return partition

    def say(self, topic: str, routing_id: str, value: bytes, headers: Any = ()) -> None:
        """Appends a message from outside, where it belongs."""
        key = routing_id.encode()
        self.broker.append(topic, partition_of(key, self.counts[topic]), key, value, tuple(headers))

    def work(self) -> None:
        """Does all there is to do at this moment. Raises NeverEnds."""
        for _ in range(ROUNDS_MAX):
            if not sum(self._step(seat) for seat in self.seats):
                return
        raise NeverEnds(f"after {ROUNDS_MAX:,} rounds in one moment there is still something to do")

    def _step(self, seat: Seat) -> bool:
        """Whether there was anything."""
        partition, number = self.seats[seat], seat[1]
        batches = list[Batch]()
        until_ms = self.broker.now // 1_000 - self._lags_ms[seat[0]]
        for topic, first in partition.next.items():
            log = self.broker.logs.get((topic, number), [])
            end = bisect_right(log, until_ms, first, key=_appended_ms)
            if first < end:
                batches += batches_of(log[first:end], topic, number, first, end)
        if not batches and partition.fold.next_due >= self.broker.now:
            return False
        before = partition.commits
        partition.step(batches)
        return partition.commits != before or bool(batches)

    @property
    def has_unread(self) -> bool:
        """Whether anything was said that was not answered yet."""
        return any(self._heard_at(seat) != NEVER for seat in self.seats)

    @property
    def next_due(self) -> int:
        """When something is to be done if nobody says anything, µs. Call it when nothing is left to do now."""
        return min(self._next_due(seat) for seat in self.seats)

    def _next_due(self, seat: Seat) -> int:
        """A timer fires in the millisecond after it is due, and when all inputs of then are read."""
        heard_at, due = self._heard_at(seat), self.seats[seat].fold.next_due
        if due == NEVER or (due < self.broker.now and heard_at != NEVER):
            return heard_at
        return min(heard_at, max((due // MILLISECOND + 1) * MILLISECOND, self.broker.now + MILLISECOND))

    def _heard_at(self, seat: Seat) -> int:
        """When the first record that waits is answered; NEVER: none waits."""
        partition, number = self.seats[seat], seat[1]
        logs = ((self.broker.logs.get((topic, number), ()), at) for topic, at in partition.next.items())
        first_ms = min((log[at].timestamp_ms for log, at in logs if at < len(log)), default=None)
        return NEVER if first_ms is None else (first_ms + self._lags_ms[seat[0]]) * MILLISECOND

    def close(self) -> None:
        """Removes its folder."""
        self._folder.cleanup()


def _appended_ms(record: Record) -> int:
    return record.timestamp_ms


def _log(broker: MemoryBroker, group: str, transactional_id: str, number: int) -> MemoryLog:
    return MemoryLog(broker, number)


def _unobserved(system: System) -> System:
    """Metrics and telemetry tell of what has happened, and not of what might have."""
    return msgspec.structs.replace(system, observers=[], opened=[], closed=[])


def _counts(systems: Mapping[str, System], partitions: Mapping[str, int]) -> dict[str, int]:
    """Partition counts of all topics: that of the system which reads or writes them. So nothing needs a router."""
    counts: dict[str, int] = defaultdict(lambda: 1)
    for name, system in systems.items():
        topics = (*system.inputs, *system.event_topics, *([system.repartition] if system.repartition else ()))
        counts.update(dict.fromkeys(topics, partitions[name]))
    return counts


__all__ = ["NEVER", "NeverEnds", "VirtualHive"]
