"""Merkle trees as in RFC 6962 and RFC 9162: a root over a list of leaves, and proofs that need few of the hashes.

A proof is a list of roots of ranges of leaves. Which ranges these are follows from the sizes alone, so whoever makes
proofs only has to find the roots of ranges, and whoever verifies them takes no word for their shape.
"""

from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256
from typing import Final, Self

import msgspec

HASH_BYTES: Final = 32
EMPTY_ROOT: Final = sha256(b"").digest()
SIZE_MAX: Final = 1 << 63
Span = tuple[int, int]  # of leaves: the first one, and the one that follows the last


class BadProof(ValueError):
    """A proof that does not prove what it is to prove; the text says why."""


def leaf_hash(leaf: bytes) -> bytes:
    """The hash of a leaf. Another prefix than a node's: or a node could be shown as a leaf."""
    return sha256(b"\0" + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of an inner node."""
    return sha256(b"\1" + left + right).digest()


class Frontier(msgspec.Struct):
    """What must be kept of a tree to append to it: one hash for each bit of its size that is set.

    The hashes are the roots of the largest whole subtrees from the left, the largest first.
    """

    size: int = 0
    hashes: list[bytes] = []

    def append(self, hashed: bytes) -> None:
        """Adds one leaf by its hash."""
        hashes, bits = self.hashes, self.size
        while bits & 1:
            hashed = sha256(b"\1" + hashes.pop() + hashed).digest()
            bits >>= 1
        hashes.append(hashed)
        self.size += 1

    def root(self) -> bytes:
        """The root of all leaves so far."""
        if not self.hashes:
            return EMPTY_ROOT
        found = self.hashes[-1]
        for left in reversed(self.hashes[:-1]):
            found = node_hash(left, found)
        return found

    def copy(self) -> Self:
        """Another one that stands where this one stands."""
        return type(self)(self.size, list(self.hashes))

    @property
    def is_whole(self) -> bool:
        """Whether it has the number and the length of hashes that its size asks for: it may come from a file."""
        fits = 0 <= self.size < SIZE_MAX and len(self.hashes) == self.size.bit_count()
        return fits and all(len(hashed) == HASH_BYTES for hashed in self.hashes)

    def spans(self) -> list[Span]:
        """The ranges of leaves that the hashes stand for."""
        found, start = [], 0
        for bit in reversed(range(self.size.bit_length())):
            if self.size >> bit & 1:
                found.append((start, start + (1 << bit)))
                start += 1 << bit
        return found


def root_of(hashes: Iterable[bytes]) -> bytes:
    """The root over leaves by their hashes."""
    frontier = Frontier()
    for hashed in hashes:
        frontier.append(hashed)
    return frontier.root()


def inclusion_spans(index: int, size: int) -> list[Span]:
    """The ranges whose roots prove that a leaf is in a tree, in the order of the proof: from the leaf up."""
    found: list[Span] = []
    first, end = 0, size
    while end - first > 1:
        middle = first + _split(end - first)
        if index < middle:
            found.append((middle, end))
            end = middle
        else:
            found.append((first, middle))
            first = middle
    return found[::-1]


def consistency_spans(old: int, new: int) -> list[Span]:
    """The ranges whose roots prove that a tree begins with an older one; none if that is empty, or the same."""
    if not 0 < old < new:
        return []
    found: list[Span] = []
    first, end, is_known = 0, new, True  # is_known: the range is the whole older tree, whose root is known
    while old != end:
        middle = first + _split(end - first)
        if old <= middle:
            found.append((middle, end))
            end = middle
        else:
            found.append((first, middle))
            first, is_known = middle, False
    if not is_known:
        found.append((first, end))
    return found[::-1]


def roots_of(spans: Sequence[Span], leaves: Iterable[bytes]) -> list[bytes]:
    """The roots of ranges that do not overlap, from the hashes of all leaves in order, in one pass."""
    ordered = sorted(spans)
    found: dict[Span, bytes] = {}
    numbered = enumerate(leaves)
    for span in ordered:
        found[span] = root_of(_taken(numbered, span))
    return [found[span] for span in spans]


def _taken(numbered: Iterator[tuple[int, bytes]], span: Span) -> Iterator[bytes]:
    first, end = span
    missing = end - first
    for number, hashed in numbered:
        if number >= first:
            yield hashed
            missing -= 1
            if not missing:
                return
    raise ValueError(f"leaves {first} to {end - 1} are wanted, and {missing} of them are not there")


def extension_proof(before: Frontier, added: Sequence[bytes]) -> list[bytes]:
    """The proof that a tree with leaves added begins with the one before, from what is kept of that one."""
    old, new = before.size, before.size + len(added)
    kept = dict(zip(before.spans(), before.hashes, strict=True))
    return [
        kept[span] if span in kept else root_of(added[span[0] - old : span[1] - old])
        for span in consistency_spans(old, new)
    ]


def verify_inclusion(hashed: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> None:
    """Raises BadProof unless the leaf with this hash is the one with this index in the tree of this size and root.

    Source: RFC 9162, 2.1.3.2.
    """
    _check_hashes((hashed, root, *proof))
    if not 0 <= index < size < SIZE_MAX:
        raise BadProof(f"there is no leaf {index} in a tree of {size}")
    if len(proof) != (wanted := len(inclusion_spans(index, size))):
        raise BadProof(f"the proof has {len(proof)} hashes; leaf {index} of {size} takes {wanted}")
    left, last, found = index, size - 1, hashed
    for sibling in proof:
        if left & 1 or left == last:
            found = node_hash(sibling, found)
            while not left & 1 and left:
                left, last = left >> 1, last >> 1
        else:
            found = node_hash(found, sibling)
        left, last = left >> 1, last >> 1
    if last or found != root:
        raise BadProof(f"leaf {index} of {size}: the proof leads to another root")


def verify_consistency(old: int, new: int, old_root: bytes, new_root: bytes, proof: Sequence[bytes]) -> None:
    """Raises BadProof unless the tree of size `new` begins with all leaves of the tree of size `old`.

    Source: RFC 9162, 2.1.4.2.
    """
    _check_hashes((old_root, new_root, *proof))
    if not 0 <= old <= new < SIZE_MAX:
        raise BadProof(f"a tree of {new} leaves cannot begin with one of {old}")
    if len(proof) != (wanted := len(consistency_spans(old, new))):
        raise BadProof(f"the proof has {len(proof)} hashes; from {old} to {new} leaves it takes {wanted}")
    if old == new:
        if old_root != new_root or (not old and old_root != EMPTY_ROOT):
            raise BadProof(f"two trees of {old} leaves have different roots")
    elif not old:
        if old_root != EMPTY_ROOT:
            raise BadProof("the root of the empty tree is another one")
    else:
        _verify_growth(old, new, old_root, new_root, proof)


def _verify_growth(old: int, new: int, old_root: bytes, new_root: bytes, proof: Sequence[bytes]) -> None:
    hashes = iter(proof if old & (old - 1) else (old_root, *proof))
    left, last = old - 1, new - 1
    while left & 1:
        left, last = left >> 1, last >> 1
    found_old = found_new = next(hashes)
    for sibling in hashes:
        if left & 1 or left == last:
            found_old, found_new = node_hash(sibling, found_old), node_hash(sibling, found_new)
            while not left & 1 and left:
                left, last = left >> 1, last >> 1
        else:
            found_new = node_hash(found_new, sibling)
        left, last = left >> 1, last >> 1
    if last or found_old != old_root or found_new != new_root:
        raise BadProof(f"the tree of {new} leaves does not begin with the tree of {old}")


def _check_hashes(hashes: Iterable[bytes]) -> None:
    for hashed in hashes:
        if type(hashed) is not bytes or len(hashed) != HASH_BYTES:
            raise BadProof(f"a hash of {HASH_BYTES} bytes is wanted, found {hashed!r:.80}")


def _split(size: int) -> int:
    """The largest power of two below a size: where its tree is cut."""
    return 1 << (size - 1).bit_length() - 1
