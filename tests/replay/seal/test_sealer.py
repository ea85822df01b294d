"""The sealer on a real log: what it signs, how it goes on after any end, and when it signs nothing more."""

import stat
import threading
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from neural_hive.connectors.kafka_log import Offsets, Record, UnreadableLog
from neural_hive.replay.reader import JoinedSource
from neural_hive.replay.seal.catch_up import SealRefused, Standing
from neural_hive.replay.seal.checkpoint import Checkpoint
from neural_hive.replay.seal.keys import KeyRefused, held_key, private_file, public_file, public_key
from neural_hive.replay.seal.leaf import record_leaf
from neural_hive.replay.seal.merkle import leaf_hash, root_of
from neural_hive.replay.seal.note import LOG, WITNESS, Note
from neural_hive.replay.seal.seal import Seal
from neural_hive.replay.seal.sealer import Sealer
from neural_hive.replay.seal.state import StateFile, restored
from neural_hive.replay.seal.succession import NoSuccession, begin_anew
from tests.conftest import wait_known
from tests.replay.seal.conftest import World, eventually
from tests.replay.seal.sealing import MemorySource


def is_sealed_whole(world: World) -> None:
    """Topic and file have the same seals, which cover every record of the log."""
    chain, seals = world.chain(), world.seals()
    assert list(world.file().seals()) == seals
    for partition, records in world.records().items():
        head = chain.heads[world.topic, partition]
        assert head.root == root_of(leaf_hash(record_leaf(record)) for record in records)
        assert (head.size, head.last_offset) == (len(records), records[-1].offset)


def test_what_is_committed_is_sealed_and_goes_on_after_a_stop(world: World) -> None:
    world.write(20)
    with world.sealing():
        eventually(lambda: world.file().last() and world.chain().records == 20)
        world.write(30)
        eventually(lambda: world.chain().records == 50)
    is_sealed_whole(world)
    world.write(10)
    world.sealed(60)
    is_sealed_whole(world)
    assert world.chain().size >= 3


def test_the_state_is_only_a_short_cut(world: World) -> None:
    world.write(20)
    world.sealed(20)
    state = world.files.state.read_bytes()
    for content in (None, b"{", state.replace(b'"size":', b'"size":1', 1)):
        world.files.state.unlink()
        if content is not None:
            world.files.state.write_bytes(content)
        records = world.chain().records + 2
        world.write(2)
        world.sealed(records)
        is_sealed_whole(world)


def test_the_file_is_filled_from_the_topic(world: World) -> None:
    for count in (4, 8, 12):
        world.write(4)
        world.sealed(count)
    lines = world.files.seals.read_bytes().splitlines(keepends=True)
    world.files.seals.write_bytes(lines[0] + lines[1][:30])
    world.write(4)
    world.sealed(16)
    is_sealed_whole(world)


class Died(Exception):
    """Where a sealer is killed."""


class DiesBefore(Sealer):
    def _publish(self, standing: Standing, seal: Seal) -> None:
        raise Died


class DiesAfter(Sealer):
    def _publish(self, standing: Standing, seal: Seal) -> None:
        super()._publish(standing, seal)
        raise Died


@pytest.mark.parametrize("is_state_lost", [False, True])
@pytest.mark.parametrize("dying", [DiesBefore, DiesAfter])
def test_a_seal_that_was_signed_is_published_once_after_a_kill(
    world: World, dying: type[Sealer], is_state_lost: bool
) -> None:
    world.write(4)
    world.sealed(4)
    world.write(4)
    with pytest.raises(Died):
        world.sealer(threading.Event(), kind=dying).run()
    signed = world.file().last()
    assert signed is not None
    assert len(world.seals()) == (1 if dying is DiesBefore else 2)
    if is_state_lost:
        world.files.state.unlink()
    world.write(2)
    world.sealed(10)
    is_sealed_whole(world)
    assert world.seals()[1] == signed


def refused(world: World, says: str) -> None:
    seals = len(world.seals())
    error = world.refusal()
    assert isinstance(error, SealRefused), error
    assert says in str(error)
    assert len(world.seals()) == seals


def test_a_log_that_was_made_anew_is_not_sealed(world: World) -> None:
    world.write(10)
    world.sealed(10)
    admin = AdminClient(world.config)
    admin.delete_topics([world.topic])[world.topic].result(30)
    eventually(lambda: world.topic not in admin.list_topics(timeout=10).topics)
    settings = {"message.timestamp.type": "LogAppendTime"}
    admin.create_topics([NewTopic(world.topic, 2, 1, config=settings)])[world.topic].result(30)
    wait_known(admin, {world.topic: 2})
    world.write(20)
    refused(world, "was made anew")
    world.files.state.unlink()
    refused(world, "another root")


def test_a_log_whose_last_records_are_gone_is_not_sealed(world: World) -> None:
    """As after an old copy of the broker's disk was put back: the topic has its id, and ends too early."""
    world.write(10)
    world.sealed(10)
    admin = AdminClient(world.config)
    place = TopicPartition(world.topic, 0, 3)
    admin.delete_records([place])[place].result(30)  # the beginning may go
    world.write(4)
    world.sealed(14)

    class Shorter(Offsets):
        def ends(self, places: Iterable[tuple[str, int]]) -> dict[tuple[str, int], int]:
            return {place: end - 3 for place, end in super().ends(places).items()}

    with closing(Shorter(world.config)) as offsets, pytest.raises(SealRefused, match="is sealed up to"):
        world.sealer(threading.Event()).begun(offsets)


def test_what_kafka_deleted_before_it_was_sealed_is_read_from_the_archive(world: World) -> None:
    world.write(20)
    everything = world.records()
    admin = AdminClient(world.config)
    place = TopicPartition(world.topic, 0, 4)
    admin.delete_records([place])[place].result(30)
    with closing(Offsets(world.config)) as offsets, pytest.raises(UnreadableLog, match="not there"):
        joined = JoinedSource(MemorySource({}), world.source())
        world.sealer(threading.Event(), source=joined).begun(offsets)
    archive = MemorySource({(world.topic, partition): held for partition, held in everything.items()})
    with closing(Offsets(world.config)) as offsets:
        joined = JoinedSource(archive, world.source())
        standing, starts = world.sealer(threading.Event(), source=joined).begun(offsets)
    tree = standing.trees.tree((world.topic, 0))
    assert tree.added == [leaf_hash(record_leaf(record)) for record in everything[0][:4]]
    assert starts == {(world.topic, 0): 4, (world.topic, 1): 0}


def test_checkpoints_that_are_gone_from_the_topic(world: World) -> None:
    """The file knows more than the topic: somebody took away what was published."""
    world.write(4)
    world.sealed(4)
    state = StateFile(world.files.state).read()
    assert state is not None
    trees = restored(state, world.key.public)
    for offset in (900, 901):
        trees.take(Record(world.topic, 0, offset, 1, b"key", b"value", ()))
        seal = trees.seal(world.key, offset)
        trees.settle(seal)
        world.file().append([seal])
    refused(world, "holds 3 checkpoints")


def test_a_damage_that_was_accepted_is_sealed_anew(world: World) -> None:
    """The first checkpoint of the new key names the last one of the old key, and both sign it."""
    world.key = held_key(world.folder, "seal", LOG)
    world.write(10)
    world.sealed(10)
    old, last = world.key, world.seals()[-1]
    with pytest.raises(NoSuccession, match="say why"):
        begin_anew(world.folder, world.files.seals, " ")
    aside = begin_anew(world.folder, world.files.seals, "restored without\nthe last minute")
    assert {file.name for file in aside.iterdir()} == {"seal.key", "seal.pub", "state.json"}
    world.key = held_key(world.folder, "seal", LOG)
    assert world.key.name != old.name
    for count in (12, 14):
        world.write(2)
        world.sealed(count)
    is_sealed_whole(world)
    first, second = (Note.parse(seal.note) for seal in world.seals())
    root = Note.parse(last.note).text.splitlines()[2]
    lines = (f"follows {old.name} 1 {root}", "reason restored without the last minute")
    assert Checkpoint.parse(first.text).extensions == lines
    first.check_signed(old.public)
    first.check_signed(world.key.public)
    assert Checkpoint.parse(second.text).extensions == ()
    assert second.signed_at(old.public) is None


def test_keys(tmp_path: Path) -> None:
    key = held_key(tmp_path, "seal", LOG)
    private, public = private_file(tmp_path, "seal"), public_file(tmp_path, "seal")
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    assert held_key(tmp_path, "seal", LOG) == key
    assert public_key(str(public)) == public_key(key.public.text) == key.public
    assert held_key(tmp_path, "witness", WITNESS, "example.com/w").public.name == "example.com/w"
    secret = key.text

    private.chmod(0o640)
    with pytest.raises(KeyRefused, match="can be read by others"):
        held_key(tmp_path, "seal", LOG)
    private.chmod(0o600)
    private.write_text(secret[:-9])
    with pytest.raises(KeyRefused, match="cannot be read") as error:
        held_key(tmp_path, "seal", LOG)
    assert secret[-40:-10] not in str(error.value)
    private.unlink()
    with pytest.raises(KeyRefused, match="is gone"):
        held_key(tmp_path, "seal", LOG)
    private.touch(0o600)
    private.write_text(held_key(tmp_path, "witness", WITNESS).text)
    with pytest.raises(KeyRefused, match="of another kind"):
        held_key(tmp_path, "seal", LOG)
    private.write_text(secret)
    public.write_text(held_key(tmp_path, "witness", WITNESS).public.text)
    with pytest.raises(KeyRefused, match="is not the public key"):
        held_key(tmp_path, "seal", LOG)
    with pytest.raises(KeyRefused, match="there is no file"):
        public_key(str(tmp_path / "nothing"))
