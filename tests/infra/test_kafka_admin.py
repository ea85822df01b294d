"""Topics: made as declared, refused when they are not."""

import uuid

import msgspec
import pytest
from confluent_kafka import KafkaError, Producer
from confluent_kafka.admin import AdminClient

from neural_hive.connectors.kafka_admin import (
    KafkaUnreachable,
    WrongTopic,
    check_brokers,
    ensure_topics,
    topic_id,
)
from neural_hive.connectors.kafka_embedded import EmbeddedKafka
from neural_hive.connectors.ports import free_port
from neural_hive.schemas.topics import MESSAGE_BYTES_MAX, TOPICS, Topic
from tests.conftest import wait_known


@pytest.fixture
def topic() -> Topic:
    """A declared topic of its own name."""
    return msgspec.structs.replace(TOPICS["plans.consensus"], name=f"plans.{uuid.uuid4().hex[:8]}")


def test_topics_are_made_once_and_found_right_again(kafka: EmbeddedKafka, topic: Topic) -> None:
    assert ensure_topics(kafka.bootstrap, [topic], 4) == [topic.name]
    first = topic_id(kafka.bootstrap, topic.name)
    assert ensure_topics(kafka.bootstrap, [topic], 4) == []
    assert topic_id(kafka.bootstrap, topic.name) == first


def test_another_partition_count_is_refused(kafka: EmbeddedKafka, topic: Topic) -> None:
    ensure_topics(kafka.bootstrap, [topic], 4)
    with pytest.raises(WrongTopic, match=f"{topic.name} has 4 partitions, expected 12"):
        ensure_topics(kafka.bootstrap, [topic])


def test_a_topic_whose_order_counts_has_one_partition(kafka: EmbeddedKafka, topic: Topic) -> None:
    single = msgspec.structs.replace(topic, partitions=1, is_single=True)
    assert ensure_topics(kafka.bootstrap, [single], 4) == [topic.name]
    wait_known(AdminClient({"bootstrap.servers": kafka.bootstrap}), {topic.name: 1})
    assert ensure_topics(kafka.bootstrap, [single]) == []
    with pytest.raises(WrongTopic, match=f"{topic.name} has 1 partitions, expected 4"):
        ensure_topics(kafka.bootstrap, [topic], 4)


def test_another_setting_is_refused(kafka: EmbeddedKafka, topic: Topic) -> None:
    ensure_topics(kafka.bootstrap, [topic], 4)
    longer = msgspec.structs.replace(topic, retention_ms=None)
    with pytest.raises(WrongTopic, match=rf"{topic.name} has retention.ms={topic.retention_ms}, expected -1"):
        ensure_topics(kafka.bootstrap, [longer], 4)


def test_the_largest_message_fits_and_ten_megabytes_do_not(kafka: EmbeddedKafka, topic: Topic) -> None:
    ensure_topics(kafka.bootstrap, [topic], 1)
    assert _send(kafka.bootstrap, topic.name, MESSAGE_BYTES_MAX) is None
    refused = _send(kafka.bootstrap, topic.name, 10 * 1024 * 1024)
    assert refused is not None
    assert refused.code() == KafkaError.MSG_SIZE_TOO_LARGE


def _send(bootstrap: str, topic: str, size_bytes: int) -> KafkaError | None:
    errors: list[KafkaError | None] = []
    producer = Producer({"bootstrap.servers": bootstrap, "message.max.bytes": 20 * 1024 * 1024})
    producer.produce(topic, bytes(size_bytes), on_delivery=lambda error, _: errors.append(error))
    assert producer.flush(30) == 0
    return errors[0]


def test_brokers_that_keep_offsets_pass(kafka: EmbeddedKafka) -> None:
    check_brokers(kafka.bootstrap)


def test_an_unknown_topic_has_no_id(kafka: EmbeddedKafka) -> None:
    with pytest.raises(WrongTopic, match=r"cannot look up topic no\.such"):
        topic_id(kafka.bootstrap, "no.such")


def test_a_silent_address_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("neural_hive.connectors.kafka_admin._TIMEOUT_S", 1.0)
    with pytest.raises(KafkaUnreachable, match=r"no Kafka broker answers at 127\.0\.0\.1"):
        ensure_topics(f"127.0.0.1:{free_port()}", [], 4)
