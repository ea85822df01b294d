"""Topics that are read whole, for who looks at decisions: where they stood at a time, and what lies near a place."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from heapq import merge
from itertools import islice
from typing import Final

from neural_hive.connectors.kafka_log import Record, UnreadableLog
from neural_hive.replay.reader import LogSource
from neural_hive.replay.rerun.then.words import Know, Positions, Written

STEPS_BACK_MAX: Final = 200
STEPS_ON_MAX: Final = 50


class PastTopic:
    """All that a topic has ever said."""

    def __init__(self, topic: str, source: LogSource) -> None:
        """Reads the topic whole; one that is not there, since nobody knew it then, has said nothing.

        Raises what the source raises while it is read.
        """
        self.topic = topic
        try:
            ranges = source.ranges(topic)
        except UnreadableLog:
            ranges = {}
        self.partitions = [
            [r for batch in source.batches(topic, number, *ranges[number]) for r in batch]
            for number in sorted(ranges)
        ]
        self.begins: Positions = tuple(ranges[number][0] for number in sorted(ranges))

    def known(self) -> Know:
        """All of it, for who makes decisions."""
        return Know(self.topic, self.begins, [list(map(written_of, held)) for held in self.partitions])

    def as_of(self, time_ms: int) -> Positions:
        """The positions behind all that was appended up to a time."""
        return tuple(
            begin
            if not (count := bisect_right(records, time_ms, key=lambda r: r.timestamp_ms))
            else records[count - 1].offset + 1
            for records, begin in zip(self.partitions, self.begins, strict=True)
        )

    def near(self, positions: Positions) -> Iterator[Positions]:
        """Positions around these, the closest first: back, record by record in the order of the log, then on."""
        behind, ahead = list[list[Record]](), list[list[Record]]()
        for records, end in zip(self.partitions, positions, strict=True):
            at = _index(records, end)
            behind.append(records[max(at - STEPS_BACK_MAX, 0) : at][::-1])
            ahead.append(records[at : at + STEPS_ON_MAX])
        moved = list(positions)
        for record in islice(merge(*behind, key=lambda record: -record.timestamp_ms), STEPS_BACK_MAX):
            moved[record.partition] = record.offset
            yield tuple(moved)
        moved = list(positions)
        for record in islice(merge(*ahead, key=_time_ms), STEPS_ON_MAX):
            moved[record.partition] = record.offset + 1
            yield tuple(moved)


def written_of(record: Record) -> Written:
    """The record as code of any version takes it."""
    place = record.topic, record.partition, record.offset
    return Written(*place, record.timestamp_ms, record.key, record.value, record.headers)


def _index(records: list[Record], offset: int) -> int:
    return bisect_left(records, offset, key=lambda record: record.offset)


def _time_ms(record: Record) -> int:
    """For a merge, which keeps the order of each partition, though its clock was set back."""
    return record.timestamp_ms
