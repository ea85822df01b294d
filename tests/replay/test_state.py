"""RocksDB against the fold of the log: a real processor's work verifies, and what is changed in it is named."""

from pathlib import Path

import msgspec
from confluent_kafka import Consumer, Producer, TopicPartition

from neural_hive.connectors.kafka_log import end_offsets
from neural_hive.replay.everything import Request, verify_everything
from neural_hive.replay.report import Check, Report
from neural_hive.schemas.topics import partition_of
from neural_hive.streams.kernel.state import ROW, Store
from neural_hive.streams.kernel.versions import state_version
from tests.kernel.conftest import ToyFactory, make_toy, toy_schemas
from tests.toy.harness import Toy

__all__ = ["make_toy", "toy_schemas"]


def _verified(toy: Toy) -> Report:
    return verify_everything(Request((toy.system,), toy.config, None, toy.folder, stall_s=5))


def _store(toy: Toy) -> Store:
    version = state_version(toy.system)
    folders = [f for f in sorted(toy.folder.glob(f"{toy.system.name}/worker-*/*/{version}")) if f.is_dir()]
    return Store(next(f for f in folders if _has_rows(f)))


def _has_rows(folder: Path) -> bool:
    store = Store(folder, read_only=True)
    found = any(key[:1] == ROW for key, _ in store.rows())
    store.close()
    return found


def test_a_processors_state_is_the_fold_of_its_log_and_a_changed_row_is_named(make_toy: ToyFactory) -> None:
    toy = make_toy(2)
    toy.start()
    for number in range(60):
        toy.send(toy.commands, "AddToCounter", f"counter-{number % 7}", {"amount": 3})
    repeated = toy.send(toy.commands, "AddToCounter", "counter-1", {"amount": 5})
    toy.send(toy.commands, "AddToCounter", "counter-1", {"amount": 5}, repeated)
    toy.send(toy.commands, "AddToCounter", "counter-1", {"amount": -1})
    toy.send(toy.commands, "AddToCounter", "counter-2", {"amount": 7}, partition=_other(toy, "counter-2"))
    toy.producer.flush()
    toy.wait_until_done()
    toy.stop()

    report = _verified(toy)
    assert report.findings == ()
    assert report.problem == ""
    assert report.counts["events"] == 62
    assert (report.counts["repeats"], report.counts["forwarded"]) == (1, 1)
    examined = {o.check: o.examined for o in report.outcomes}
    assert examined[Check.STATE] >= 7, "a row for each counter"

    store = _store(toy)
    position = store.position()
    assert position is not None
    key, value = next((k, v) for k, v in store.rows() if k[:1] == ROW)
    row = msgspec.msgpack.decode(value)
    row[-1]["total"] += 1
    store.write({key: msgspec.msgpack.encode(row), b"zz-foreign": b"\x01"}, position)
    store.close()
    changed, added = _verified(toy).findings
    assert changed.check == added.check == Check.STATE
    assert "counter-" in changed.aggregate
    assert "worker-0" in changed.place
    assert (added.expected, added.found) == ("no row", "1")


def _other(toy: Toy, key: str) -> int:
    return 1 - partition_of(key.encode(), 2)


def test_a_silent_input_is_lost_unless_it_has_no_effect(make_toy: ToyFactory) -> None:
    """What left nothing behind is decided again: here 60 messages are taken and do nothing, one is lost."""
    toy = make_toy(2)
    toy.start()
    toy.send(toy.commands, "AddToCounter", "counter-1", {"amount": 3})
    toy.producer.flush()
    toy.wait_until_done()
    toy.stop()
    for _ in range(30):
        toy.send(toy.commands, "StartCountdown", "counter-1", {"delay_ms": 1})
    lost = toy.send(toy.commands, "AddToCounter", "counter-1", {"amount": 5})
    for number in range(30):
        toy.send(toy.commands, "StartCountdown", f"counter-{number}", {"delay_ms": 1})
    toy.producer.flush()
    _skip_to_the_end(toy)
    handlers = toy.system.inputs[toy.commands].handlers
    handlers["StartCountdown"] = msgspec.structs.replace(
        handlers["StartCountdown"], handle=lambda unit, message: None
    )

    report = _verified(toy)
    assert report.counts["without_effect"] == 60
    (finding,) = report.findings
    assert finding.check == Check.ANSWERED
    assert lost in finding.found
    assert finding.place.startswith(f"{toy.commands}:")


def _skip_to_the_end(toy: Toy) -> None:
    """Commits the end of the commands as the group's offset, as a processor that loses inputs would."""
    ends = end_offsets(toy.config, [(toy.commands, p) for p in range(2)])
    group = Consumer(toy.config | {"group.id": toy.system.name})
    producer = Producer(toy.config | {"transactional.id": f"{toy.system.name}.skip"})
    producer.init_transactions(30)
    producer.begin_transaction()
    tps = [TopicPartition(topic, partition, end) for (topic, partition), end in ends.items()]
    producer.send_offsets_to_transaction(tps, group.consumer_group_metadata(), 30)
    producer.commit_transaction(30)
    group.close()
