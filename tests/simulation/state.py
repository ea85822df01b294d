"""A process's disk in memory: what a crash leaves is what was written."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from neural_hive.streams.kernel.state import POSITION_KEY, TIMER, Position, Timer, queue_prefix, row_key

Disk = dict[str, dict[bytes, bytes]]  # folder → what its database holds


class MemoryStore:
    """A stand-in for state.Store: the same calls, the same order of keys, all or nothing."""

    def __init__(self, disk: Disk, folder: Path, reached: Callable[[str], None]) -> None:
        self._rows = disk.setdefault(str(folder), {})
        self._reached = reached

    def get(self, key: bytes) -> bytes | None:
        """The value of a key."""
        return self._rows.get(key)

    def position(self) -> Position | None:
        """See Store.position."""
        raw = self._rows.get(POSITION_KEY)
        return msgspec.msgpack.decode(raw, type=Position) if raw else None

    def write(self, puts: dict[bytes, bytes | None], position: Position) -> None:
        """See Store.write."""
        self._reached("before the state")
        for key, value in puts.items():
            if value is None:
                self._rows.pop(key, None)
            else:
                self._rows[key] = value
        self._rows[POSITION_KEY] = msgspec.msgpack.encode(position)
        self._reached("after the state")

    def timers(self) -> Iterator[tuple[bytes, Timer]]:
        """See Store.timers."""
        for key, value in self._scan(TIMER):
            yield key, msgspec.msgpack.decode(value, type=Timer)

    def queue(self, queue: str) -> Iterator[tuple[bytes, str]]:
        """See Store.queue."""
        for key, value in self._scan(queue_prefix(queue)):
            yield key, msgspec.msgpack.decode(value, type=str)

    def ids(self, aggregate: str) -> Iterator[str]:
        """See Store.ids."""
        prefix = row_key(aggregate, "")
        for key, _ in self._scan(prefix):
            yield key[len(prefix) :].decode()

    def rows(self) -> Iterator[tuple[bytes, bytes]]:
        """See Store.rows."""
        return iter(sorted((key, value) for key, value in self._rows.items() if key != POSITION_KEY))

    def _scan(self, prefix: bytes) -> Iterator[tuple[bytes, Any]]:
        return iter(sorted((key, value) for key, value in self._rows.items() if key.startswith(prefix)))

    def close(self) -> None:
        """Nothing is held."""
