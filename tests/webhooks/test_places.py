"""Records at their places, on a real broker: in any order, over gaps, and what is said when there is none."""

import random

import pytest
from confluent_kafka import Producer

from neural_hive.connectors import kafka_places
from neural_hive.connectors.kafka_embedded import EmbeddedKafka
from neural_hive.connectors.kafka_log import LostLog, UnreadableLog
from neural_hive.connectors.kafka_places import Places
from tests.conftest import TopicFactory


@pytest.fixture
def topic(kafka: EmbeddedKafka, topic_factory: TopicFactory) -> str:
    """Two partitions; in each 30 committed records of 20, an aborted one, 20 more."""
    name = topic_factory("places", 2)
    producer = Producer({"bootstrap.servers": kafka.bootstrap, "transactional.id": name})
    producer.init_transactions(30)
    for run in ("first", "lost", "second"):
        producer.begin_transaction()
        for partition in (0, 1):
            for number in range(20):
                producer.produce(name, f"{run} {number}".encode(), b"k", partition)
        producer.flush(30)
        producer.abort_transaction(30) if run == "lost" else producer.commit_transaction(30)
    return name


def test_in_any_order_and_over_gaps(
    kafka: EmbeddedKafka, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = [(partition, offset) for partition in (0, 1) for offset in (*range(20), *range(42, 62))]
    random.Random(3).shuffle(asked)
    for size in (10**6, 40):  # with room for all, and for a few
        monkeypatch.setattr(kafka_places, "KEPT_BYTES_MAX", size)
        places = Places({"bootstrap.servers": kafka.bootstrap}, stall_s=30)
        for partition, offset in asked:
            expected = f"first {offset}" if offset < 20 else f"second {offset - 42}"
            found = places.record(topic, partition, offset)
            assert (found.offset, found.partition, found.value) == (offset, partition, expected.encode())
        assert places._kept_bytes <= size
    assert len(places._kept) < 6
    for offset in (20, 21, 41):  # a marker, and what was taken back
        with pytest.raises(LostLog, match="no committed record"):
            places.record(topic, 0, offset)
    with pytest.raises(LostLog):
        places.record(topic, 0, 10_000)
    assert places.record(topic, 1, 5).value == b"first 5"
    places.close()


def test_what_is_not_there_yet_may_come(kafka: EmbeddedKafka, topic: str) -> None:
    places = Places({"bootstrap.servers": kafka.bootstrap}, stall_s=1.0)
    with pytest.raises(UnreadableLog, match="within 1 s"):
        places.record(topic, 0, 63)
    producer = Producer({"bootstrap.servers": kafka.bootstrap})
    producer.produce(topic, b"late", b"k", 0)
    producer.flush(30)
    assert places.record(topic, 0, 63).value == b"late"
    places.close()


def test_nobody_answers() -> None:
    places = Places({"bootstrap.servers": "127.0.0.1:9"}, stall_s=0.5)
    with pytest.raises(UnreadableLog):
        places.record("t", 0, 0)
    places.close()
