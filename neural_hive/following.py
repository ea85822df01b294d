"""Follows one workflow in the log, from a place taken before its plan is published."""

import time
from collections.abc import Iterator
from typing import Any, Final

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from neural_hive.connectors.publisher import KAFKA_LOG
from neural_hive.schemas.catalogue import UnknownSchema
from neural_hive.schemas.codec import BadRecord, Decoded, decode
from neural_hive.schemas.topics import partition_of
from neural_hive.streams.kernel.reading import Fetch, MessageReader

EVENTS: Final = ("execution.tickets", "orchestration.workflows")
DEAD_LETTERS: Final = "dead.letters"
_CALL_TIMEOUT_S: Final = 10.0
_PASSING: Final = (
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.UNKNOWN_TOPIC_OR_PART,
)


class Unreachable(Exception):
    """Kafka does not answer; the text says where and what to do."""


class Follower:
    """The events of one workflow, and dead letters with its key, from the moment that this is made."""

    def __init__(self, kafka: dict[str, Any], workflow_id: str, fetch: Fetch | None = None) -> None:
        """Takes the place. `fetch` finds the schemas of a newer build. Raises Unreachable."""
        self._key = workflow_id.encode()
        self._read_event = MessageReader(fetch, "event")
        self._consumer = Consumer(
            {
                **kafka,
                "group.id": "neural-hive.follower",  # confluent-kafka wants a name; nothing is joined or committed
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "auto.offset.reset": "earliest",
            },
            logger=KAFKA_LOG,
        )
        try:
            self._consumer.assign(self._places())
        except KafkaException as error:
            self._consumer.close()
            raise unreachable(kafka, error) from error

    def _places(self) -> list[TopicPartition]:
        topics = self._consumer.list_topics(timeout=_CALL_TIMEOUT_S).topics
        wanted: list[tuple[str, int]] = []
        for topic in (*EVENTS, DEAD_LETTERS):
            count = len(topics[topic].partitions) if topic in topics else 0
            if topic == DEAD_LETTERS:
                wanted += [(topic, number) for number in range(count)]
            elif count:
                wanted.append((topic, partition_of(self._key, count)))
        return [TopicPartition(topic, number, self._end(topic, number)) for topic, number in wanted]

    def _end(self, topic: str, number: int) -> int:
        place = TopicPartition(topic, number)
        until = time.monotonic() + _CALL_TIMEOUT_S
        while True:
            try:
                return int(self._consumer.get_watermark_offsets(place, timeout=_CALL_TIMEOUT_S)[1])
            except KafkaException as error:  # a partition without a leader has one again in a moment
                if time.monotonic() > until or error.args[0].code() not in _PASSING:
                    raise
                time.sleep(0.1)

    def records(self, timeout_s: float) -> Iterator[Decoded | None]:
        """What is said of the workflow, as it is said, for so many seconds; None when nothing came for a while.

        Raises RegistryAway: a newer build said something, and nobody tells what.
        """
        until = time.monotonic() + timeout_s
        while time.monotonic() < until:
            message = self._consumer.poll(0.1)
            if message is None or message.error():
                yield None
                continue
            if record := self._read(message):
                yield record

    def _read(self, message: Message) -> Decoded | None:
        """None: it is about something else, or says what this build has no word for."""
        is_letter = message.topic() == DEAD_LETTERS
        if not is_letter and message.key() != self._key:
            return None
        value = message.value() or b""
        try:
            record = decode(value, "message") if is_letter else self._read_event(value)
        except (BadRecord, UnknownSchema):
            return None
        return None if is_letter and record.payload["key"] != self._key else record

    def close(self) -> None:
        """Lets the broker go."""
        self._consumer.close()


def unreachable(kafka: dict[str, Any], error: Exception) -> Unreachable:
    """The error in words that say what to do."""
    reason = error.args[0].str() if isinstance(error, KafkaException) else str(error)
    return Unreachable(
        f"Kafka at {kafka['bootstrap.servers']} does not answer ({reason}). "
        "Start a system with `neural-hive up`, or name its data folder with --data"
    )
