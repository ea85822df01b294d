"""Logs of their own, right or wrong, on the session's broker."""

from collections.abc import Callable, Iterator

import pytest
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, NewTopic

from neural_hive.connectors.kafka_embedded import EmbeddedKafka
from neural_hive.replay.checks.committed import committed_offsets
from neural_hive.replay.checks.inputs import Read
from neural_hive.replay.reader import KafkaSource
from neural_hive.replay.report import Report
from neural_hive.replay.verify import Verification
from tests.conftest import TopicFactory, wait_known
from tests.replay.written_log import Log

LogFactory = Callable[..., Log]


def create_log(kafka: EmbeddedKafka, topic_factory: TopicFactory, partitions: int = 2) -> Log:
    """A writer with topics of its own; close it."""
    inputs, tickets, workflows = (
        topic_factory(name, partitions=partitions) for name in ("inputs", "tickets", "workflows")
    )
    topics = (inputs, tickets, workflows, topic_factory("letters", partitions=1))
    return Log(kafka.bootstrap, topics, partitions)


@pytest.fixture
def new_log(kafka: EmbeddedKafka, topic_factory: TopicFactory) -> Iterator[LogFactory]:
    """`new_log(partitions=2)`: see create_log."""
    logs: list[Log] = []

    def create(partitions: int = 2) -> Log:
        logs.append(create_log(kafka, topic_factory, partitions))
        return logs[-1]

    yield create
    for log in logs:
        log.close()


@pytest.fixture
def dead_letters(kafka: EmbeddedKafka) -> None:
    """The topic that every system's dead letters go to."""
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
    topic = NewTopic("dead.letters", 3, -1, config={"message.timestamp.type": "LogAppendTime"})
    try:
        admin.create_topics([topic])[topic.topic].result(30)
    except KafkaException as error:
        if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
            raise
    wait_known(admin, {topic.topic: 3})


def verified(log: Log, read: Read | None = None) -> Report:
    """What verification says of a log; `read` decodes its inputs."""

    def committed() -> dict[tuple[str, int], int]:
        return dict(committed_offsets(log.config, log.name, {log.inputs: log.partitions}))

    verification = Verification(log.target, KafkaSource(log.config, stall_s=3), committed, read=read)
    verification.run()
    return verification.report()
