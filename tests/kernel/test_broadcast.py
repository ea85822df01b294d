"""A topic that is read whole is read to its end, however long that takes; only a standstill is an error."""

import time

import pytest
from confluent_kafka import Producer

from neural_hive.connectors.kafka_embedded import EmbeddedKafka
from neural_hive.streams.kernel import broadcast as module
from neural_hive.streams.kernel.broadcast import Broadcast, View
from tests.conftest import TopicFactory

RECORDS = 40


@pytest.fixture
def topic(kafka: EmbeddedKafka, topic_factory: TopicFactory) -> str:
    name = topic_factory("broadcast", partitions=1)
    producer = Producer({"bootstrap.servers": kafka.bootstrap})
    for n in range(RECORDS):
        producer.produce(name, str(n).encode())
    assert producer.flush(30) == 0
    return name


def _slowly(count: int, record: object) -> int:
    time.sleep(0.1)
    return count + 1


def test_a_long_log_takes_as_long_as_it_takes(kafka: EmbeddedKafka, topic: str) -> None:
    broadcast = Broadcast({"bootstrap.servers": kafka.bootstrap}, View(topic, 0, _slowly), 1)
    started = time.monotonic()
    try:
        broadcast.start(stall_s=2.0)
        assert time.monotonic() - started > 2.0, "longer than a standstill may last"
        assert broadcast.snapshot().value == RECORDS
    finally:
        broadcast.stop()


def test_a_standstill_is_an_error(kafka: EmbeddedKafka, topic: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.Offsets, "ends", lambda *_: {(topic, 0): RECORDS + 1})
    broadcast = Broadcast({"bootstrap.servers": kafka.bootstrap}, View(topic, 0, _slowly), 1)
    try:
        with pytest.raises(TimeoutError, match="was not read to its end, and nothing came for 2 s"):
            broadcast.start(stall_s=2.0)
        assert broadcast.snapshot().value == RECORDS
    finally:
        broadcast.stop()
