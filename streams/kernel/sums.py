"""What the records of one transaction add up to is told once, at its end: a message for each sum, not for each record.

A transaction that does not come about leaves nothing behind, neither sums nor offsets: its records are summed up again,
perhaps with others. So each record is in one sum of each key that it speaks of, and in no second one; but where a sum
begins and ends is chance. Events must not depend on that: sums are for messages.
"""

from collections.abc import Callable, Hashable, Iterator
from typing import Any

import msgspec


class Sum(msgspec.Struct, frozen=True):
    """A kind of message that sums something up."""

    topic: str
    message_type: str
    add: Callable[[Any, Any], Any]
    """What a sum is after one more: add(sum so far, more); None: it is the first. It may change the sum it is given."""
    payload: Callable[[Any, Any], dict[str, Any]]
    """The message of a key and its sum. It must not fail: no record would be to blame."""
    route: Callable[[Any], str]
    """The routing id of a key."""


class Told(msgspec.Struct, frozen=True, gc=False):
    """A sum at the transaction's end."""

    kind: Sum
    key: Any
    total: Any
    cause: Any  # the record that was added last


class Sums:
    """The sums of one transaction so far."""

    def __init__(self) -> None:
        self._kinds: dict[str, Sum] = {}  # by message type
        self._sums: dict[
            str, dict[Hashable, list[Any]]
        ] = {}  # by message type and key: the sum, and its last cause
        self._of_record: list[tuple[str, Hashable, Any]] = []  # it may be refused still

    def __len__(self) -> int:
        return sum(map(len, self._sums.values()))

    def put(self, kind: Sum, key: Hashable, more: Any) -> None:
        """Something of the record in hand."""
        self._kinds[kind.message_type] = kind
        self._of_record.append((kind.message_type, key, more))

    def keep(self, cause: Any) -> None:
        """The record in hand stands."""
        if not self._of_record:
            return
        for name, key, more in self._of_record:
            sums, add = self._sums.setdefault(name, {}), self._kinds[name].add
            found = sums.get(key)
            if found is None:
                sums[key] = [add(None, more), cause]
            else:
                found[:] = add(found[0], more), cause
        self._of_record.clear()

    def take_back(self) -> None:
        """The record in hand is refused."""
        self._of_record.clear()

    def told(self) -> Iterator[Told]:
        """All sums, in the order of their keys. Nothing is left."""
        found, self._sums = self._sums, {}
        for name in sorted(found):
            for key in sorted(found[name]):  # type: ignore[type-var]
                yield Told(self._kinds[name], key, *found[name][key])
