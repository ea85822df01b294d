"""What is shown of a partition is what there is."""

import asyncio
import time

from confluent_kafka import Producer
from prometheus_client import REGISTRY

from neural_hive.connectors.kafka_embedded import EmbeddedKafka
from neural_hive.streams.kernel.processor import Slot
from neural_hive.streams.kernel.stable_ends import StableEnds
from neural_hive.streams.kernel.transport import Batch, Fetched
from tests.conftest import TopicFactory
from tests.hostile.memory_kernel import MemoryKernel
from tests.toy.system import build


def test_records_that_wait_are_counted() -> None:
    slot = Slot(MemoryKernel(build(".queued"), {"blocks": frozenset}, 1).partition, lambda number, hold: None)

    def queued() -> float | None:
        return REGISTRY.get_sample_value(
            "neural_hive_queued_records", {"system": "toy.queued", "partition": "0"}
        )

    for first in (0, 3):
        records = [Fetched("toy.commands.queued", 0, first + n, 1, b"k", b"v", ()) for n in range(3)]
        slot.offer(Batch("toy.commands.queued", 0, first, first + 3, records, 3))
    assert queued() == 6
    asyncio.run(slot.stop())
    assert queued() == 0


def test_what_an_open_transaction_hides_is_shown(kafka: EmbeddedKafka, topic_factory: TopicFactory) -> None:
    topic = topic_factory("unstable", partitions=2)
    config = {"bootstrap.servers": kafka.bootstrap}
    places = [(topic, 0), (topic, 1)]
    looks = StableEnds("test", config, lambda: places)

    def shown(partition: int) -> float | None:
        labels = {"topic": topic, "partition": str(partition)}
        return REGISTRY.get_sample_value("neural_hive_unstable_records", labels)

    producer = Producer({**config, "transactional.id": topic})
    producer.init_transactions(30)
    producer.begin_transaction()
    for _ in range(5):
        producer.produce(topic, b"v", partition=1)
    producer.flush(30)
    looks.look()
    assert (shown(0), shown(1)) == (0, 5)
    producer.commit_transaction(30)
    del producer
    until = time.monotonic() + 60
    while (shown(0), shown(1)) != (0, 0):  # the marker comes after the answer
        assert time.monotonic() < until, shown(1)
        looks.look()
    del places[1]
    looks.look()
    assert (shown(0), shown(1)) == (0, None), "another worker's partition is no more ours to show"
