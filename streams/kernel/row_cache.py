"""What was used lately of a partition's state, within a limit of bytes, however much was ever seen."""

from typing import Any, Final

ENTRY_BYTES: Final = 200  # about what an entry takes beside its key and value
ABSENT: Final[Any] = object()


class RowCache:
    """Values by key, each with the bytes that it takes as it is stored; decoded it takes several times that.

    Two generations: what is read or written is young; when half of the limit is young, it becomes old, and what had
    been old and was not used meanwhile is forgotten.
    """

    def __init__(self, bytes_max: int) -> None:
        self._young_bytes_max = bytes_max // 2
        self._young: dict[bytes, tuple[Any, int]] = {}
        self._old: dict[bytes, tuple[Any, int]] = {}
        self._young_bytes = 0

    def get(self, key: bytes) -> Any:
        """The value, which may be None; ABSENT: it is not here."""
        found = self._young.get(key)
        if found is None:
            found = self._old.pop(key, None)
            if found is None:
                return ABSENT
            self.put(key, *found)
        return found[0]

    def put(self, key: bytes, value: Any, size_bytes: int) -> None:
        """Keeps a value, whose stored form has so many bytes."""
        before = self._young.get(key)
        self._young_bytes += size_bytes - before[1] if before else size_bytes + len(key) + ENTRY_BYTES
        self._young[key] = (value, size_bytes)
        if self._young_bytes > self._young_bytes_max:
            self._old, self._young, self._young_bytes = self._young, {}, 0

    def __len__(self) -> int:
        return len(self._young.keys() | self._old.keys())
