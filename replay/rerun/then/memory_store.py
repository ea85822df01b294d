"""A partition's state in memory, for a run that nobody keeps: the same calls as `Store`, the same order of keys."""

from bisect import bisect_left, insort
from collections.abc import Iterator
from typing import Final

import msgspec

from neural_hive.streams.kernel.state import QUEUE, TIMER, Position, Timer, queue_prefix, row_key

_IN_ORDER: Final = (TIMER, QUEUE)  # what is read from its first key on, and not by one key


class MemoryStore:
    """See Store. It cannot be damaged or full."""

    def __init__(self) -> None:
        self._rows: dict[bytes, bytes] = {}
        self._in_order: list[bytes] = []
        self._position: Position | None = None
        self.get = self._rows.get

    def position(self) -> Position | None:
        """See Store.position."""
        return self._position

    def write(self, puts: dict[bytes, bytes | None], position: Position) -> None:
        """See Store.write."""
        for key, value in puts.items():
            if value is None:
                self._drop(key)
                continue
            if key[:1] in _IN_ORDER and key not in self._rows:
                insort(self._in_order, key)
            self._rows[key] = value
        self._position = position

    def _drop(self, key: bytes) -> None:
        if self._rows.pop(key, None) is not None and key[:1] in _IN_ORDER:
            del self._in_order[bisect_left(self._in_order, key)]

    def timers(self) -> Iterator[tuple[bytes, Timer]]:
        """See Store.timers."""
        for key, value in self._scan(TIMER):
            yield key, msgspec.msgpack.decode(value, type=Timer)

    def queue(self, queue: str) -> Iterator[tuple[bytes, str]]:
        """See Store.queue."""
        for key, value in self._scan(queue_prefix(queue)):
            yield key, msgspec.msgpack.decode(value, type=str)

    def ids(self, aggregate: str) -> Iterator[str]:
        """See Store.ids. Looks at every row: rows stand in no order here."""
        prefix = row_key(aggregate, "")
        return iter(sorted(key[len(prefix) :].decode() for key in self._rows if key.startswith(prefix)))

    def rows(self) -> Iterator[tuple[bytes, bytes]]:
        """See Store.rows."""
        return iter(sorted(self._rows.items()))

    def _scan(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        at = bisect_left(self._in_order, prefix)
        while at < len(self._in_order) and self._in_order[at].startswith(prefix):
            yield self._in_order[at], self._rows[self._in_order[at]]
            at += 1

    def close(self) -> None:
        """Nothing is held."""
