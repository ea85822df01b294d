"""Remembers very many texts in eight bytes each, to find one that comes twice or was never seen.

Python's own string hash is 64 bits wide and keyed anew in each process, so collisions can neither be expected
(10 million texts: one in 400,000 runs) nor made on purpose.
"""

import tempfile
from array import array
from collections.abc import Iterable
from pathlib import Path
from typing import Final

_BUCKETS: Final = 256
IN_MEMORY: Final = 16_000_000  # 128 MB; more go to files


class Fingerprints:
    """A bag of texts; close it when done (it may hold files)."""

    def __init__(self, in_memory: int = IN_MEMORY) -> None:
        self._buckets = [array("q") for _ in range(_BUCKETS)]
        self._in_memory, self._held = in_memory, 0
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def add(self, text: str) -> None:
        """Adds one text; the same text may be added again."""
        number = hash(text)
        self._buckets[number & 255].append(number)
        self._held += 1
        if self._held >= self._in_memory:
            self._spill()

    def repeated(self) -> set[int]:
        """The hashes of what was added more than once."""
        twice: set[int] = set()
        for index in range(_BUCKETS):
            bucket = self._bucket(index)
            if len(seen := set(bucket)) != len(bucket):
                once: set[int] = set()
                twice.update(n for n in bucket if n in once or once.add(n))  # type: ignore[func-returns-value]
            del seen
        return twice

    def missing(self, texts: Iterable[str]) -> list[str]:
        """Those of the texts that were never added."""
        wanted: dict[int, list[str]] = {}
        for text in texts:
            wanted.setdefault(hash(text) & 255, []).append(text)
        missing: list[str] = []
        for index, candidates in wanted.items():
            seen = set(self._bucket(index))
            missing.extend(text for text in candidates if hash(text) not in seen)
        return missing

    def close(self) -> None:
        """Removes its files."""
        if self._folder is not None:
            self._folder.cleanup()

    def _path(self, index: int) -> Path:
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="neural-hive-verify-")
        return Path(self._folder.name) / str(index)

    def _spill(self) -> None:
        for index, bucket in enumerate(self._buckets):
            with self._path(index).open("ab") as file:
                bucket.tofile(file)
            del bucket[:]
        self._held = 0

    def _bucket(self, index: int) -> "array[int]":
        whole: array[int] = array("q")
        if self._folder is not None and self._path(index).exists():
            whole.frombytes(self._path(index).read_bytes())
        whole.extend(self._buckets[index])
        return whole
