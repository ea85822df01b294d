"""What is summed up in transactions is whole and told once, whoever is killed: on the real broker."""

import random
import time
from collections import Counter

from confluent_kafka.admin import AdminClient, NewTopic

from neural_hive.connectors.kafka_log import read_committed
from neural_hive.schemas.codec import decode
from neural_hive.schemas.envelope import Header
from tests.conftest import wait_known
from tests.kernel.conftest import ToyFactory
from tests.toy.harness import Toy
from tests.toy.summing import sums_topic


def summing(make_toy: ToyFactory) -> Toy:
    """A toy that sums up."""
    toy: Toy = make_toy()
    toy.module = "tests.toy.summing"
    admin, topic = AdminClient(toy.config), sums_topic(toy.suffix)
    for future in admin.create_topics([NewTopic(topic, toy.partitions, -1)]).values():
        future.result(30)
    wait_known(admin, {topic: toy.partitions})
    return toy


def told(toy: Toy) -> tuple[Counter[str], int]:
    """What all sums of each counter come to, and how many sums there are; no two have one id."""
    totals, ids = Counter[str](), set[str]()
    for partition in range(toy.partitions):
        for record in read_committed(toy.config, sums_topic(toy.suffix), partition, 0, None):
            decoded = decode(record.value or b"", "message")
            assert isinstance(decoded.head, Header)
            assert decoded.head.message_id not in ids
            ids.add(decoded.head.message_id)
            totals[decoded.payload["counter_id"]] += decoded.payload["amount"]
    return totals, len(ids)


def raised(toy: Toy) -> Counter[str]:
    """What the events say that was added."""
    totals = Counter[str]()
    for _, envelope, payload in toy.events(toy.event_topics[0]):
        if envelope.event_type == "CounterRaised":
            totals[envelope.aggregate_id] += payload["amount"]
    return totals


def test_sums_are_those_of_the_events_whoever_is_killed(make_toy: ToyFactory) -> None:
    seed = random.randrange(1 << 30)
    print("seed", seed)
    chance = random.Random(seed)
    toy = summing(make_toy)
    toy.start(2)
    for _ in range(3):
        toy.add(4_000, keys=50)
        for amount in (-1, 666):  # refused: in no sum
            toy.send(toy.commands, "AddToCounter", "counter-1", {"amount": amount})
        time.sleep(chance.uniform(0.5, 4))
        alive = [index for index, worker in enumerate(toy.workers) if worker.poll() is None]
        toy.kill(chance.choice(alive))
        toy.keep_alive(2)
    toy.wait_until_done()
    toy.stop()
    assert toy.check()["CounterRaised"] == 12_000
    totals, sums = told(toy)
    assert totals == raised(toy)
    assert sums < 6_000, "most records share one with others"
