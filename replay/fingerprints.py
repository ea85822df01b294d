"""Remembers very many texts in eight bytes each, to find one that comes twice or was never seen.

A fingerprint is a keyed hash, 64 bits wide, so collisions can neither be expected (10 million texts: one in 400,000
runs) nor made on purpose. Python's own string hash has a key for each process; what several processes compare has one
in common.
"""

from array import array
from collections.abc import Callable, Iterable, Iterator
from hashlib import blake2b
from pathlib import Path
from typing import Final

HashOf = Callable[[str], int]

_BUCKETS: Final = 256
_SIZE_BYTES: Final = 8
_HEAD_BYTES: Final = _BUCKETS * _SIZE_BYTES
IN_MEMORY: Final = 100_000  # 0.8 MB; more go to the file
KEY_BYTES: Final = 16


def keyed(key: bytes) -> HashOf:
    """A hash that is the same in all processes that have the key."""

    def hash_of(text: str) -> int:
        digest = blake2b(text.encode(), digest_size=_SIZE_BYTES, key=key).digest()
        return int.from_bytes(digest, "little", signed=True)

    return hash_of


class Fingerprints:
    """A bag of texts. What does not fit into memory goes to the file, run by run; the file is the owner's to remove."""

    def __init__(self, file: Path, hash_of: HashOf = hash, in_memory: int = IN_MEMORY) -> None:
        self._file, self._hash_of, self._in_memory = file, hash_of, in_memory
        self._buckets = [array("q") for _ in range(_BUCKETS)]
        self._held = 0
        self._runs: list[
            tuple[int, array[int]]
        ] = []  # where a run begins, and how many each bucket has of it

    @classmethod
    def saved(cls, file: Path, hash_of: HashOf) -> "Fingerprints":
        """What another bag has saved there."""
        bag = cls(file, hash_of)
        bag._runs = list(_runs(file))
        return bag

    def add(self, text: str) -> None:
        """Adds one text; the same text may be added again."""
        number = self._hash_of(text)
        self._buckets[number & 255].append(number)
        self._held += 1
        if self._held >= self._in_memory:
            self.save()

    def save(self) -> None:
        """Puts what is in memory into the file."""
        counts = array("Q", map(len, self._buckets))
        with self._file.open("ab") as file:
            self._runs.append((file.tell(), counts))
            counts.tofile(file)
            for bucket in self._buckets:
                bucket.tofile(file)
                del bucket[:]
        self._held = 0

    def repeated(self) -> set[int]:
        """The hashes of what was added more than once."""
        twice: set[int] = set()
        for index in range(_BUCKETS):
            bucket = self.bucket(index)
            if len(set(bucket)) != len(bucket):
                once: set[int] = set()
                twice.update(n for n in bucket if n in once or once.add(n))  # type: ignore[func-returns-value]
        return twice

    def bucket(self, index: int) -> "array[int]":
        """The hashes that end in a byte."""
        whole: array[int] = array("q")
        if self._runs:
            with self._file.open("rb") as file:
                for begin, counts in self._runs:
                    file.seek(begin + _HEAD_BYTES + _SIZE_BYTES * sum(counts[:index]))
                    whole.frombytes(file.read(_SIZE_BYTES * counts[index]))
        whole.extend(self._buckets[index])
        return whole


def missing(bags: Iterable[Fingerprints], hash_of: HashOf, texts: Iterable[str]) -> list[str]:
    """Those of the texts that were added to none of the bags, which have this hash in common."""
    everything = list(bags)
    wanted: dict[int, list[tuple[int, str]]] = {}
    for text in texts:
        number = hash_of(text)
        wanted.setdefault(number & 255, []).append((number, text))
    absent: list[str] = []
    for index, candidates in wanted.items():
        seen: set[int] = set()
        for bag in everything:
            seen.update(bag.bucket(index))
        absent.extend(text for number, text in candidates if number not in seen)
    return absent


def _runs(file: Path) -> "Iterator[tuple[int, array[int]]]":
    with file.open("rb") as opened:
        begin = 0
        while head := opened.read(_HEAD_BYTES):
            counts = array("Q")
            counts.frombytes(head)
            yield begin, counts
            begin = opened.seek(_SIZE_BYTES * sum(counts), 1)
