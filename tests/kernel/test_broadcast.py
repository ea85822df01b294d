"""A topic that is read whole is read to its end, however long that takes; only a standstill is an error."""

import time
from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from prometheus_client import REGISTRY

from neural_hive.connectors.kafka_embedded import EmbeddedKafka
from neural_hive.streams.kernel import broadcast as module
from neural_hive.streams.kernel.broadcast import Broadcast, View
from tests.conftest import TopicFactory
from tests.kernel.test_broken_log import create_again

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
    time.sleep(0.3)
    return count + 1


def test_a_long_log_takes_as_long_as_it_takes(kafka: EmbeddedKafka, topic: str) -> None:
    broadcast = Broadcast({"bootstrap.servers": kafka.bootstrap}, View(topic, 0, _slowly), 1)
    started = time.monotonic()
    try:
        broadcast.start(stall_s=10.0)
        assert time.monotonic() - started > 10.0, "longer than a standstill may last"
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


def test_it_is_read_to_the_end_that_it_had_when_that_was_asked_for(
    kafka: EmbeddedKafka, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def add(count: int, record: object) -> int:
        time.sleep(0.02)
        return count + 1

    broadcast = Broadcast({"bootstrap.servers": kafka.bootstrap}, View(topic, 0, add), 1)
    try:
        broadcast.start()
        producer = Producer({"bootstrap.servers": kafka.bootstrap})
        for n in range(100):
            producer.produce(topic, str(n).encode())
        assert producer.flush(30) == 0
        assert broadcast.snapshot().value < RECORDS + 100, "it takes two seconds to add them"
        broadcast.read_to_end(30.0)
        assert broadcast.snapshot().value == RECORDS + 100
        monkeypatch.setattr(module.Offsets, "ends", lambda *_: {(topic, 0): RECORDS + 101})
        with pytest.raises(TimeoutError, match=r"was not read to its end within 0\.5 s"):
            broadcast.read_to_end(0.5)
    finally:
        broadcast.stop()


def _shown(name: str, topic: str) -> float:
    return REGISTRY.get_sample_value(f"neural_hive_broadcast_{name}", {"topic": topic}) or 0.0


def _wait(what: str, is_so: Callable[[], Any]) -> None:
    until = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < until, f"not {what}"
        time.sleep(0.02)


def _write(kafka: EmbeddedKafka, topic: str, *values: str) -> None:
    producer = Producer({"bootstrap.servers": kafka.bootstrap})
    for value in values:
        producer.produce(topic, value.encode(), partition=0)
    assert producer.flush(30) == 0


def test_a_record_that_cannot_be_taken_is_counted(kafka: EmbeddedKafka, topic: str) -> None:
    def add(total: int, record: Any) -> int:
        return total + int(record.value())

    broadcast = Broadcast({"bootstrap.servers": kafka.bootstrap}, View(topic, 0, add), 1)
    try:
        broadcast.start()
        _write(kafka, topic, "nonsense", "1000")
        _wait("read", lambda: broadcast.snapshot().value == sum(range(RECORDS)) + 1_000)
        assert _shown("skipped_total", topic) == 1
        assert _shown("read_anew_total", topic) == 0
        assert broadcast.snapshot().positions == {0: RECORDS + 2}
        _wait("fresh", lambda: _shown("age_seconds", topic) < 30)
    finally:
        broadcast.stop()


def test_a_log_that_lost_what_was_read_is_read_anew(kafka: EmbeddedKafka, topic: str) -> None:
    """The value stays what it was until the new one is whole, and grows old meanwhile."""

    def add(values: tuple[str, ...], record: Any) -> tuple[str, ...]:
        return (*values, record.value().decode())

    admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
    before = tuple(str(n) for n in range(RECORDS))
    seen: set[tuple[str, ...]] = set()
    broadcast = Broadcast({"bootstrap.servers": kafka.bootstrap}, View(topic, (), add), 1)
    try:
        broadcast.start()
        assert broadcast.snapshot().value == before
        admin.delete_topics([topic])[topic].result(30)
        create_again(admin, topic)
        after = tuple(f"new {n}" for n in range(3))
        _write(kafka, topic, *after)

        def is_anew() -> bool:
            seen.add(broadcast.snapshot().value)
            return broadcast.snapshot().value == after

        _wait("read anew", is_anew)
        assert _shown("read_anew_total", topic) >= 1
        assert all(value == before or value == after[: len(value)] for value in seen)
        assert () not in seen
    finally:
        broadcast.stop()
