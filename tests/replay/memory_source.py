"""A log in memory to replay from: that of a simulated world, with what its processors hold at the end."""

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from neural_hive.aggregates.aggregate import Aggregate
from neural_hive.connectors.kafka_log import Record, UnreadableLog
from neural_hive.replay.causes.node import Topics
from neural_hive.replay.reader import Range, Span
from neural_hive.streams.kernel.state import ROW, row_key
from neural_hive.streams.kernel.system import System
from tests.simulation.hive_scenario import Hive
from tests.simulation.run import silent_kernel
from tests.simulation.world import PARTITIONS, World


class MemorySource:
    """Records by topic and partition; a LogSource."""

    name = "memory"

    def __init__(self, records: Mapping[tuple[str, int], list[Record]], ends: Mapping[tuple[str, int], int]):
        self.records, self._ends = records, ends

    def ranges(self, topic: str) -> dict[int, Range]:
        found = {number: (0, end) for (name, number), end in self._ends.items() if name == topic}
        if not found:
            raise UnreadableLog(f"no topic {topic}")
        return found

    def spans(self, topic: str, partition: int, first: int, end: int) -> list[Span]:
        return [(self.name, self, first, end)]

    def batches(self, topic: str, partition: int, first: int, end: int) -> Iterator[list[Record]]:
        found = [r for r in self.records.get((topic, partition), []) if first <= r.offset < end]
        for at in range(0, len(found), 7):
            yield found[at : at + 7]


class Simulated:
    """A simulated world that has come to rest: its log, its systems, and the states that its processors hold."""

    def __init__(self, seed: int) -> None:
        with silent_kernel():
            self.world = World(seed, Hive)
            self.world.run(Hive.steps)
        self.systems: list[System] = list(self.world.systems.values())
        self.aggregates: list[Aggregate[Any]] = [a for s in self.systems for a in s.all_aggregates]
        self.topics = Topics.of(self.systems)
        self.source = _source(self.world, (*self.topics.events, *self.topics.messages))

    def source_with(self, *topics: str) -> MemorySource:
        """The log with what others than its systems have written too."""
        return _source(self.world, (*self.topics.events, *self.topics.messages, *topics))

    @property
    def events(self) -> list[Record]:
        """All events, topic by topic."""
        return [
            r
            for (topic, _), found in self.source.records.items()
            if topic in self.topics.events
            for r in found
        ]

    def row(self, aggregate: Aggregate[Any], aggregate_id: str) -> Any:
        """What a processor holds of an aggregate; None: nothing."""
        name = next(s.name for s in self.systems if aggregate in s.all_aggregates)
        found = [self._fold(name, n).row(aggregate, _key(aggregate, aggregate_id)) for n in range(PARTITIONS)]
        return next((row for row in found if row is not None), None)

    def count_rows(self) -> int:
        """How many aggregates the processors hold."""
        folds = [self._fold(name, number) for name, number in self.world.seats]
        return sum(key[:1] == ROW for fold in folds for key, _ in fold.store.rows())

    def _fold(self, name: str, number: int) -> Any:
        seat = (name, number)
        return self.world.owner(seat).partitions[seat].fold


@cache
def simulated(seed: int) -> Simulated:
    """The world of a seed, made once."""
    return Simulated(seed)


def _key(aggregate: Aggregate[Any], aggregate_id: str) -> bytes:
    return row_key(aggregate.name, aggregate_id)


def _source(world: World, topics: tuple[str, ...]) -> MemorySource:
    records, ends = {}, {}
    for topic in topics:
        for number in range(PARTITIONS):
            place = (topic, number)
            ends[place] = len(world.broker.logs.get(place, []))
            records[place] = [
                Record(topic, number, offset, entry.at // 1_000, entry.key, entry.value, entry.headers)
                for offset, entry in world.broker.committed(place, 0, ends[place])
            ]
    return MemorySource(records, ends)
