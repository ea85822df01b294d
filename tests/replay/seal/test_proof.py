"""Proofs of records and of growth: right ones hold with the public key alone, forged ones never."""

import subprocess
import sys

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neural_hive.connectors.schema_log import TOPIC as SCHEMAS
from neural_hive.replay.seal.checkpoint import Checkpoint
from neural_hive.replay.seal.leaf import record_leaf
from neural_hive.replay.seal.merkle import BadProof, node_hash
from neural_hive.replay.seal.note import LOG, WITNESS, Note, PrivateKey
from neural_hive.replay.seal.proof import Proof, ProofRefused, check_proof, described, read_proof
from neural_hive.replay.seal.prove import History, NotSealed, proof_bytes, proof_text, prove
from tests.replay.seal.sealing import KEY, MemorySource, edited, records, sealed_in_steps, small_log

LOGGED = small_log()
SEALS = sealed_in_steps(LOGGED)
HISTORY = History(KEY.public, SEALS)
WITNESS_KEY = PrivateKey.make("example.com/witness", WITNESS)
EVERY = [record for held in LOGGED.values() for record in held]


def proof_of(record_index: int) -> Proof:
    record = EVERY[record_index]
    return prove(MemorySource(LOGGED), HISTORY, {}, (record.topic, record.partition), record.offset)


def refused(proof: Proof, says: str = "") -> None:
    with pytest.raises(ProofRefused) as error:
        check_proof(proof, KEY.public)
    assert says in str(error.value)


@pytest.mark.parametrize("index", range(len(EVERY)))
def test_every_record_can_be_proven(index: int) -> None:
    proof = read_proof(proof_bytes(proof_of(index)))
    proven = check_proof(proof, KEY.public)
    assert proven.record == EVERY[index]
    assert proven.origin == KEY.name


def test_a_proof_says_what_it_shows() -> None:
    told = described(check_proof(proof_of(0), KEY.public))
    assert told.startswith(
        f"events:0:0 is in the log {KEY.name}\nrecord 1 of its partition, sealed at 2026-11-1"
    )


def test_a_witness_that_is_asked_for_must_have_cosigned() -> None:
    note = HISTORY.note(2)
    cosigned = note.with_signatures(WITNESS_KEY.sign(note.text, 1_790_000_000))
    record = EVERY[0]
    proof = prove(
        MemorySource(LOGGED), HISTORY, {3: cosigned}, (record.topic, record.partition), record.offset
    )
    proven = check_proof(proof, KEY.public, [WITNESS_KEY.public])
    assert proven.seals == 3  # the first one that was witnessed, though the first covers it
    assert proven.witnessed_at == {"example.com/witness": 1_790_000_000}
    assert "witnessed by example.com/witness at 2026-09-21" in described(proven)
    with pytest.raises(ProofRefused, match="is not signed by example"):
        check_proof(proof_of(0), KEY.public, [WITNESS_KEY.public])


def test_a_proof_with_another_key_is_refused() -> None:
    other = PrivateKey.make(KEY.name, LOG)
    with pytest.raises(ProofRefused, match="is not signed by"):
        check_proof(proof_of(3), other.public)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_no_change_of_a_proof_is_taken(data: st.DataObject) -> None:
    """Any field of any proof, with the field of another proof or a nearby value in its place."""
    one = proof_of(data.draw(st.integers(0, len(EVERY) - 1)))
    other = proof_of(data.draw(st.integers(0, len(EVERY) - 1)))
    name = data.draw(st.sampled_from([n for n in Proof.__struct_fields__ if n != "format"]))
    value = getattr(one, name)
    if isinstance(value, int):
        changed = value + data.draw(st.sampled_from([-1, 1, 2, 1 << 62, -(1 << 62)]))
    elif isinstance(value, tuple):
        forms = [
            value[1:],
            (*value, b"\0" * 32),
            (*value, *value),
            value[::-1],
            tuple(h[::-1] for h in value),
        ]
        changed = data.draw(st.sampled_from(forms))
    elif isinstance(value, bytes):
        changed = data.draw(
            st.sampled_from([value[:-1], value + b"\0", b"", value.replace(b"value", b"valuf")])
        )
    elif name == "head":
        field = data.draw(st.sampled_from(["size", "last_offset", "partition"]))
        changed = msgspec.structs.replace(value, **{field: getattr(value, field) + 1})
    else:
        changed = getattr(other, name)
    if changed == value:
        return
    refused(msgspec.structs.replace(one, **{name: changed}))


def test_an_edited_record_has_no_proof() -> None:
    proof = proof_of(7)
    forged = edited(EVERY[7], value=b"another")
    refused(msgspec.structs.replace(proof, record=record_leaf(forged)), "another root")
    log = {
        **LOGGED,
        ("events", 0): [edited(r, value=b"x") if r.offset == 3 else r for r in LOGGED["events", 0]],
    }
    with pytest.raises(BadProof):
        prove(MemorySource(log), HISTORY, {}, ("events", 0), 3)
    with pytest.raises(BadProof):  # nor has any other record of the partition
        prove(MemorySource(log), HISTORY, {}, ("events", 0), 4)
    log["events", 0].pop(5)
    with pytest.raises(NotSealed, match="records up to offset"):
        prove(MemorySource(log), HISTORY, {4: HISTORY.note(3)}, ("events", 0), 4)


def test_a_node_passes_for_no_record() -> None:
    """The two children of a node, shown as what a leaf is made of: a leaf has a form, and another prefix."""
    proof = proof_of(0)
    refused(msgspec.structs.replace(proof, record=proof.path[0] * 2), "does not begin with")
    refused(msgspec.structs.replace(proof, path=(node_hash(proof.path[0], proof.path[1]), *proof.path[2:])))


def test_a_record_of_another_place_is_refused() -> None:
    """A leaf that is really in the tree of one partition does not stand for its twin in another."""
    proof = proof_of(0)
    twin = msgspec.structs.replace(proof.head, partition=1)
    refused(msgspec.structs.replace(proof, head=twin), "the proof is about events:1")


@pytest.mark.parametrize(
    "content",
    [b"", b"{}", b"[1]", b"\xff", b'{"format": "neural-hive proof v1"}', b'{"format": "x", "extra": 1}'],
)
def test_what_is_no_proof_file(content: bytes) -> None:
    with pytest.raises(ProofRefused, match="it is no proof file"):
        read_proof(content)


def test_another_format_is_not_guessed() -> None:
    content = proof_bytes(msgspec.structs.replace(proof_of(0), format="neural-hive proof v2"))
    with pytest.raises(ProofRefused, match="of the format neural-hive proof v2"):
        read_proof(content)


def test_what_is_not_sealed_has_no_proof() -> None:
    with pytest.raises(NotSealed, match="is not sealed yet"):
        prove(MemorySource(LOGGED), HISTORY, {}, ("events", 0), 999)
    with pytest.raises(NotSealed, match="a transaction's marker"):
        prove(MemorySource(LOGGED), HISTORY, {}, ("events", 0), 2)


def checkpoint(number: int) -> Checkpoint:
    return Checkpoint.parse(HISTORY.note(number - 1).text)


def test_checkpoints_follow_on_each_other() -> None:
    for old in range(1, 5):
        for new in range(old, 5):
            HISTORY.consistency(checkpoint(old), checkpoint(new))
    assert (
        proof_text(checkpoint(1), checkpoint(3), HISTORY.consistency(checkpoint(1), checkpoint(3))).count(
            "\n"
        )
        == 3
    )
    forked = History(KEY.public, sealed_in_steps({**LOGGED, ("events", 1): records("events", 1, 9, first=1)}))
    with pytest.raises(BadProof):
        forked.consistency(checkpoint(2), Checkpoint.parse(forked.note(3).text))
    with pytest.raises(NotSealed, match="there are 4 seals"):
        HISTORY.consistency(checkpoint(2), msgspec.structs.replace(checkpoint(4), size=5))


def test_of_a_compacted_topic_what_remains_can_be_proven() -> None:
    held = records(SCHEMAS, 0, 12)  # four keys in turn
    history = History(KEY.public, sealed_in_steps({(SCHEMAS, 0): held}))
    last_of_key = {record.key: record.offset for record in held}
    compacted = [record for record in held if record.offset == last_of_key[record.key]]
    assert len(compacted) < len(held)
    for record in compacted:
        proof = prove(MemorySource({(SCHEMAS, 0): compacted}), history, {}, (SCHEMAS, 0), record.offset)
        assert check_proof(proof, KEY.public).record == record
    with pytest.raises(NotSealed, match="records up to offset"):  # one that nothing replaces is gone
        prove(MemorySource({(SCHEMAS, 0): compacted[:-1]}), history, {}, (SCHEMAS, 0), compacted[0].offset)


def test_checking_needs_no_kafka() -> None:
    """What the auditor runs imports neither a Kafka client nor the settings."""
    code = (
        "import sys, neural_hive.replay.seal.proof; "
        "found = {'confluent_kafka', 'neural_hive.settings', 'chdb', 'rich'} & sys.modules.keys(); "
        "sys.exit(', '.join(found) or None)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_note_is_what_was_signed() -> None:
    assert Note.parse(SEALS[0].note).content == SEALS[0].note
