"""What all tests share: a real broker, and topics of their own on it."""

import uuid
from collections.abc import Callable, Iterator

import pytest
from confluent_kafka.admin import AdminClient, NewTopic

from neural_hive.connectors.kafka_embedded import EmbeddedKafka

pytest_plugins = ["tests.fixtures_clickhouse"]

TopicFactory = Callable[..., str]


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedKafka]:
    """A running broker of this test session (one per pytest-xdist worker), on free ports."""
    with EmbeddedKafka(tmp_path_factory.mktemp("kafka")) as broker:
        yield broker


@pytest.fixture(scope="session")
def topic_factory(kafka: EmbeddedKafka) -> TopicFactory:
    """`topic_factory(prefix, partitions=4, **config)` creates a topic and returns its unique name."""
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap})

    def create(prefix: str = "topic", partitions: int = 4, **config: str) -> str:
        name = f"{prefix}.{uuid.uuid4().hex[:8]}"
        settings = {"message.timestamp.type": "LogAppendTime", **config}
        topic = NewTopic(name, num_partitions=partitions, replication_factor=1, config=settings)
        admin.create_topics([topic])[name].result(30)
        return name

    return create
