"""What comes before sealing: the seals that there are, the trees that they stand for, and whether the log still has it.

Nothing is signed unless the log is an extension of what was signed before.
"""

from collections.abc import Iterator, Mapping

import structlog

from neural_hive.connectors.kafka_log import Record
from neural_hive.replay.reader import LogSource
from neural_hive.replay.seal.chain import Chain
from neural_hive.replay.seal.checkpoint import Checkpoint
from neural_hive.replay.seal.leaf import Head, Kept
from neural_hive.replay.seal.leaves import kept_of, sealed_leaves
from neural_hive.replay.seal.ledger import SealFile, has_topic, published
from neural_hive.replay.seal.merkle import Frontier
from neural_hive.replay.seal.note import BadNote, Note, PublicKey
from neural_hive.replay.seal.seal import CHECKPOINTS, BadSeal, Seal
from neural_hive.replay.seal.state import BadState, StateFile, restored
from neural_hive.replay.seal.trees import Tree, Trees

TopicPlace = tuple[int, int]  # partition and offset in the topic of checkpoints
log = structlog.get_logger(__name__)


class SealRefused(RuntimeError):
    """The log is not an extension of what was sealed: nothing may be signed. The text says where it differs."""


class Standing:
    """Where sealing goes on from."""

    def __init__(self, key: PublicKey) -> None:
        self.trees = Trees(Chain(key))
        self.place: TopicPlace | None = None  # of the last seal in the topic
        self.topic_ids: dict[str, str] = {}
        self.unpublished: Seal | None = None  # signed, and not in the topic


class CatchUp:
    """Brings the trees to where the seals are. Raises SealRefused; and what the source and the files raise."""

    def __init__(self, key: PublicKey, source: LogSource, state: StateFile, file: SealFile) -> None:
        self._key, self._source, self._state, self._file = key, source, state, file

    def run(self, topic_ids: Mapping[str, str]) -> Standing:
        """`topic_ids`: the topics to seal as they are now, by their names."""
        standing = self._kept()
        _check_ids(standing.topic_ids, topic_ids)
        standing.topic_ids |= topic_ids
        pending, standing.unpublished = standing.unpublished, None
        try:
            seals = self._published_since(standing)
            for seal in seals:
                standing.trees.chain.take(seal)
            if ahead := self._ahead(standing, pending):
                standing.trees.chain.take(ahead)
                standing.unpublished = ahead
                seals.append(ahead)
            self._sync_file(standing)
        except (BadSeal, BadNote) as error:
            raise SealRefused(f"the checkpoints in {CHECKPOINTS} and {self._file.path}: {error}") from error
        heads = {growth.place: growth.head for seal in seals for growth in seal.grown}
        kept = kept_of(seals)
        for place, head in heads.items():
            self._read(standing.trees.tree(place), head, kept.get(place, {}))
        return standing

    def _kept(self) -> Standing:
        """What the kept state says; nothing, if there is none that counts."""
        standing = Standing(self._key)
        try:
            state = self._state.read()
            if state is not None:
                standing.trees = restored(state, self._key)
                standing.place, standing.topic_ids = state.place, dict(state.topic_ids)
                standing.unpublished = state.pending
        except BadState as error:
            log.warning("the kept state does not count: all is made from the log", why=str(error))
            return Standing(self._key)
        return standing

    def _published_since(self, standing: Standing) -> list[Seal]:
        """The seals of the topic behind the one that the state knows, which must still be there."""
        known, found = standing.place, list[Seal]()
        note = standing.trees.chain.note.content if standing.trees.chain.note else ""
        for record, seal in self._in_topic(known):
            at = (record.partition, record.offset)
            if at == known:
                if seal.note != note:
                    raise SealRefused(
                        f"{CHECKPOINTS}:{at[0]}:{at[1]} holds another checkpoint than was signed"
                    )
                known = None
            else:
                found.append(seal)
                standing.place = at
        if known is not None:
            raise SealRefused(f"{CHECKPOINTS}:{known[0]}:{known[1]} is gone: it held the last checkpoint")
        return found

    def _in_topic(self, start: TopicPlace | None = None) -> Iterator[tuple[Record, Seal]]:
        if not has_topic(self._source):
            return iter(())
        return published(self._source if start is None else _Tail(self._source, start), self._key.name)

    def _ahead(self, standing: Standing, pending: Seal | None) -> Seal | None:
        """The seal that was signed last, if its writer died before it was published."""
        chain = standing.trees.chain
        note = chain.note.content if chain.note else ""
        last = pending or self._file.last()
        if last is None or last.note == note:
            return None
        size = Checkpoint.parse(Note.parse(last.note).text).size
        return last if size == chain.size + 1 else None

    def _read(self, tree: Tree, head: Head, kept: Mapping[int, Kept]) -> None:
        """Reads a partition up to its head, which must be what was sealed."""
        first = tree.last_offset + 1
        for offset, hashed in sealed_leaves(self._source, head.place, first, head.last_offset + 1, kept):
            tree.take_hash(offset, hashed)
        grown: Frontier = tree.grown()
        if (grown.size, grown.root(), tree.last_offset) != (head.size, head.root, head.last_offset):
            raise SealRefused(
                f"{head.topic}:{head.partition}: offsets {first} to {head.last_offset} give {grown.size} records "
                f"with another root than the {head.size} that were sealed"
            )
        tree.settle()

    def _sync_file(self, standing: Standing) -> None:
        """The file must hold the same seals; what it lacks is added."""
        note, last = standing.trees.chain.note, self._file.last()
        if (note.content if note else None) == (last.note if last else None):
            return
        signed = [seal for _, seal in self._in_topic()]
        signed += [standing.unpublished] if standing.unpublished else []
        in_file = [seal.note for seal in self._file.seals()]
        if in_file != [seal.note for seal in signed[: len(in_file)]]:
            raise SealRefused(
                f"{self._file.path} holds {len(in_file)} checkpoints, and {CHECKPOINTS} has others, or fewer: "
                f"{len(signed)}"
            )
        missing = signed[len(in_file) :]
        if len(missing) > (1 if standing.unpublished else 0):
            log.warning("the file of seals lacked checkpoints", file=str(self._file.path), count=len(missing))
        self._file.append(missing)


class _Tail:
    """The topic of checkpoints from a place on."""

    name = "tail"

    def __init__(self, source: LogSource, start: TopicPlace) -> None:
        self._source, self._start = source, start
        self.spans, self.batches = source.spans, source.batches

    def ranges(self, topic: str) -> Mapping[int, tuple[int, int]]:
        """See LogSource.ranges."""
        partition, offset = self._start
        found = self._source.ranges(topic)
        return {partition: (offset, found.get(partition, (0, 0))[1])}


def _check_ids(before: Mapping[str, str], now: Mapping[str, str]) -> None:
    for topic, known in before.items():
        if now.get(topic) != known:
            raise SealRefused(
                f"the topic {topic} that was sealed had the id {known}; "
                + (f"it was made anew, with the id {now[topic]}" if topic in now else "it is gone")
            )
