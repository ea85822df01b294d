"""Where the log stands: what a system has read, where partitions end, whether records stand between two offsets."""

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from confluent_kafka import (
    Consumer,
    ConsumerGroupTopicPartitions,
    KafkaError,
    KafkaException,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient

from neural_hive.connectors.kafka_offsets import Offsets, Place, UnreadableLog
from neural_hive.connectors.publisher import KAFKA_LOG
from neural_hive.following import unreachable

NONE: Final = -1  # no such offset
_CALL_TIMEOUT_S: Final = 10.0
_EMPTY_TIMEOUT_S: Final = 1.0
_CLOCK_STEP_MS: Final = 60_000  # the broker's clock may be set back between a message and its answer
_PASSING: Final = (
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError.NOT_COORDINATOR,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    KafkaError.GROUP_ID_NOT_FOUND,
)


class LogPlaces:
    """Asks Kafka; joins no group and changes nothing. May be used from many threads. Raises Unreachable."""

    def __init__(self, kafka: dict[str, Any], timeout_s: float = _CALL_TIMEOUT_S) -> None:
        """`timeout_s`: how long an answer of Kafka's is waited for."""
        self._kafka, self._timeout_s = kafka, timeout_s
        self._admin = AdminClient({**kafka, "log_level": 3}, logger=KAFKA_LOG)
        self._offsets = Offsets(kafka, timeout_s=timeout_s)
        self._consumer: Consumer | None = None
        self._lock = threading.Lock()

    def partitions(self, topic: str) -> int:
        """How many partitions a topic has."""
        try:
            found = self._admin.list_topics(topic, timeout=self._timeout_s).topics[topic].partitions
        except KafkaException as error:
            raise unreachable(self._kafka, error) from error
        return len(found) or 1

    def read_by(self, group: str, place: Place) -> int:
        """The offset that a group goes on from; NONE: it has not begun, or nobody can tell now."""
        return self.all_read_by(group, [place]).get(place, NONE)

    def all_read_by(self, group: str, places: Iterable[Place]) -> dict[Place, int]:
        """The offsets that a group goes on from, as far as it has begun; none, if nobody can tell now."""
        asked = ConsumerGroupTopicPartitions(group, [TopicPartition(*place) for place in places])
        try:
            (answer,) = self._admin.list_consumer_group_offsets(
                [asked], request_timeout=self._timeout_s
            ).values()
            found = answer.result(self._timeout_s + 1).topic_partitions
        except KafkaException as error:
            if error.args[0].code() in _PASSING:
                return {}
            raise unreachable(self._kafka, error) from error
        return {(one.topic, one.partition): int(one.offset) for one in found if one.offset >= 0}

    def since(self, places: Iterable[Place], appended_at: int) -> dict[Place, int]:
        """From where records may have been appended at a time (µs) or later; NONE: there are none."""
        at_ms = max(appended_at // 1_000 - _CLOCK_STEP_MS, 0)
        return self._answered(lambda: self._offsets.since(places, at_ms))

    def ends(self, places: Iterable[Place]) -> dict[Place, int]:
        """Where partitions end, transactions that are not yet ended in all of them included."""
        return self._answered(lambda: self._offsets.ends(places))

    def is_empty(self, place: Place, start: int, end: int) -> bool:
        """Whether no committed record stands from `start` to `end`; markers of transactions are none."""
        with self._lock:
            if self._consumer is None:
                self._consumer = Consumer(_reading(self._kafka), logger=KAFKA_LOG)
            self._consumer.assign([TopicPartition(*place, start)])
            until = time.monotonic() + _EMPTY_TIMEOUT_S
            while time.monotonic() < until:
                message = self._consumer.poll(0.1)
                if message is None:
                    continue
                error = message.error()
                if error is None or error.code() == KafkaError._PARTITION_EOF:
                    return int(message.offset()) >= end
            return False

    def close(self) -> None:
        """Lets the broker go."""
        self._offsets.close()
        with self._lock:
            if self._consumer is not None:
                self._consumer.close()
                self._consumer = None

    def _answered(self, ask: Callable[[], dict[Place, int]]) -> dict[Place, int]:
        try:
            return ask()
        except UnreadableLog as error:
            raise unreachable(self._kafka, error) from error


def _reading(kafka: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **kafka,
        "group.id": "neural-hive.client",  # a name only: nothing is joined or committed
        "isolation.level": "read_committed",
        "enable.auto.commit": False,
        "enable.partition.eof": True,
        "auto.offset.reset": "earliest",
        "fetch.wait.max.ms": 10,  # it is asked where nothing is expected
    }
