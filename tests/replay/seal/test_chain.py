"""Seals that follow on each other are taken; who rewrites, leaves out or repeats is refused, and the place named."""

import msgspec
import pytest

from neural_hive.connectors.schema_log import TOPIC as SCHEMAS
from neural_hive.replay.seal.chain import Chain
from neural_hive.replay.seal.leaf import record_leaf
from neural_hive.replay.seal.merkle import leaf_hash, root_of
from neural_hive.replay.seal.note import LOG, PrivateKey
from neural_hive.replay.seal.seal import BadSeal, Seal
from neural_hive.replay.seal.trees import OutOfOrder, Trees
from neural_hive.schemas.codec import decode, encode_message
from neural_hive.schemas.envelope import Header
from tests.replay.seal.sealing import KEY, T0, Log, edited, records, sealed_in_steps, small_log


def followed(seals: list[Seal]) -> Chain:
    chain = Chain(KEY.public)
    for seal in seals:
        chain.take(seal)
    return chain


def test_seals_follow_on_each_other() -> None:
    log = small_log()
    chain = followed(sealed_in_steps(log))
    assert chain.size == 4
    assert chain.records == sum(len(held) for held in log.values()) == 46
    assert chain.heads.keys() == {place for place, held in log.items() if held}
    for place, head in chain.heads.items():
        hashes = [leaf_hash(record_leaf(record)) for record in log[place]]
        assert (head.size, head.root) == (len(hashes), root_of(hashes))
        assert head.last_offset == log[place][-1].offset


def test_a_seal_is_a_message_and_a_line() -> None:
    for seal in sealed_in_steps(small_log()):
        header = Header("m", "CheckpointSealed", T0, "log", "log", "", "a" * 32, "b" * 16, "sealer")
        assert Seal.of_payload(decode(encode_message(header, seal.payload), "message").payload) == seal
        assert Seal.of_line(seal.line) == seal
    with pytest.raises(BadSeal, match="a line that holds no seal"):
        Seal.of_line(b'{"note": 1}')


def test_a_record_comes_once_and_in_order() -> None:
    trees = Trees(Chain(KEY.public))
    first, second = records("events", 0, 2)
    trees.take(second)
    for record in (first, second):
        with pytest.raises(OutOfOrder):
            trees.take(record)


def test_a_seal_left_out_or_repeated_is_refused() -> None:
    seals = sealed_in_steps(small_log())
    for wrong in (seals[1:], [seals[0], *seals[2:]], [seals[0], seals[0]], [seals[1], seals[0]]):
        with pytest.raises(BadSeal):
            followed(wrong)


def test_a_foreign_signature_is_refused() -> None:
    other = PrivateKey.make(KEY.name, LOG)
    with pytest.raises(BadSeal, match="is not signed by"):
        followed(sealed_in_steps(small_log(), key=other))


def _rewritten(log: Log) -> Log:
    held = log["events", 0]
    return {**log, ("events", 0): [edited(held[0], value=b"another"), *held[1:]]}


def test_a_log_rewritten_by_the_holder_of_the_key_is_named() -> None:
    """All hashes and signatures of the forged seals are right: they only do not follow on those that were seen."""
    seals, forged = sealed_in_steps(small_log()), sealed_in_steps(_rewritten(small_log()))
    followed(forged)
    with pytest.raises(BadSeal, match="events:0 is rewritten at or below offset 6"):
        followed([*seals[:1], *forged[1:]])


def test_what_a_seal_says_is_what_its_checkpoint_covers() -> None:
    """Nothing of a seal can be changed beside its note."""
    seals = sealed_in_steps(small_log())
    growth = seals[0].grown[0]
    for changed in (
        msgspec.structs.replace(growth, size=growth.size + 1),
        msgspec.structs.replace(growth, root=b"r" * 32),
        msgspec.structs.replace(growth, last_offset=growth.last_offset + 1),
        msgspec.structs.replace(growth, partition=7),
        msgspec.structs.replace(growth, proof=(b"p" * 32,)),
    ):
        forged = msgspec.structs.replace(seals[0], grown=(changed, *seals[0].grown[1:]))
        with pytest.raises(BadSeal):
            followed([forged])
    with pytest.raises(BadSeal):
        followed([msgspec.structs.replace(seals[0], sealed_at=1)])
    with pytest.raises(BadSeal):
        followed([msgspec.structs.replace(seals[0], grown=seals[0].grown[1:])])


def test_a_refused_seal_changes_nothing() -> None:
    seals, forged = sealed_in_steps(small_log()), sealed_in_steps(_rewritten(small_log()))
    chain = followed(seals[:2])
    with pytest.raises(BadSeal):
        chain.take(forged[2])
    chain.take(seals[2])
    assert chain.size == 3


def test_of_a_compacted_topic_the_leaves_are_kept_and_covered() -> None:
    log = {(SCHEMAS, 0): records(SCHEMAS, 0, 6)}
    [seal] = sealed_in_steps(log, steps=1)
    leaves = seal.grown[0].leaves
    assert [kept.offset for kept in leaves] == [record.offset for record in log[SCHEMAS, 0]]
    forged = msgspec.structs.replace(leaves[0], key_hash=leaves[1].key_hash)
    growth = msgspec.structs.replace(seal.grown[0], leaves=(forged, *leaves[1:]))
    with pytest.raises(BadSeal):
        followed([msgspec.structs.replace(seal, grown=(growth,))])
    with pytest.raises(BadSeal, match="leaves are kept of"):
        followed([msgspec.structs.replace(seal, grown=(msgspec.structs.replace(growth, leaves=leaves[1:]),))])
