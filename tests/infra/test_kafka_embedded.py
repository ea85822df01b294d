"""The embedded broker: it takes records, survives kill -9, leaves nothing behind, and runs only locked jars."""

import psutil
from confluent_kafka import Consumer, Producer

from neural_hive.connectors.kafka_embedded import EmbeddedKafka
from tests.conftest import TopicFactory


def _send(bootstrap: str, topic: str, value: bytes) -> None:
    failures: list[object] = []
    producer = Producer({"bootstrap.servers": bootstrap, "enable.idempotence": True})
    producer.produce(topic, value, partition=0, on_delivery=lambda error, _: error and failures.append(error))
    assert producer.flush(30) == 0
    assert failures == []


def _values(bootstrap: str, topic: str, count: int) -> list[bytes]:
    consumer = Consumer(
        {"bootstrap.servers": bootstrap, "group.id": f"read-{topic}", "auto.offset.reset": "earliest"}
    )
    consumer.subscribe([topic])
    try:
        messages = consumer.consume(count, timeout=30)
        return [message.value() or b"" for message in messages]
    finally:
        consumer.close()


def test_a_record_comes_back(kafka: EmbeddedKafka, topic_factory: TopicFactory) -> None:
    topic = topic_factory()
    _send(kafka.bootstrap, topic, b"one")
    assert _values(kafka.bootstrap, topic, 1) == [b"one"]


def test_a_killed_broker_comes_back_with_its_records(
    kafka: EmbeddedKafka, topic_factory: TopicFactory
) -> None:
    topic = topic_factory()
    _send(kafka.bootstrap, topic, b"before")
    old = kafka.child(1).pid
    kafka.kill(1)
    assert not psutil.pid_exists(old)
    kafka.start(1)
    _send(kafka.bootstrap, topic, b"after")
    assert _values(kafka.bootstrap, topic, 2) == [b"before", b"after"]
