"""What a sealer keeps between two runs: of each tree the few hashes that are needed to let it grow.

It is only a short cut. It counts if it fits the last checkpoint that was signed; without it all is made from the log.
"""

from pathlib import Path
from typing import Final

import msgspec

from neural_hive.connectors.disk import write_whole
from neural_hive.replay.seal.chain import Chain
from neural_hive.replay.seal.leaf import Head
from neural_hive.replay.seal.merkle import Frontier
from neural_hive.replay.seal.note import PublicKey
from neural_hive.replay.seal.packed import NotCanonical
from neural_hive.replay.seal.seal import BadSeal, Seal, Sealed
from neural_hive.replay.seal.trees import Tree, Trees

_VERSION: Final = 1


class BadState(ValueError):
    """A kept state that does not fit what was signed; the text says why."""


class KeptTree(msgspec.Struct, frozen=True):
    """One partition."""

    head: Head
    frontier: Frontier
    last_hash: bytes


class State(msgspec.Struct, frozen=True):
    """All that is kept. `pending` is signed and may not be published yet."""

    version: int
    note: str
    before: Frontier  # the tree of seals without the last one
    last: Sealed | None
    trees: tuple[KeptTree, ...]
    topic_ids: dict[str, str]
    place: tuple[int, int] | None  # where the last seal stands in the topic: partition and offset
    pending: Seal | None = None


def kept_state(
    trees: Trees, topic_ids: dict[str, str], place: tuple[int, int] | None, pending: Seal | None = None
) -> State:
    """What to keep of trees whose leaves are all sealed, or are in `pending`."""
    chain = trees.chain
    kept = tuple(
        KeptTree(head, trees.by_place[at].sealed, trees.by_place[at].sealed_hash)
        for at, head in sorted(chain.heads.items())
    )
    note = chain.note.content if chain.note else ""
    return State(_VERSION, note, chain.before, chain.last, kept, topic_ids, place, pending)


def restored(state: State, key: PublicKey) -> Trees:
    """The trees of a state. Raises BadState: it does not fit the checkpoint that it names."""
    if not state.last:
        if state.trees or state.note:
            raise BadState("it has trees, and no seal of them")
        return Trees(Chain(key))
    if state.version != _VERSION:
        raise BadState(f"it is of version {state.version}, expected {_VERSION}")
    for kept in state.trees:
        whole = kept.frontier.is_whole and kept.frontier.size == kept.head.size
        if not whole or kept.frontier.root() != kept.head.root:
            raise BadState(f"its tree of {kept.head.topic}:{kept.head.partition} has another root")
    try:
        heads = [kept.head for kept in state.trees]
        trees = Trees(Chain.restored(key, state.note, state.before, state.last, heads))
    except (BadSeal, NotCanonical) as error:
        raise BadState(str(error)) from error
    for kept in state.trees:
        place, last = kept.head.place, kept.head.last_offset
        trees.by_place[place] = Tree(place, kept.frontier, last, kept.last_hash, sealed_hash=kept.last_hash)
    return trees


class StateFile:
    """Where the state is kept. Raises OSError."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> State | None:
        """None: there is none. Raises BadState: it is damaged."""
        try:
            return msgspec.json.decode(self.path.read_bytes(), type=State)
        except FileNotFoundError:
            return None
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise BadState(f"it cannot be read: {error}") from None

    def write(self, state: State) -> None:
        """Replaces it, whole or not at all."""
        write_whole(self.path, msgspec.json.encode(state))
