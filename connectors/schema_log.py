"""The topic `_schemas`: the registry's only store, compacted, with one writer.

Writing is transactional under one fixed name: a second registry fences the first, which then ends, so that two
never give the same id to two schemas.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import orjson
from confluent_kafka import KafkaError, KafkaException, Producer
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic, ResourceType

from neural_hive.connectors.kafka_log import read_committed
from neural_hive.connectors.schema_subjects import Record

TOPIC: Final = "_schemas"
WRITER: Final = "neural-hive.schema-registry"
CALL_TIMEOUT_S: Final = 30.0
_REPLICAS_MAX: Final = 3


class SchemaTopicWrong(RuntimeError):
    """The topic cannot be the registry's store; the text says what to change."""


class WriterFenced(RuntimeError):
    """Another registry has taken over the topic: this one must not write again."""


class SchemaLog:
    """Reads and writes the topic. `topic` differs only in tests. Raises SchemaTopicWrong, KafkaException."""

    def __init__(self, config: Mapping[str, Any], topic: str = TOPIC) -> None:
        self._config, self._topic = dict(config), topic
        _ensure(self._config, topic)
        self._producer = self._opened()

    def _opened(self) -> Producer:
        producer = Producer(
            {
                "log_level": 3,
                **self._config,
                "transactional.id": f"{WRITER}.{self._topic}",
                "transaction.timeout.ms": 10_000,
                "retry.backoff.ms": 1,
                "linger.ms": 0,
            }
        )
        producer.init_transactions(CALL_TIMEOUT_S)
        return producer

    def records(self) -> Iterator[Record]:
        """Every record from the first to the last; what is not a registry's record is passed over."""
        for record in read_committed(self._config, self._topic, 0, 0, None):
            try:
                key = orjson.loads(record.key or b"")
                value = orjson.loads(record.value) if record.value else None
            except orjson.JSONDecodeError:
                continue
            if isinstance(key, dict) and (value is None or isinstance(value, dict)):
                yield key, value

    def append(self, records: list[Record]) -> None:
        """Writes records, all or none, and returns when they are committed.

        Raises WriterFenced: another registry writes now. KafkaException: nothing is known about the outcome;
        read the topic again before the next write.
        """
        try:
            self._producer.begin_transaction()
            for key, value in records:
                data = None if value is None else orjson.dumps(value)
                self._producer.produce(self._topic, key=orjson.dumps(key), value=data, partition=0)
            self._producer.commit_transaction(CALL_TIMEOUT_S)
        except KafkaException as error:
            if error.args[0].code() in (
                KafkaError._FENCED,
                KafkaError.PRODUCER_FENCED,
                KafkaError.INVALID_PRODUCER_EPOCH,
            ):
                raise WriterFenced("another schema registry writes to the same topic now") from error
            raise

    def reopen(self) -> None:
        """A new writer after an error: whatever the old one left open is aborted by the broker."""
        self._producer = self._opened()


def _ensure(config: dict[str, Any], topic: str) -> None:
    """Creates the topic if it is not there, and refuses one that would lose schemas."""
    admin = AdminClient({"log_level": 3, **config})
    cluster = admin.list_topics(timeout=CALL_TIMEOUT_S)
    if topic not in cluster.topics:
        replicas = min(_REPLICAS_MAX, len(cluster.brokers))
        wanted = NewTopic(topic, 1, replicas, config={"cleanup.policy": "compact"})
        try:
            admin.create_topics([wanted])[topic].result(CALL_TIMEOUT_S)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise
        return
    if (found := len(cluster.topics[topic].partitions)) != 1:
        raise SchemaTopicWrong(f"topic {topic} has {found} partitions; a registry needs one")
    resource = ConfigResource(ResourceType.TOPIC, topic)
    policy = admin.describe_configs([resource])[resource].result(CALL_TIMEOUT_S)["cleanup.policy"].value
    if policy != "compact":
        raise SchemaTopicWrong(
            f"topic {topic} has cleanup.policy={policy}: schemas would be deleted; set it to compact"
        )
