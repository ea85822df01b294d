"""What the leaves of the trees are: a record of the log, the head of a partition, and one seal over all heads.

Each has one canonical form, which begins with its kind and version: no bytes can be taken for two of them.
"""

from functools import lru_cache
from typing import Final

import msgspec

from neural_hive.connectors.record import Record
from neural_hive.replay.seal.merkle import HASH_BYTES, leaf_hash, root_of
from neural_hive.replay.seal.packed import NotCanonical, Unpacker, blob, number, optional

_RECORD: Final = b"neural-hive record v1\n"
_HEAD: Final = b"neural-hive partition v1\n"
_KEPT: Final = b"neural-hive kept v1\n"
_SEAL: Final = b"neural-hive seal v1\n"
Place = tuple[str, int]  # topic and partition


class Head(msgspec.Struct, frozen=True):
    """How far one partition is sealed: its tree has `size` leaves, its records up to `last_offset`."""

    topic: str
    partition: int
    size: int
    root: bytes
    last_offset: int

    @property
    def place(self) -> Place:
        return self.topic, self.partition


class Kept(msgspec.Struct, frozen=True):
    """What a seal keeps of a record of a compacted topic, from which Kafka removes what a later one replaces.

    The tree can then still be made, and it shows that nothing else was removed.
    """

    offset: int
    hash: bytes  # of the leaf
    key_hash: bytes  # SHA-256
    is_deletion: bool  # a null value, which goes too in the end


def record_leaf(record: Record) -> bytes:
    """The canonical form of a record: place, append time, key, value, and headers in their order."""
    parts = [
        record_prefix(record.topic, record.partition),
        number(record.offset),
        number(record.timestamp_ms),
        optional(record.key),
        optional(record.value),
        number(len(record.headers)),
    ]
    for name, value in record.headers:
        parts += (blob(name.encode()), optional(value))
    return b"".join(parts)


@lru_cache(maxsize=4096)
def record_prefix(topic: str, partition: int) -> bytes:
    """What the canonical form of all records of a partition begins with."""
    return _RECORD + blob(topic.encode()) + number(partition)


def record_of(leaf: bytes) -> Record:
    """The record that a leaf is the canonical form of. Raises NotCanonical."""
    taken = Unpacker(leaf, _RECORD)
    topic, partition, offset, timestamp_ms = taken.text(), taken.number(), taken.number(), taken.number()
    key, value, count = taken.optional(), taken.optional(), taken.number()
    if not 0 <= count <= len(leaf):
        raise NotCanonical(f"a record with {count} headers")
    headers = tuple((taken.text(), taken.optional()) for _ in range(count))
    taken.end()
    return Record(topic, partition, offset, timestamp_ms, key, value, headers)


def head_leaf(head: Head) -> bytes:
    """The canonical form of a head. Raises NotCanonical: its root is none."""
    if len(head.root) != HASH_BYTES:
        raise NotCanonical(f"the root of {head.topic}:{head.partition} has {len(head.root)} bytes")
    return b"".join(
        (
            _HEAD,
            blob(head.topic.encode()),
            number(head.partition),
            number(head.size),
            head.root,
            number(head.last_offset),
        )
    )


def heads_root(heads: list[Head]) -> bytes:
    """The root over the heads of all partitions, which must be in the order of their places."""
    return root_of(leaf_hash(head_leaf(head)) for head in heads)


def kept_leaf(kept: Kept) -> bytes:
    """The canonical form of what is kept of a record of a compacted topic."""
    deletion = number(int(kept.is_deletion))
    return b"".join((_KEPT, number(kept.offset), blob(kept.hash), blob(kept.key_hash), deletion))


def seal_leaf(sealed_at: int, partitions: int, root: bytes, kept_root: bytes) -> bytes:
    """The canonical form of one seal: when it was made, µs; over how many heads, and their root; what it keeps."""
    return b"".join((_SEAL, number(sealed_at), number(partitions), root, kept_root))
