"""The proof that one record was in the log when it was sealed, and how it is checked.

Checking needs the proof and a public key, nothing else: no Kafka, no settings, no network. It climbs three trees:

    record → root of its partition → root over all partitions → root over all seals, which the checkpoint signs
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

import msgspec

from neural_hive.connectors.record import Record
from neural_hive.replay.seal.checkpoint import opened
from neural_hive.replay.seal.leaf import Head, head_leaf, record_of
from neural_hive.replay.seal.merkle import BadProof, leaf_hash, verify_inclusion
from neural_hive.replay.seal.note import BadNote, PublicKey
from neural_hive.replay.seal.packed import NotCanonical
from neural_hive.replay.seal.seal import Sealed

FORMAT: Final = "neural-hive proof v1"
BYTES_MAX: Final = 64 * 1024 * 1024


class ProofRefused(ValueError):
    """A proof that proves nothing; the text says why."""


class Proof(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a proof file holds, as JSON with bytes in base64."""

    format: str
    record: bytes  # canonical form
    leaf_index: int  # in its partition
    path: tuple[bytes, ...]
    head: Head  # of the partition
    head_index: int  # among all partitions
    head_path: tuple[bytes, ...]
    sealed: Sealed
    seal_index: int
    seal_path: tuple[bytes, ...]
    checkpoint: str  # signed note


class Proven(msgspec.Struct, frozen=True):
    """What a proof shows."""

    record: Record
    leaf_index: int
    sealed_at: int  # µs since 1970 UTC, by the sealer's clock
    origin: str  # which log
    seals: int  # the size of the checkpoint
    witnessed_at: dict[str, int]  # name of a witness → s since 1970 UTC, by its clock


def read_proof(content: bytes) -> Proof:
    """Reads a proof file. Raises ProofRefused."""
    if len(content) > BYTES_MAX:
        raise ProofRefused(f"it has {len(content)} bytes: no proof is so large")
    try:
        found = msgspec.json.decode(content, type=Proof)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ProofRefused(f"it is no proof file: {error}") from None
    if found.format != FORMAT:
        raise ProofRefused(f"it is of the format {found.format:.80}, expected {FORMAT}")
    return found


def check_proof(proof: Proof, key: PublicKey, witnesses: Sequence[PublicKey] = ()) -> Proven:
    """Checks a proof. Raises ProofRefused, also if one of the witnesses has not cosigned the checkpoint."""
    try:
        return _checked(proof, key, witnesses)
    except (BadNote, BadProof, NotCanonical) as error:
        raise ProofRefused(str(error)) from error


def _checked(proof: Proof, key: PublicKey, witnesses: Sequence[PublicKey]) -> Proven:
    head, sealed = proof.head, proof.sealed
    record = record_of(proof.record)
    if (record.topic, record.partition) != head.place or record.offset > head.last_offset:
        raise BadProof(
            f"the record is {record.topic}:{record.partition}:{record.offset}; the proof is about "
            f"{head.topic}:{head.partition} up to offset {head.last_offset}"
        )
    note, checkpoint = opened(proof.checkpoint, key)
    verify_inclusion(leaf_hash(proof.record), proof.leaf_index, head.size, proof.path, head.root)
    verify_inclusion(
        leaf_hash(head_leaf(head)), proof.head_index, sealed.partitions, proof.head_path, sealed.heads_root
    )
    verify_inclusion(sealed.hash, proof.seal_index, checkpoint.size, proof.seal_path, checkpoint.root)
    witnessed_at = {}
    for witness in witnesses:
        note.check_signed(witness)
        witnessed_at[witness.name] = note.signed_at(witness) or 0
    return Proven(
        record, proof.leaf_index, sealed.sealed_at, checkpoint.origin, checkpoint.size, witnessed_at
    )


def described(proven: Proven) -> str:
    """What was proven, for a person."""
    record = proven.record
    lines = [
        f"{record.topic}:{record.partition}:{record.offset} is in the log {proven.origin}",
        f"record {proven.leaf_index + 1} of its partition, sealed at {_time(proven.sealed_at / 1_000_000)} "
        f"by checkpoint {proven.seals}",
    ]
    lines += [f"witnessed by {name} at {_time(at)}" for name, at in proven.witnessed_at.items()]
    return "\n".join(lines)


def _time(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, UTC).isoformat(sep=" ", timespec="seconds")
