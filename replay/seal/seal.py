"""One seal as it is published and kept in a file: a signed checkpoint, and which partitions have grown since."""

from typing import Any, Final, Self

import msgspec

from neural_hive.replay.seal.leaf import Head, Kept, Place, heads_root, kept_leaf, seal_leaf
from neural_hive.replay.seal.merkle import leaf_hash, root_of

CHECKPOINTS: Final = "audit.checkpoints"
WITNESSES: Final = "audit.witnesses"
SEALED: Final = "CheckpointSealed"
WITNESSED: Final = "CheckpointWitnessed"


class BadSeal(ValueError):
    """A seal that does not follow on those before it; the text says where and why."""


class Growth(msgspec.Struct, frozen=True):
    """How far a partition is sealed now, and the proof that its tree begins with the one that was sealed before."""

    topic: str
    partition: int
    size: int
    root: bytes
    last_offset: int
    proof: tuple[bytes, ...] = ()
    leaves: tuple[Kept, ...] = ()  # of a compacted topic: what is kept of its new records

    @property
    def place(self) -> Place:
        return self.topic, self.partition

    @property
    def head(self) -> Head:
        return Head(self.topic, self.partition, self.size, self.root, self.last_offset)


class Seal(msgspec.Struct, frozen=True):
    """One seal. The note is over the tree of all seals, with this one as its last leaf."""

    note: str
    sealed_at: int  # µs since 1970 UTC, by the sealer's clock
    grown: tuple[Growth, ...]

    @classmethod
    def of_payload(cls, payload: dict[str, Any]) -> Self:
        """From the message CheckpointSealed."""
        return msgspec.convert(payload, cls)

    @property
    def payload(self) -> dict[str, Any]:
        """As the message CheckpointSealed has it."""
        fields: dict[str, Any] = msgspec.to_builtins(self, builtin_types=(bytes,))
        return fields

    @classmethod
    def of_line(cls, line: bytes) -> Self:
        """From a line of the file. Raises BadSeal."""
        try:
            return msgspec.json.decode(line, type=cls)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise BadSeal(f"a line that holds no seal: {error}") from None

    @property
    def line(self) -> bytes:
        """As a line of the file: JSON, bytes in base64."""
        return msgspec.json.encode(self) + b"\n"


class Sealed(msgspec.Struct, frozen=True):
    """What the last leaf in the tree of seals stands for."""

    sealed_at: int
    partitions: int
    heads_root: bytes
    kept_root: bytes

    @property
    def hash(self) -> bytes:
        return leaf_hash(seal_leaf(self.sealed_at, self.partitions, self.heads_root, self.kept_root))


def sealed(sealed_at: int, heads: dict[Place, Head], grown: tuple[Growth, ...]) -> Sealed:
    """What is sealed when these are the heads of all partitions, after those have grown."""
    kept = (leaf_hash(kept_leaf(kept)) for growth in grown for kept in growth.leaves)
    ordered = [heads[place] for place in sorted(heads)]
    return Sealed(sealed_at, len(ordered), heads_root(ordered), root_of(kept))
