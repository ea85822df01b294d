"""Trees and proofs: the vectors of certificate transparency, the definition of the RFC, and forged proofs."""

from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neural_hive.replay.seal.merkle import (
    EMPTY_ROOT,
    BadProof,
    Frontier,
    consistency_spans,
    extension_proof,
    inclusion_spans,
    leaf_hash,
    node_hash,
    root_of,
    roots_of,
    verify_consistency,
    verify_inclusion,
)

# Leaves, roots and proofs of the reference implementation of certificate transparency.
LEAVES = [bytes.fromhex(text) for text in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657")]
LEAVES.append(bytes.fromhex("606162636465666768696a6b6c6d6e6f"))
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
INCLUSION = {
    (0, 8): [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ],
    (5, 8): [
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ],
}
CONSISTENCY = {
    (1, 1): [],
    (1, 8): INCLUSION[0, 8],
    (6, 8): [
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ],
    (2, 5): [
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ],
}
SIZES = st.integers(1, 70)


def defined_root(leaves: list[bytes]) -> bytes:
    """RFC 6962, 2.1, word for word."""
    if not leaves:
        return sha256(b"").digest()
    if len(leaves) == 1:
        return sha256(b"\0" + leaves[0]).digest()
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return sha256(b"\1" + defined_root(leaves[:k]) + defined_root(leaves[k:])).digest()


def defined_path(m: int, leaves: list[bytes]) -> list[bytes]:
    """RFC 6962, 2.1.1, word for word."""
    n = len(leaves)
    if n == 1:
        return []
    k = 1
    while k * 2 < n:
        k *= 2
    if m < k:
        return [*defined_path(m, leaves[:k]), defined_root(leaves[k:])]
    return [*defined_path(m - k, leaves[k:]), defined_root(leaves[:k])]


def defined_proof(m: int, leaves: list[bytes], is_whole: bool = True) -> list[bytes]:
    """RFC 6962, 2.1.2, word for word."""
    n = len(leaves)
    if m == n:
        return [] if is_whole else [defined_root(leaves)]
    k = 1
    while k * 2 < n:
        k *= 2
    if m <= k:
        return [*defined_proof(m, leaves[:k], is_whole), defined_root(leaves[k:])]
    return [*defined_proof(m - k, leaves[k:], False), defined_root(leaves[:k])]


def leaves_of(size: int) -> list[bytes]:
    return [f"leaf {number}".encode() for number in range(size)]


def hashes_of(size: int) -> list[bytes]:
    return [leaf_hash(leaf) for leaf in leaves_of(size)]


def inclusion(index: int, size: int) -> list[bytes]:
    return roots_of(inclusion_spans(index, size), hashes_of(size))


def consistency(old: int, new: int) -> list[bytes]:
    return roots_of(consistency_spans(old, new), hashes_of(new))


@pytest.mark.parametrize("size", range(len(ROOTS)))
def test_roots_of_the_reference(size: int) -> None:
    assert root_of(map(leaf_hash, LEAVES[:size])).hex() == ROOTS[size]


@pytest.mark.parametrize("place", INCLUSION)
def test_inclusion_proofs_of_the_reference(place: tuple[int, int]) -> None:
    index, size = place
    hashes = [leaf_hash(leaf) for leaf in LEAVES[:size]]
    proof = roots_of(inclusion_spans(index, size), hashes)
    assert [found.hex() for found in proof] == INCLUSION[place]
    verify_inclusion(hashes[index], index, size, proof, bytes.fromhex(ROOTS[size]))


@pytest.mark.parametrize("sizes", CONSISTENCY)
def test_consistency_proofs_of_the_reference(sizes: tuple[int, int]) -> None:
    old, new = sizes
    proof = roots_of(consistency_spans(old, new), [leaf_hash(leaf) for leaf in LEAVES[:new]])
    assert [found.hex() for found in proof] == CONSISTENCY[sizes]
    verify_consistency(old, new, bytes.fromhex(ROOTS[old]), bytes.fromhex(ROOTS[new]), proof)


@settings(deadline=None)
@given(st.data())
def test_proofs_are_those_of_the_definition(data: st.DataObject) -> None:
    size = data.draw(SIZES)
    index, old = data.draw(st.integers(0, size - 1)), data.draw(st.integers(1, size))
    leaves = leaves_of(size)
    assert inclusion(index, size) == defined_path(index, leaves)
    assert consistency(old, size) == defined_proof(old, leaves)
    root = defined_root(leaves)
    assert root_of(hashes_of(size)) == root
    verify_inclusion(leaf_hash(leaves[index]), index, size, inclusion(index, size), root)
    verify_consistency(old, size, defined_root(leaves[:old]), root, consistency(old, size))


@settings(deadline=None)
@given(st.data())
def test_a_frontier_is_the_tree(data: st.DataObject) -> None:
    size = data.draw(SIZES)
    old = data.draw(st.integers(0, size))
    hashes = hashes_of(size)
    frontier = Frontier()
    for hashed in hashes[:old]:
        frontier.append(hashed)
    before, proof = frontier.copy(), extension_proof(frontier, hashes[old:])
    for hashed in hashes[old:]:
        frontier.append(hashed)
    assert (before.root(), frontier.root()) == (root_of(hashes[:old]), root_of(hashes))
    assert frontier.is_whole and len(frontier.hashes) == size.bit_count()
    verify_consistency(old, size, before.root(), frontier.root(), proof)


def test_the_empty_tree() -> None:
    assert Frontier().root() == root_of([]) == EMPTY_ROOT
    verify_consistency(0, 0, EMPTY_ROOT, EMPTY_ROOT, [])
    verify_consistency(0, 5, EMPTY_ROOT, root_of(hashes_of(5)), [])


def refused_inclusion(hashed: bytes, index: int, size: int, proof: list[bytes], root: bytes) -> None:
    with pytest.raises(BadProof):
        verify_inclusion(hashed, index, size, proof, root)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_no_forged_inclusion_is_taken(data: st.DataObject) -> None:
    size = data.draw(SIZES)
    index = data.draw(st.integers(0, size - 1))
    hashed, proof, root = hashes_of(size)[index], inclusion(index, size), root_of(hashes_of(size))
    other = data.draw(st.integers(-2, 80).filter(lambda number: number != index))
    refused_inclusion(hashed, other, size, proof, root)
    refused_inclusion(leaf_hash(b"another"), index, size, proof, root)
    refused_inclusion(hashed, index, size, [*proof, data.draw(st.binary(min_size=32, max_size=32))], root)
    refused_inclusion(hashed, index, size, [root, *proof], root)
    refused_inclusion(hashed, index, size, proof, EMPTY_ROOT)
    if proof:
        at = data.draw(st.integers(0, len(proof) - 1))
        bit = data.draw(st.integers(0, 255))
        changed = bytearray(proof[at])
        changed[bit // 8] ^= 1 << bit % 8
        refused_inclusion(hashed, index, size, [*proof[:at], bytes(changed), *proof[at + 1 :]], root)
        refused_inclusion(hashed, index, size, proof[:at] + proof[at + 1 :], root)
        refused_inclusion(hashed, index, size, [], root)
        refused_inclusion(hashed, index, size, [*proof[:at], proof[at][:31], *proof[at + 1 :]], root)
        # An inner node shown as a leaf of a smaller tree with the same root, and the root as a tree of one leaf.
        pair = node_hash(hashed, proof[0]) if not index & 1 else node_hash(proof[0], hashed)
        refused_inclusion(pair, index >> 1, size, proof[1:], root)
        refused_inclusion(root, 0, size, [], root)
    # A tree of another size needs other hashes, or leads to another root.
    sizes = st.integers(0, 140).filter(lambda n: len(inclusion_spans(index, n)) != len(proof))
    refused_inclusion(hashed, index, data.draw(sizes), proof, root)


def test_a_node_is_no_leaf() -> None:
    """The bytes of two hashes as the content of a leaf have not the hash of their node."""
    left, right = hashes_of(2)
    assert leaf_hash(left + right) != node_hash(left, right) == root_of([left, right])
    refused_inclusion(leaf_hash(left + right), 0, 1, [], root_of([left, right]))


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_no_forged_growth_is_taken(data: st.DataObject) -> None:
    new = data.draw(SIZES)
    old = data.draw(st.integers(1, new))
    proof, roots = consistency(old, new), (root_of(hashes_of(old)), root_of(hashes_of(new)))

    def refused(old: int, new: int, roots: tuple[bytes, bytes], proof: list[bytes]) -> None:
        with pytest.raises(BadProof):
            verify_consistency(old, new, *roots, proof)

    forged = root_of([*hashes_of(old)[:-1], leaf_hash(b"another")])
    refused(old, new, (forged, roots[1]), proof)
    refused(old, new, (roots[0], forged), proof)
    refused(old, new, roots, [*proof, roots[1]])
    refused(old, new, roots, [roots[0], *proof])
    refused(0, new, roots, [])
    refused(0, 0, roots, [])
    refused(new + 1, new, roots, proof)
    refused(-1, new, roots, proof)
    if old < new:
        refused(new, old, (roots[1], roots[0]), proof)
        refused(old, new, (roots[1], roots[1]), proof)
        refused(old, new, (roots[0], roots[0]), proof)
        refused(old, new, roots, [])
        refused(old, old, roots, [])
        at = data.draw(st.integers(0, len(proof) - 1))
        refused(old, new, roots, proof[:at] + proof[at + 1 :])
        refused(old, new, roots, [*proof[:at], leaf_hash(proof[at]), *proof[at + 1 :]])
        refused(old, new, roots, [*proof[:at], b"", *proof[at + 1 :]])
    # A rewritten history: another old leaf, and all hashes right for it.
    rewritten = hashes_of(new)
    rewritten[old - 1] = leaf_hash(b"another")
    again = roots_of(consistency_spans(old, new), rewritten)
    refused(old, new, (roots[0], root_of(rewritten)), again)


def test_leaves_that_are_missing_make_no_proof() -> None:
    with pytest.raises(ValueError, match="not there"):
        roots_of(inclusion_spans(0, 8), hashes_of(6))
