"""Which inputs caused something, noted while events and dead letters are read."""

import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from neural_hive.replay.fingerprints import Fingerprints, HashOf, missing

Packed = tuple[str, int, int, bytes]  # topic, partition, which chunk, and its bits, compressed
_CHUNK_BYTES: Final = 512
_CHUNK_BITS: Final = 12  # of an offset, within a chunk


class Marks:
    """Places of topics, one bit for each offset; only chunks in which something is noted take memory."""

    def __init__(self) -> None:
        self._chunks: dict[tuple[str, int, int], bytearray] = {}

    def mark(self, topic: str, partition: int, offset: int) -> None:
        """Notes this place."""
        if offset < 0:
            return
        where = (topic, partition, offset >> _CHUNK_BITS)
        bits = self._chunks.get(where)
        if bits is None:
            bits = self._chunks[where] = bytearray(_CHUNK_BYTES)
        bits[offset >> 3 & _CHUNK_BYTES - 1] |= 1 << (offset & 7)

    def has(self, topic: str, partition: int, offset: int) -> bool:
        """Whether this place was noted."""
        bits = self._chunks.get((topic, partition, offset >> _CHUNK_BITS))
        return bits is not None and bool(bits[offset >> 3 & _CHUNK_BYTES - 1] & 1 << (offset & 7))

    def beyond(self, topic: str, partition: int, offset: int) -> int | None:
        """The first noted offset at or above this one."""
        start = max(offset, 0)
        chunks = (n for t, p, n in self._chunks if (t, p) == (topic, partition))
        for chunk in sorted(n for n in chunks if n >= start >> _CHUNK_BITS):
            bits = int.from_bytes(self._chunks[topic, partition, chunk], "little")
            begin = chunk << _CHUNK_BITS
            left = bits >> max(start - begin, 0)
            if left:
                return max(start, begin) + (left & -left).bit_length() - 1
        return None

    def packed(self) -> list[Packed]:
        """All of it, to be kept or sent."""
        return [(*where, zlib.compress(bits, 1)) for where, bits in self._chunks.items()]

    def add(self, packed: Iterable[Packed]) -> None:
        """Notes what was noted elsewhere."""
        for topic, partition, chunk, compressed in packed:
            mine = self._chunks.setdefault((topic, partition, chunk), bytearray(_CHUNK_BYTES))
            both = int.from_bytes(mine, "little") | int.from_bytes(zlib.decompress(compressed), "little")
            mine[:] = both.to_bytes(_CHUNK_BYTES, "little")


class Answers:
    """Which places of the input topics caused an event or a dead letter, and which messages caused events."""

    def __init__(self, file: Path, hash_of: HashOf) -> None:
        """`file`: for what does not fit into memory."""
        self.places = Marks()
        self.causes = Fingerprints(file, hash_of)


class AllAnswers:
    """The answers of all partitions together."""

    def __init__(self, places: Iterable[Iterable[Packed]], causes: Iterable[Path], hash_of: HashOf) -> None:
        """`places`: as they were packed; `causes`: files of fingerprints that were saved."""
        self.places = Marks()
        for packed in places:
            self.places.add(packed)
        self._causes = [Fingerprints.saved(file, hash_of) for file in causes]
        self._hash_of = hash_of

    def unanswered(self, message_ids: Iterable[str]) -> list[str]:
        """Those of the messages that caused no event."""
        return missing(self._causes, self._hash_of, message_ids)
