"""Makes seals: a tree for each partition, which grows with its records. Pure: no Kafka, no clock, no files."""

import msgspec

from neural_hive.connectors.kafka_log import Record
from neural_hive.replay.seal.chain import Chain
from neural_hive.replay.seal.checkpoint import Checkpoint
from neural_hive.replay.seal.leaf import Head, Kept, Place, record_leaf
from neural_hive.replay.seal.leaves import COMPACTED, kept_leaf_of
from neural_hive.replay.seal.merkle import Frontier, extension_proof, leaf_hash
from neural_hive.replay.seal.note import PrivateKey
from neural_hive.replay.seal.seal import Growth, Seal, sealed


class OutOfOrder(ValueError):
    """A record that does not come after those before it."""


class Tree(msgspec.Struct):
    """One partition: the tree that is sealed, and the leaves that have come since."""

    place: Place
    sealed: Frontier = msgspec.field(default_factory=Frontier)
    last_offset: int = -1  # of all, sealed or not
    last_hash: bytes = b""
    added: list[bytes] = []
    kept: list[Kept] = []
    sealed_hash: bytes = b""  # of the last leaf that is sealed

    def take(self, record: Record) -> None:
        """Adds a record. Raises OutOfOrder."""
        if record.offset <= self.last_offset:
            raise OutOfOrder(
                f"{record.topic}:{record.partition}:{record.offset} came after {self.last_offset}"
            )
        self.take_hash(record.offset, leaf_hash(record_leaf(record)))
        if record.topic in COMPACTED:
            self.kept.append(kept_leaf_of(record))

    def take_hash(self, offset: int, hashed: bytes) -> None:
        """Adds a record by the hash of its leaf."""
        self.added.append(hashed)
        self.last_offset, self.last_hash = offset, hashed

    def growth(self) -> Growth:
        """What the next seal says of it."""
        grown = self.grown()
        proof = tuple(extension_proof(self.sealed, self.added))
        return Growth(*self.place, grown.size, grown.root(), self.last_offset, proof, tuple(self.kept))

    def grown(self) -> Frontier:
        """The tree with all leaves."""
        tree = self.sealed.copy()
        for hashed in self.added:
            tree.append(hashed)
        return tree

    def settle(self) -> None:
        """All leaves are sealed now."""
        self.sealed, self.added, self.kept = self.grown(), [], []
        self.sealed_hash = self.last_hash


class Trees:
    """The trees of all partitions, over what a chain of seals says of them."""

    def __init__(self, chain: Chain) -> None:
        self.chain = chain
        self.by_place: dict[Place, Tree] = {}

    def tree(self, place: Place) -> Tree:
        """The tree of a partition; a new one has no leaves."""
        if place not in self.by_place:
            self.by_place[place] = Tree(place)
        return self.by_place[place]

    def take(self, record: Record) -> None:
        """Adds a record to its partition's tree. Raises OutOfOrder."""
        self.tree((record.topic, record.partition)).take(record)

    @property
    def unsealed(self) -> int:
        """How many records no seal has yet."""
        return sum(len(tree.added) for tree in self.by_place.values())

    def seal(
        self, key: PrivateKey, sealed_at: int, first: tuple[str, ...] = (), old_key: PrivateKey | None = None
    ) -> Seal:
        """The next seal over all that was taken. Nothing changes until `settle`.

        `first`: lines that the first checkpoint of all has beside, and `old_key` who signs that one too.
        """
        grown = tuple(tree.growth() for _, tree in sorted(self.by_place.items()) if tree.added)
        heads: dict[Place, Head] = {**self.chain.heads, **{growth.place: growth.head for growth in grown}}
        tree = self.chain.tree.copy()
        tree.append(sealed(sealed_at, heads, grown).hash)
        is_first = tree.size == 1
        note = Checkpoint(key.name, tree.size, tree.root(), first if is_first else ()).signed(key)
        if is_first and old_key is not None:
            note = note.with_signatures(old_key.sign(note.text))
        return Seal(note.content, sealed_at, grown)

    def settle(self, seal: Seal) -> None:
        """The seal is published: it is what the next one follows on. Raises BadSeal."""
        self.chain.take(seal)
        for growth in seal.grown:
            self.by_place[growth.place].settle()
