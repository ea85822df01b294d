"""What a topic that is read whole had said by some place of it: the value that a decision of then was made from."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping
from heapq import merge
from itertools import islice
from typing import Any, Final

from neural_hive.connectors.kafka_log import Record
from neural_hive.replay.reader import LogSource
from neural_hive.streams.kernel.broadcast import View

Positions = tuple[int, ...]  # the next offset of each partition
STEPS_BACK_MAX: Final = 200
STEPS_ON_MAX: Final = 50
KEPT_EVERY: Final = 200  # records: so far it has to go on again, when it has gone back
KEPT_MAX: Final = 100


class Consumed:
    """A record as views take it: like the messages of a consumer."""

    def __init__(self, record: Record) -> None:
        self._record = record

    def topic(self) -> str:
        return self._record.topic

    def partition(self) -> int:
        return self._record.partition

    def offset(self) -> int:
        return self._record.offset

    def key(self) -> bytes | None:
        return self._record.key

    def value(self) -> bytes | None:
        return self._record.value


def added(view: View[Any], value: Any, record: Record) -> Any:
    """The value with one record more; as it was, if the view cannot take it: readers skip such a record too."""
    try:
        return view.add(value, Consumed(record))
    except Exception:  # whatever it is, as in Broadcast
        return value


class PastView:
    """All that a topic has ever said, and the value at the place that was asked for last."""

    def __init__(self, view: View[Any], source: LogSource) -> None:
        """Reads the topic whole. Raises what the source raises."""
        self._view = view
        ranges = source.ranges(view.topic)
        self._partitions = [
            [r for batch in source.batches(view.topic, number, *ranges[number]) for r in batch]
            for number in sorted(ranges)
        ]
        self._begins: Positions = tuple(ranges[number][0] for number in sorted(ranges))
        self._at, self._value = self._begins, view.empty
        self._kept: list[tuple[Positions, Any]] = []  # places on the way, each within the next one
        self._since_kept = 0  # records

    @property
    def topic(self) -> str:
        """What is read."""
        return self._view.topic

    @property
    def begins(self) -> Positions:
        """Where nothing is read yet."""
        return self._begins

    def at(self, positions: Positions) -> Any:
        """The value made of all records before these offsets. Raises LookupError: they are not of this topic."""
        if len(positions) != len(self._begins):
            raise LookupError(
                f"{self.topic} has {len(self._begins)} partitions now, and had {len(positions)}"
            )
        if not _is_within(self._at, positions):
            self._go_back(positions)
        self._go_on(positions)
        return self._value

    def _go_back(self, positions: Positions) -> None:
        """To the last place that was kept and is not behind these."""
        while self._kept and not _is_within(self._kept[-1][0], positions):
            self._kept.pop()
        self._at, self._value = self._kept[-1] if self._kept else (self._begins, self._view.empty)

    def _go_on(self, positions: Positions) -> None:
        """In the order of the log's times: what one partition says does not depend on the others."""
        spans = zip(range(len(positions)), self._at, positions, strict=True)
        following = merge(*(self._between(*span) for span in spans), key=_time_ms)
        count, at = 0, list(self._at)
        for count, record in enumerate(following, 1):
            self._value = added(self._view, self._value, record)
            at[record.partition] = record.offset + 1
            if count % KEPT_EVERY == 0:
                self._keep(tuple(at))
        self._since_kept += count % KEPT_EVERY
        self._at = positions
        if self._since_kept >= KEPT_EVERY:
            self._keep(positions)

    def _keep(self, at: Positions) -> None:
        self._kept.append((at, self._value))
        del self._kept[:-KEPT_MAX]
        self._since_kept = 0

    def _between(self, number: int, first: int, end: int) -> list[Record]:
        records = self._partitions[number]
        return records[_index(records, first) : _index(records, end)]

    def as_of(self, time_ms: int) -> Positions:
        """The positions behind all that was appended up to a time."""
        return tuple(
            begin
            if not (count := bisect_right(records, time_ms, key=lambda r: r.timestamp_ms))
            else records[count - 1].offset + 1
            for records, begin in zip(self._partitions, self._begins, strict=True)
        )

    def near(self, positions: Positions) -> Iterator[Positions]:
        """Positions around these, the closest first: back, record by record in the order of the log, then on."""
        behind, ahead = list[list[Record]](), list[list[Record]]()
        for records, end in zip(self._partitions, positions, strict=True):
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


def _is_within(one: Positions, other: Positions) -> bool:
    return all(first <= end for first, end in zip(one, other, strict=True))


def _index(records: list[Record], offset: int) -> int:
    return bisect_left(records, offset, key=lambda record: record.offset)


def _time_ms(record: Record) -> int:
    """For a merge, which keeps the order of each partition, though its clock was set back."""
    return record.timestamp_ms


def past_views(views: Mapping[str, View[Any]], source: LogSource) -> dict[str, PastView]:
    """Those of a system, by the names that its handlers ask for."""
    return {name: PastView(view, source) for name, view in views.items()}
