"""Follows the committed records of many partitions, each from its own offset, with little memory and few wake-ups."""

from collections.abc import Mapping
from typing import Any, Final

from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

from neural_hive.connectors.kafka_log import LostLog, Record, UnreadableLog
from neural_hive.connectors.kafka_offsets import NO_GROUP
from neural_hive.connectors.publisher import KAFKA_LOG
from neural_hive.replay.seal.leaf import Place

_CHUNK: Final = 1_000
_PASSING: Final = (KafkaError._ALL_BROKERS_DOWN, KafkaError._TRANSPORT, KafkaError._TIMED_OUT)
_LOST: Final = (KafkaError.OFFSET_OUT_OF_RANGE, KafkaError._AUTO_OFFSET_RESET, KafkaError._NO_OFFSET)


class Follower:
    """Reads on from `starts`: of each partition the first offset that is wanted."""

    def __init__(self, config: Mapping[str, Any], starts: Mapping[Place, int]) -> None:
        self._nexts = dict(starts)
        self._consumer = Consumer(_settings(config), logger=KAFKA_LOG)
        self._consumer.assign([TopicPartition(*place, offset) for place, offset in starts.items()])

    def close(self) -> None:
        """Leaves the broker."""
        self._consumer.close()

    def records(self, wait_s: float) -> list[Record]:
        """What comes within a time. Raises LostLog: what was to come next is not there; UnreadableLog."""
        found = []
        for message in self._consumer.consume(_CHUNK, wait_s):
            place = (message.topic(), message.partition())
            if message.error() is None:
                self._nexts[place] = message.offset() + 1
                found.append(_record(message))
            else:
                self._note(message.error(), place, message.offset())
        return found

    def behind(self) -> int:
        """How many records and markers are in the log and not read yet, as far as the broker has told."""
        found = 0
        for place, following in self._nexts.items():
            _, high = self._consumer.get_watermark_offsets(TopicPartition(*place), cached=True)
            found += max(0, high - following) if high >= 0 else 0
        return found

    def _note(self, error: KafkaError, place: Place, offset: int) -> None:
        code = error.code()
        if code == KafkaError._PARTITION_EOF:
            self._nexts[place] = max(self._nexts[place], offset)  # past a transaction's marker
            return
        if code in _LOST:
            raise LostLog(*place, self._nexts.get(place, -1), error.str())
        if not (error.retriable() or code in _PASSING):
            raise UnreadableLog(f"{place[0]}:{place[1]} cannot be read: {error.str()}")


def _record(message: Message) -> Record:
    headers = message.headers()
    return Record(
        message.topic(),
        message.partition(),
        message.offset(),
        message.timestamp()[1],
        message.key(),
        message.value(),
        tuple(headers) if headers else (),
    )


def _settings(config: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **config,
        "group.id": NO_GROUP,
        "isolation.level": "read_committed",
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "enable.partition.eof": True,
        "auto.offset.reset": "error",
        "queued.max.messages.kbytes": 4 * 1024,
        "queued.min.messages": 2_000,
        "fetch.message.max.bytes": 256 * 1024,
        "fetch.wait.max.ms": 1_000,
        "fetch.queue.backoff.ms": 50,  # by default a full queue costs a second
    }
