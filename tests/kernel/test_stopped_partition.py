"""A partition whose log is broken is closed, and the others go on: beside it, and in whoever has it next."""

import signal
import time
from collections.abc import Callable
from typing import Any

from confluent_kafka import OFFSET_END, Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from neural_hive.schemas.topics import partition_of
from neural_hive.streams.kernel.acceptance import Acceptance, accept
from tests.kernel.conftest import ToyFactory
from tests.toy.harness import WAIT_S, Toy

BROKEN, STALLED = 2, 1


def _counter_in(partition: int) -> str:
    return next(f"c-{n}" for n in range(999) if partition_of(f"c-{n}".encode(), 4) == partition)


def _send(toy: Toy, count: int = 20) -> None:
    """Some messages to each partition, on both inputs."""
    for number in range(count):
        for partition in range(toy.partitions):
            topic = (toy.commands, toy.results)[number % 2]
            toy.send(topic, "AddToCounter", _counter_in(partition), {"amount": 1})
    assert toy.producer.flush(60) == 0


def _done(toy: Toy) -> set[int]:
    """Partitions all of whose inputs were processed."""
    consumer = Consumer({**toy.config, "group.id": toy.system.name})
    done = set()
    try:
        for partition in range(toy.partitions):
            places = [TopicPartition(topic, partition) for topic in toy.system.topics]
            committed = consumer.committed(places, 60)
            if all(at.offset >= consumer.get_watermark_offsets(at, 60)[1] for at in committed):
                done.add(partition)
    finally:
        consumer.close()
    return done


def _wait(toy: Toy, what: str, is_so: Callable[[], Any]) -> None:
    until = time.monotonic() + WAIT_S
    while not is_so():
        assert time.monotonic() < until, f"not {what} after {WAIT_S} s\n{toy.explain()}"
        time.sleep(0.3)


def _delete(toy: Toy, topic: str, before: int) -> None:
    """What Kafka has of one partition now begins later."""
    admin, gone = AdminClient(toy.config), TopicPartition(topic, BROKEN, before)
    admin.delete_records([gone])[gone].result(30)


def _log(toy: Toy, worker: int = 0) -> str:
    return (toy.folder / f"worker-{worker}.log").read_text()


def test_the_others_go_on_and_it_opens_again_when_it_can(make_toy: ToyFactory) -> None:
    toy = make_toy()
    toy.environment = {"TOY_STALL_S": "3"}
    toy.start()
    _send(toy)
    toy.wait_until_done()
    toy.stop()
    deleted = {e.causation_id for r, e, _ in toy.events(toy.event_topics[0]) if r.partition == BROKEN}
    _delete(toy, toy.event_topics[0], OFFSET_END)
    hanging = Producer(
        {**toy.config, "transactional.id": f"hangs{toy.suffix}", "transaction.timeout.ms": 600_000}
    )
    hanging.init_transactions(30)
    hanging.begin_transaction()
    hanging.produce(toy.event_topics[0], b"", b"", STALLED)
    assert hanging.flush(30) == 0

    _send(toy)
    toy.start()
    _wait(toy, "gone on", lambda: _done(toy) == {0, 3})
    log = _log(toy, 1)
    assert f"{toy.event_topics[0]}:{BROKEN} has no" in log
    assert "a transaction is open there" in log
    toy.start()  # whoever is given them in a rebalance closes them too
    _wait(toy, "shared", lambda: toy.owned(1) and toy.owned(2))
    _send(toy)
    _wait(toy, "gone on", lambda: _done(toy) == {0, 3})
    assert [worker.poll() for worker in toy.workers[1:]] == [None, None], toy.explain()

    hanging.abort_transaction(30)
    _wait(toy, "gone on once the transaction has ended", lambda: _done(toy) == {0, 1, 3})
    for folder in toy.folder.glob(f"toy*/worker-*/{BROKEN}"):
        accept(folder, Acceptance("somebody deleted it", "alice"))
    _wait(toy, "gone on once the log was accepted", lambda: _done(toy) == {0, 1, 2, 3})
    _send(toy)
    _wait(toy, "at work as before", lambda: _done(toy) == {0, 1, 2, 3})
    assert [worker.poll() for worker in toy.workers[1:]] == [None, None], toy.explain()
    toy.stop()
    events = list(toy.events(toy.event_topics[0]))
    answered = {e.causation_id for _, e, _ in events if e.event_type == "CounterRaised"}
    assert answered == toy.sent - deleted
    accepted = [r.partition for r, e, _ in events if e.event_type == "PartitionLogAccepted"]
    assert accepted == [BROKEN]


def test_a_partition_that_works_can_stop_too(make_toy: ToyFactory) -> None:
    """Inputs that expired before they were processed stop the partition that has to do with them."""
    toy = make_toy()
    toy.environment = {"TOY_SESSION_S": "90"}
    toy.start()
    _send(toy)
    toy.wait_until_done()
    toy.kill(0, signal.SIGSTOP)
    try:
        _send(toy, 200)
        _delete(toy, toy.commands, 50)
    finally:
        toy.kill(0, signal.SIGCONT)
    _wait(toy, "gone on", lambda: _done(toy) == {0, 1, 3})
    _wait(toy, "stopped", lambda: "records expired before they were processed" in _log(toy))
    _send(toy)
    _wait(toy, "gone on", lambda: _done(toy) == {0, 1, 3})
    assert toy.workers[0].poll() is None, toy.explain()
