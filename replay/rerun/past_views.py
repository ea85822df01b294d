"""What a topic that is read whole had said by some place of it: the value that a decision of then was made from."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping
from typing import Any, Final

from neural_hive.connectors.kafka_log import Record
from neural_hive.replay.reader import LogSource
from neural_hive.streams.kernel.broadcast import View

Positions = tuple[int, ...]  # the next offset of each partition
STEPS_BACK_MAX: Final = 200
STEPS_ON_MAX: Final = 50


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

    @property
    def topic(self) -> str:
        """What is read."""
        return self._view.topic

    @property
    def begins(self) -> Positions:
        """Where nothing is read yet."""
        return self._begins

    def at(self, positions: Positions) -> Any:
        """The value made of all records before these offsets."""
        if len(positions) != len(self._begins):
            raise LookupError(
                f"{self.topic} has {len(self._begins)} partitions now, and had {len(positions)}"
            )
        if any(wanted < known for wanted, known in zip(positions, self._at, strict=True)):
            self._at, self._value = self._begins, self._view.empty
        for number, (first, end) in enumerate(zip(self._at, positions, strict=True)):
            for record in self._between(number, first, end):
                self._value = added(self._view, self._value, record)
        self._at = positions
        return self._value

    def _between(self, number: int, first: int, end: int) -> list[Record]:
        records = self._partitions[number]
        at, until = (bisect_left(records, offset, key=lambda r: r.offset) for offset in (first, end))
        return records[at:until]

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
        behind = sorted(
            (record.timestamp_ms, record.offset, number)
            for number, end in enumerate(positions)
            for record in self._between(number, 0, end)[-STEPS_BACK_MAX:]
        )
        moved = list(positions)
        for _, offset, number in behind[: -STEPS_BACK_MAX - 1 : -1]:
            moved[number] = offset
            yield tuple(moved)
        ahead = sorted(
            (record.timestamp_ms, record.offset, number)
            for number, first in enumerate(positions)
            for record in self._between(number, first, 1 << 62)[:STEPS_ON_MAX]
        )
        moved = list(positions)
        for _, offset, number in ahead[:STEPS_ON_MAX]:
            moved[number] = offset + 1
            yield tuple(moved)


def past_views(views: Mapping[str, View[Any]], source: LogSource) -> dict[str, PastView]:
    """Those of a system, by the names that its handlers ask for."""
    return {name: PastView(view, source) for name, view in views.items()}
