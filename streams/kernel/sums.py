"""What the records of one transaction add up to is told once, at its end: a message for each sum, not for each record.

A transaction that does not come about leaves nothing behind, neither sums nor offsets: its records are summed up again,
perhaps with others. So each record is in one sum of each key that it speaks of, and in no second one; but where a sum
begins and ends is chance. Events must not depend on that: sums are for messages.
"""

from collections.abc import Callable, Iterator
from operator import itemgetter
from typing import Any

import msgspec


class Sum(msgspec.Struct, frozen=True):
    """A kind of message that sums something up."""

    topic: str
    message_type: str
    add: Callable[[Any, Any], Any]
    """What a sum is after one more: add(sum so far, more). It may change the sum that it is given."""
    payload: Callable[[Any], dict[str, Any]]
    """The message of a sum. It must not fail: no record would be to blame."""


class Told(msgspec.Struct, frozen=True, gc=False):
    """A sum at the transaction's end."""

    kind: Sum
    routing_id: str
    key: str
    total: Any
    cause: Any  # the record that was added last


_Place = tuple[str, str, str, str]


class Sums:
    """The sums of one transaction so far."""

    def __init__(self) -> None:
        self._sums: dict[_Place, tuple[Sum, Any, Any]] = {}
        self._of_record: list[tuple[_Place, Sum, Any]] = []  # it may be refused still

    def __len__(self) -> int:
        return len(self._sums)

    def put(self, kind: Sum, routing_id: str, key: str, more: Any) -> None:
        """Something of the record in hand."""
        self._of_record.append(((kind.topic, kind.message_type, routing_id, key), kind, more))

    def keep(self, cause: Any) -> None:
        """The record in hand stands."""
        if self._of_record:
            sums = self._sums
            for place, kind, more in self._of_record:
                before = sums.get(place)
                sums[place] = (kind, more if before is None else kind.add(before[1], more), cause)
            self._of_record.clear()

    def take_back(self) -> None:
        """The record in hand is refused."""
        self._of_record.clear()

    def told(self) -> Iterator[Told]:
        """All sums, in the order of their keys. Nothing is left."""
        found, self._sums = self._sums, {}
        for place, (kind, total, cause) in sorted(found.items(), key=itemgetter(0)):
            yield Told(kind, place[2], place[3], total, cause)
