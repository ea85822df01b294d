"""A log, a clock and views in memory, for systems that run in a time of their own: nothing outside is touched."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from neural_hive.connectors.kafka_log import Record
from neural_hive.replay.rerun.then.past import added
from neural_hive.streams.kernel.broadcast import Snapshot, View
from neural_hive.streams.kernel.unit import Output

Heard = Callable[[Record], None]
Headers = tuple[tuple[str, bytes | None], ...]


class MemoryBroker:
    """All partitions, and the time by which records are appended, µs. Every transaction is committed."""

    def __init__(self, now: int, heard: Heard) -> None:
        """`heard` is told of each record."""
        self.begun_at = self.now = now
        self.logs: dict[tuple[str, int], list[Record]] = {}
        self._heard = heard

    def append(
        self, topic: str, number: int, key: bytes | None, value: bytes | None, headers: Headers
    ) -> int:
        """Adds a record; its offset."""
        log = self.logs.setdefault((topic, number), [])
        record = Record(topic, number, len(log), self.now // 1_000, key, value, headers)
        log.append(record)
        self._heard(record)
        return record.offset

    def records(self, topic: str) -> Iterator[Record]:
        """Those of a topic, one partition after the other."""
        for place in sorted(place for place in self.logs if place[0] == topic):
            yield from self.logs[place]


class MemoryLog:
    """See PartitionLog: there is one owner, and the broker always answers."""

    def __init__(self, broker: MemoryBroker, partition: int) -> None:
        self.partition = partition
        self._broker = broker
        self._offsets: dict[str, int] = {}
        self._begun: set[str] = set()

    def take_over(self) -> None:
        """See PartitionLog.take_over."""

    def committed(self, topics: Iterable[str]) -> dict[str, int]:
        """See PartitionLog.committed."""
        return {topic: self._offsets.get(topic, -1) for topic in topics}

    def begun(self, topics: Iterable[str]) -> set[str]:
        """See PartitionLog.begun."""
        return self._begun.intersection(topics)

    def note_begun(self, topics: Iterable[str]) -> None:
        """See PartitionLog.note_begun."""
        self._begun.update(topics)

    def commit(self, outputs: list[Output], offsets: Mapping[str, int]) -> dict[str, int]:
        """See PartitionLog.commit."""
        landed = {}
        for output in outputs:
            about = (output.key, output.value, tuple(output.headers))
            offset = self._broker.append(output.topic, output.partition, *about)
            if output.hash is not None:
                landed[output.topic] = offset
        self._offsets.update(offsets)
        return landed

    def range(self, topic: str) -> tuple[int, int]:
        """See PartitionLog.range."""
        return 0, len(self._broker.logs.get((topic, self.partition), ()))

    def read(self, topic: str, first: int, end: int) -> Iterator[Record]:
        """See PartitionLog.read."""
        yield from self._broker.logs.get((topic, self.partition), [])[first:end]

    def at(self, partition: int) -> "MemoryLog":
        """See PartitionLog.at."""
        return MemoryLog(self._broker, partition)

    def ask_time(self, topic: str) -> int:
        """See PartitionLog.ask_time."""
        return self._broker.now


class VirtualClock:
    """See Clock. Time passes only between two steps of a run."""

    def __init__(self, broker: MemoryBroker) -> None:
        self._broker = broker

    def now(self) -> int:
        """See Clock.now."""
        return self._broker.now

    def elapsed_s(self) -> float:
        """See Clock.elapsed_s."""
        return (self._broker.now - self._broker.begun_at) / 1e6

    def sleep(self, seconds: float) -> None:
        """See Clock.sleep. Nobody has to wait for a broker that always answers."""
        raise RuntimeError("a run in memory has nothing to wait for")


class LatestView:
    """See Broadcast: read to its end whenever somebody looks."""

    def __init__(self, view: View[Any], broker: MemoryBroker, partitions: int) -> None:
        self._view, self._broker = view, broker
        self._value, self._positions = view.empty, dict.fromkeys(range(partitions), 0)

    def snapshot(self) -> Snapshot[Any]:
        """See Broadcast.snapshot."""
        for number, first in self._positions.items():
            log = self._broker.logs.get((self._view.topic, number), [])
            for record in log[first:]:
                self._value = added(self._view.add, self._value, record)
            self._positions[number] = len(log)
        return Snapshot(self._value, dict(self._positions), 0.0)

    def read_to_end(self, within_s: float) -> None:
        """See Broadcast.read_to_end: `snapshot` does so whenever it is asked."""
