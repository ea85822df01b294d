"""What a topic that is read whole had said by some place of it, as the code beside this file understands it."""

from bisect import bisect_left
from collections.abc import Callable, Sequence
from heapq import merge
from typing import Any, Final

from .words import Positions

KEPT_EVERY: Final = 200  # records: so far it has to go on again, when it has gone back
KEPT_MAX: Final = 100


class Consumed:
    """A record as views take it: like the messages of a consumer."""

    def __init__(self, record: Any) -> None:
        self._record = record

    def topic(self) -> str:
        return str(self._record.topic)

    def partition(self) -> int:
        return int(self._record.partition)

    def offset(self) -> int:
        return int(self._record.offset)

    def key(self) -> bytes | None:
        key: bytes | None = self._record.key
        return key

    def value(self) -> bytes | None:
        value: bytes | None = self._record.value
        return value


def added(add: Callable[[Any, Any], Any], value: Any, record: Any) -> Any:
    """The value with one record more; as it was, if the view cannot take it: readers skip such a record too."""
    try:
        return add(value, Consumed(record))
    except Exception:  # whatever it is, as in Broadcast
        return value


class Past:
    """The value of a view at the place that was asked for last."""

    def __init__(self, view: Any, topic: str, begins: Positions, partitions: Sequence[Sequence[Any]]) -> None:
        """`view` has `empty` and `add`; `partitions`: the topic's records, each partition in its order."""
        self._view, self._topic, self._begins, self._partitions = view, topic, begins, partitions
        self._at, self._value = begins, view.empty
        self._kept: list[tuple[Positions, Any]] = []  # places on the way, each within the next one
        self._since_kept = 0  # records

    def at(self, positions: Positions) -> Any:
        """The value made of all records before these offsets. Raises LookupError: they are not of this topic."""
        if len(positions) != len(self._begins):
            raise LookupError(
                f"{self._topic} has {len(self._begins)} partitions now, and had {len(positions)}"
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
            self._value = added(self._view.add, self._value, record)
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

    def _between(self, number: int, first: int, end: int) -> Sequence[Any]:
        records = self._partitions[number]
        return records[_index(records, first) : _index(records, end)]


def _is_within(one: Positions, other: Positions) -> bool:
    return all(first <= end for first, end in zip(one, other, strict=True))


def _index(records: Sequence[Any], offset: int) -> int:
    return bisect_left(records, offset, key=lambda record: record.offset)


def _time_ms(record: Any) -> int:
    """For a merge, which keeps the order of each partition, though its clock was set back."""
    time_ms: int = record.timestamp_ms
    return time_ms
