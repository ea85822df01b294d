"""Whole topics in memory, as they lie in the log: a run reads them instead of it, and hands them to other processes."""

from bisect import bisect_left
from collections.abc import Iterable, Iterator

import msgspec

from neural_hive.connectors.kafka_log import Record, UnreadableLog
from neural_hive.replay.reader import LogSource, Range, Span

BATCH_RECORDS = 5_000


class Stretch(msgspec.Struct):
    """What there is of one partition: its records, and the offsets between which they lie."""

    begin: int = 0
    end: int = 0  # the offset that follows the last; markers have offsets too
    records: list[Record] = []


class Recording(msgspec.Struct):
    """See LogSource: all partitions of the topics that were recorded."""

    topics: dict[str, list[Stretch]] = {}

    @property
    def name(self) -> str:
        """See Part.source."""
        return "memory"

    def ranges(self, topic: str) -> dict[int, Range]:
        """See LogSource.ranges."""
        if topic not in self.topics:
            raise UnreadableLog(f"{topic} was not recorded")
        return {number: (held.begin, held.end) for number, held in enumerate(self.topics[topic])}

    def spans(self, topic: str, partition: int, first: int, end: int) -> list[Span]:
        """See LogSource.spans."""
        return [(self.name, self, first, end)]

    def batches(self, topic: str, partition: int, first: int, end: int) -> Iterator[list[Record]]:
        """See LogSource.batches."""
        records = self.topics[topic][partition].records
        at = bisect_left(records, first, key=_offset)
        until = bisect_left(records, end, key=_offset)
        for start in range(at, until, BATCH_RECORDS):
            yield records[start : min(start + BATCH_RECORDS, until)]

    @property
    def end_ms(self) -> int:
        """When the last record was appended; 0: there is none."""
        ends = (
            held.records[-1].timestamp_ms for topic in self.topics.values() for held in topic if held.records
        )
        return max(ends, default=0)

    def all(self, topic: str) -> Iterator[Record]:
        """The records of a topic, one partition after the other; none, if it was not recorded."""
        for held in self.topics.get(topic, ()):
            yield from held.records


def _offset(record: Record) -> int:
    return record.offset


def record(source: LogSource, topics: Iterable[str]) -> Recording:
    """Reads topics whole. One that is not there is left out. Raises what the source raises while it is read."""
    recording = Recording()
    for topic in topics:
        try:
            ranges = source.ranges(topic)
        except UnreadableLog:
            continue
        recording.topics[topic] = [
            _stretch(source, topic, number, *ranges.get(number, (0, 0))) for number in range(max(ranges) + 1)
        ]
    return recording


def _stretch(source: LogSource, topic: str, partition: int, begin: int, end: int) -> Stretch:
    records = [record for batch in source.batches(topic, partition, begin, end) for record in batch]
    return Stretch(begin, end, records)
