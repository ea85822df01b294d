"""Makes proofs from the log and its seals: that a record was sealed, and that one checkpoint follows on another."""

import base64
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain as joined

import msgspec

from neural_hive.connectors.kafka_log import Record
from neural_hive.replay.reader import LogSource
from neural_hive.replay.seal.chain import Chain
from neural_hive.replay.seal.checkpoint import Checkpoint, opened
from neural_hive.replay.seal.leaf import Head, Kept, Place, head_leaf, record_leaf
from neural_hive.replay.seal.leaves import kept_of, sealed_leaves
from neural_hive.replay.seal.merkle import (
    consistency_spans,
    inclusion_spans,
    leaf_hash,
    roots_of,
    verify_consistency,
    verify_inclusion,
)
from neural_hive.replay.seal.note import BadNote, Note, PublicKey
from neural_hive.replay.seal.proof import FORMAT, Proof
from neural_hive.replay.seal.seal import WITNESSES, Seal, Sealed
from neural_hive.schemas.catalogue import UnknownSchema
from neural_hive.schemas.codec import BadRecord, decode
from neural_hive.schemas.envelope import Envelope


class NotSealed(LookupError):
    """There is no seal over what was asked for, or it is not what was sealed; the text says which."""


class History:
    """All seals of one log, each checked to follow on the one before. Raises BadSeal."""

    def __init__(self, key: PublicKey, seals: Iterable[Seal]) -> None:
        self.chain = Chain(key)
        self.leaves: list[bytes] = []  # of the tree of seals
        self.seals: list[Seal] = []
        for seal in seals:
            self.add(seal)

    def add(self, seal: Seal) -> None:
        """The next one. Raises BadSeal, and has what it had."""
        self.chain.take(seal)
        assert self.chain.last is not None
        self.leaves.append(self.chain.last.hash)
        self.seals.append(seal)

    def first_with(self, place: Place, offset: int) -> int | None:
        """The number of the first seal that covers a record; None: none does yet."""
        for number, seal in enumerate(self.seals):
            if any(g.place == place and g.last_offset >= offset for g in seal.grown):
                return number
        return None

    def at(self, number: int) -> tuple[dict[Place, Head], Sealed]:
        """The heads of all partitions as a seal has them, and what it is the leaf of."""
        chain = Chain(self.chain.key)
        for seal in self.seals[: number + 1]:
            chain.take(seal)
        assert chain.last is not None
        return chain.heads, chain.last

    def note(self, number: int) -> Note:
        """The checkpoint that a seal was published with."""
        return Note.parse(self.seals[number].note)

    def consistency(self, old: Checkpoint, new: Checkpoint) -> list[bytes]:
        """The proof that the log of the new checkpoint begins with that of the old. Raises NotSealed, BadProof."""
        if new.size > len(self.leaves):
            raise NotSealed(f"there are {len(self.leaves)} seals; the checkpoint is over {new.size}")
        proof = roots_of(consistency_spans(old.size, new.size), self.leaves[: new.size])
        verify_consistency(old.size, new.size, old.root, new.root, proof)
        return proof


def prove(
    source: LogSource, history: History, cosignatures: Mapping[int, Note], place: Place, offset: int
) -> Proof:
    """The proof that a record is in the log, by the first checkpoint over it that a witness has cosigned, if one has.

    `cosignatures`: see `cosigned`. Raises NotSealed; BadProof: the log has another record than was sealed.
    """
    where = f"{place[0]}:{place[1]}:{offset}"
    first = history.first_with(place, offset)
    if first is None:
        raise NotSealed(
            f"{where} is not sealed yet, or not in the log. The sealer seals it within seal_every_s"
        )
    number = min((size - 1 for size in cosignatures if size > first), default=first)
    heads, sealed = history.at(number)
    ordered = sorted(heads)
    head, index = heads[place], ordered.index(place)
    record = _record(source, place, offset)
    kept = kept_of(history.seals[: number + 1]).get(place, {})
    leaf_index, path = _path(source, head, offset, kept)
    verify_inclusion(leaf_hash(record_leaf(record)), leaf_index, head.size, path, head.root)
    head_hashes = [leaf_hash(head_leaf(heads[at])) for at in ordered]
    size = number + 1
    note = cosignatures.get(size) or history.note(number)
    return Proof(
        FORMAT,
        record_leaf(record),
        leaf_index,
        tuple(path),
        head,
        index,
        tuple(roots_of(inclusion_spans(index, len(ordered)), head_hashes)),
        sealed,
        number,
        tuple(roots_of(inclusion_spans(number, size), history.leaves[:size])),
        note.content,
    )


def _record(source: LogSource, place: Place, offset: int) -> Record:
    _, end = source.ranges(place[0]).get(place[1], (0, 0))
    for record in joined.from_iterable(source.batches(*place, offset, min(offset + 1, end))):
        return record
    raise NotSealed(f"there is no record at {place[0]}:{place[1]}:{offset}: it may be a transaction's marker")


def _path(source: LogSource, head: Head, offset: int, kept: Mapping[int, Kept]) -> tuple[int, list[bytes]]:
    """The index of a record's leaf, and its path to the root of the partition."""
    hashes: list[bytes] = []
    index = -1
    for at, hashed in sealed_leaves(source, head.place, 0, head.last_offset + 1, kept):
        if at == offset:
            index = len(hashes)
        hashes.append(hashed)
    if index < 0 or len(hashes) != head.size:
        raise NotSealed(
            f"{head.topic}:{head.partition} has {len(hashes)} records up to offset {head.last_offset}; "
            f"{head.size} were sealed. See `neural-hive replay verify`"
        )
    return index, roots_of(inclusion_spans(index, head.size), hashes)


def cosigned(source: LogSource, history: History) -> dict[int, Note]:
    """The checkpoints of the history that witnesses have cosigned, by their sizes, with all cosignatures on them."""
    found: dict[int, Note] = {}
    for note in witnessed(source):
        size = _size_in(history, note)
        if size is None:
            continue
        known = found.get(size) or history.note(size - 1)
        lines = "".join(s.line for s in note.signatures if s not in known.signatures)
        found[size] = known.with_signatures(lines) if lines else known
    return found


def _size_in(history: History, note: Note) -> int | None:
    try:
        _, checkpoint = opened(note.content, history.chain.key)
    except BadNote:
        return None
    is_there = 0 < checkpoint.size <= len(history.seals)
    return checkpoint.size if is_there and history.note(checkpoint.size - 1).text == note.text else None


def witnessed(source: LogSource) -> list[Note]:
    """Every note in the topic of witnesses that is one; whose they are is not looked at."""
    found = []
    for partition, bounds in source.ranges(WITNESSES).items():
        for record in joined.from_iterable(source.batches(WITNESSES, partition, *bounds)):
            try:
                found.append(Note.parse(decode(record.value or b"", "message").payload["note"]))
            except (BadRecord, UnknownSchema, BadNote, KeyError):
                continue
    return found


def find_event(source: LogSource, topics: Sequence[str], event_id: str) -> tuple[Place, int]:
    """Where an event lies. Raises NotSealed: nowhere."""
    needle = event_id.encode()
    for topic in topics:
        for partition, bounds in source.ranges(topic).items():
            for record in joined.from_iterable(source.batches(topic, partition, *bounds)):
                if needle in (record.value or b"") and _is_event(record, event_id):
                    return (topic, partition), record.offset
    raise NotSealed(f"no event has the id {event_id}: `neural-hive replay history` shows where events lie")


def _is_event(record: Record, event_id: str) -> bool:
    try:
        head = decode(record.value or b"", "event").head
    except (BadRecord, UnknownSchema):
        return False
    return isinstance(head, Envelope) and head.event_id == event_id


def proof_text(old: Checkpoint, new: Checkpoint, proof: Sequence[bytes]) -> str:
    """A consistency proof as others take it: the sizes, and one hash in base64 a line."""
    lines = [f"old {old.size}", *(base64.b64encode(hashed).decode() for hashed in proof), f"new {new.size}"]
    return "\n".join(lines)


def proof_bytes(proof: Proof) -> bytes:
    """A proof as a file holds it."""
    return msgspec.json.format(msgspec.json.encode(proof)) + b"\n"
