"""Reads single committed records at their places, for who asks for many of them in about the order of the log."""

import time
from collections import OrderedDict
from typing import Any, Final

from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

from neural_hive.connectors.kafka_log import LostLog, UnreadableLog
from neural_hive.connectors.kafka_offsets import NO_GROUP, Config
from neural_hive.connectors.record import Record

AHEAD: Final = 500  # so far the reader goes on rather than to begin elsewhere
KEPT_BYTES_MAX: Final = 32 * 1024 * 1024
_POLL_S: Final = 0.02
_LOST: Final = (KafkaError.OFFSET_OUT_OF_RANGE, KafkaError._AUTO_OFFSET_RESET, KafkaError._NO_OFFSET)

Place = tuple[str, int, int]  # topic, partition, offset


class Places:
    """One connection, and the records that were read lately; for one thread."""

    def __init__(self, config: Config, stall_s: float = 30.0) -> None:
        """`stall_s`: how long a record may not come before it counts as unreadable."""
        self._config, self._stall_s = config, stall_s
        self._consumer: Consumer | None = None
        self._at: Place = ("", 0, -1)  # what is read next
        self._kept: OrderedDict[Place, Record] = OrderedDict()
        self._kept_bytes = 0

    def record(self, topic: str, partition: int, offset: int) -> Record:
        """One record. Raises LostLog: there is none, for ever; UnreadableLog: it does not come now."""
        place = (topic, partition, offset)
        found = self._kept.get(place) or self._read(place)
        if found is None:
            raise LostLog(topic, partition, offset, "no committed record stands there")
        return found

    def close(self) -> None:
        """Ends the connection."""
        if self._consumer is not None:
            self._consumer.close()
            self._consumer = None

    def _read(self, place: Place) -> Record | None:
        topic, partition, offset = place
        if self._consumer is None:
            self._consumer = Consumer(_settings(self._config))
        next_topic, next_partition, next_offset = self._at
        is_ahead = (topic, partition) == (next_topic, next_partition) and 0 <= offset - next_offset <= AHEAD
        if not is_ahead:
            self._consumer.assign([TopicPartition(topic, partition, offset)])
            self._at = place
        until, found = time.monotonic() + self._stall_s, None
        while self._at[2] <= offset:
            for message in self._consumer.consume(AHEAD, _POLL_S):
                record = self._take(message, place)
                if record is not None and record.offset == offset:
                    found = record  # those behind it may push it out of what is kept
            if self._at[2] <= offset and time.monotonic() > until:
                self._at = ("", 0, -1)
                raise UnreadableLog(
                    f"{topic}:{partition} does not give offset {offset} within {self._stall_s:g} s"
                )
        return found

    def _take(self, message: Message, wanted: Place) -> Record | None:
        topic, partition, _ = self._at
        if (message.topic(), message.partition()) != (topic, partition):
            return None  # of what was read before
        error = message.error()
        if error is None:
            self._at = (topic, partition, message.offset() + 1)
            return self._keep(message)
        if error.code() == KafkaError._PARTITION_EOF:
            # As a committed reader sees it; whoever asks has seen the record's consequences, so it is committed.
            self._at = (topic, partition, max(self._at[2], message.offset()))
        elif error.code() in _LOST:
            self._at = ("", 0, -1)
            raise LostLog(*wanted, error.str())
        elif not (error.retriable() or error.code() in (KafkaError._ALL_BROKERS_DOWN, KafkaError._TRANSPORT)):
            self._at = ("", 0, -1)
            raise UnreadableLog(f"{topic}:{partition}: {error.str()}")
        return None

    def _keep(self, message: Message) -> Record:
        value, headers = message.value(), message.headers()
        place = (message.topic(), message.partition(), message.offset())
        if place not in self._kept:
            self._kept_bytes += len(value or b"")
        told = tuple(headers) if headers else ()
        record = self._kept[place] = Record(*place, message.timestamp()[1], message.key(), value, told)
        while self._kept_bytes > KEPT_BYTES_MAX and len(self._kept) > 1:
            _, oldest = self._kept.popitem(last=False)
            self._kept_bytes -= len(oldest.value or b"")
        return record


def _settings(config: Config) -> dict[str, Any]:
    return {
        "log_level": 2,  # of syslog's levels: errors come as messages
        **config,
        "group.id": NO_GROUP,
        "isolation.level": "read_committed",
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "enable.partition.eof": True,
        "auto.offset.reset": "error",
        "queued.max.messages.kbytes": 8 * 1024,  # it reads on by itself, though nobody may ask for it
        "fetch.message.max.bytes": 1024 * 1024,
        "fetch.wait.max.ms": 10,
    }
