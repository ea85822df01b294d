"""Follows the seals of one log, and takes only those that follow on the ones before.

It takes nobody's word: it makes the tree of seals itself, and proves of each partition that it only grew.
"""

from collections.abc import Iterable
from typing import Self

from neural_hive.replay.seal.checkpoint import Checkpoint, opened
from neural_hive.replay.seal.leaf import Head, Place, heads_root
from neural_hive.replay.seal.merkle import EMPTY_ROOT, BadProof, Frontier, verify_consistency
from neural_hive.replay.seal.note import BadNote, Note, PublicKey
from neural_hive.replay.seal.seal import BadSeal, Growth, Seal, Sealed, sealed


class Chain:
    """How far a log is sealed, by the seals that were taken."""

    def __init__(self, key: PublicKey) -> None:
        self.key = key
        self.tree = Frontier()  # of seals
        self.before = Frontier()  # the same without the last one
        self.last: Sealed | None = None
        self.note: Note | None = None
        self.heads: dict[Place, Head] = {}

    @classmethod
    def restored(
        cls, key: PublicKey, note: str, before: Frontier, last: Sealed, heads: Iterable[Head]
    ) -> Self:
        """A chain as it was kept. Raises BadSeal: it is not what the checkpoint was signed over."""
        chain, ordered = cls(key), list(heads)
        try:
            chain.note, checkpoint = opened(note, key)
        except BadNote as error:
            raise BadSeal(f"what was kept: {error}") from error
        places = [head.place for head in ordered]
        if places != sorted(set(places)) or (len(places), heads_root(ordered)) != (
            last.partitions,
            last.heads_root,
        ):
            raise BadSeal("the partitions that were kept are not those that were sealed")
        if not before.is_whole:
            raise BadSeal("the tree of seals that was kept is not whole")
        chain.before, chain.last, chain.tree = before, last, before.copy()
        chain.tree.append(last.hash)
        if (chain.tree.size, chain.tree.root()) != (checkpoint.size, checkpoint.root):
            raise BadSeal(f"the tree of seals that was kept is not that of checkpoint {checkpoint.size}")
        chain.heads = {head.place: head for head in ordered}
        return chain

    @property
    def size(self) -> int:
        """How many seals there are."""
        return self.tree.size

    @property
    def records(self) -> int:
        """How many records are sealed."""
        return sum(head.size for head in self.heads.values())

    def take(self, seal: Seal) -> Checkpoint:
        """The next seal. Raises BadSeal, and stands where it stood."""
        heads = dict(self.heads)
        for growth in seal.grown:
            _check_growth(heads.get(growth.place), growth)
            heads[growth.place] = growth.head
        note, checkpoint = self._opened(seal)
        found = sealed(seal.sealed_at, heads, seal.grown)
        tree = self.tree.copy()
        tree.append(found.hash)
        if (checkpoint.size, checkpoint.root) != (tree.size, tree.root()):
            raise BadSeal(
                f"seal {tree.size}: its checkpoint is over {checkpoint.size} seals with the root "
                f"{checkpoint.root.hex()}; those that are there have {tree.root().hex()}"
            )
        self.before, self.tree = self.tree, tree
        self.last, self.note, self.heads = found, note, heads
        return checkpoint

    def _opened(self, seal: Seal) -> tuple[Note, Checkpoint]:
        try:
            return opened(seal.note, self.key)
        except BadNote as error:
            raise BadSeal(f"seal {self.size + 1}: {error}") from error


def _check_growth(before: Head | None, growth: Growth) -> None:
    old, root, last = (before.size, before.root, before.last_offset) if before else (0, EMPTY_ROOT, -1)
    where = f"{growth.topic}:{growth.partition}"
    if not growth.size > old or not growth.last_offset > last:
        raise BadSeal(
            f"{where}: {growth.size} records up to offset {growth.last_offset} do not follow on {old} up to {last}"
        )
    if growth.leaves and len(growth.leaves) != growth.size - old:
        raise BadSeal(f"{where}: {len(growth.leaves)} leaves are kept of {growth.size - old} new records")
    try:
        verify_consistency(old, growth.size, root, growth.root, growth.proof)
    except BadProof as error:
        raise BadSeal(
            f"{where} is rewritten at or below offset {last}: {error}" if old else f"{where}: {error}"
        ) from error
