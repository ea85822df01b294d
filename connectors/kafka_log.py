"""Reads one partition of the log as it was committed: in order, from an offset to an end, outside any group.

Recovery and replay read through this one place, so that both see the same records.
"""

import time
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from heapq import merge
from typing import Any, Final, TypeVar

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from neural_hive.connectors.kafka_offsets import (
    NO_GROUP,
    Config,
    Isolation,
    Offsets,
    UnreadableLog,
    begin_offsets,
    end_offsets,
)
from neural_hive.connectors.record import Record

T = TypeVar("T")

CHUNK_RECORDS: Final = 1_000
QUEUE: Final = "queued.max.messages.kbytes"
QUEUE_KBYTES: Final = 32 * 1024  # ready in memory for one partition, if the configuration does not say
_POLL_S: Final = 0.02  # a read that finds fewer than a whole chunk waits this long


class StalledLog(RuntimeError):
    """The committed log does not reach its end: an open transaction holds it, and does not end."""

    def __init__(self, topic: str, partition: int, at: int, end: int, stall_s: float) -> None:
        self.topic, self.partition, self.at, self.end = topic, partition, at, end
        super().__init__(
            f"{topic}:{partition} is committed only up to offset {at} of {end} and has not moved for "
            f"{stall_s:g} s: a transaction is open there. Name its writer with "
            f"`kafka-transactions.sh describe-producers --topic {topic} --partition {partition}`, then end it"
        )


class LostLog(RuntimeError):
    """The offset asked for is not in the log: records were deleted, or the log was cut or made anew."""

    def __init__(self, topic: str, partition: int, offset: int, why: str) -> None:
        self.topic, self.partition, self.offset = topic, partition, offset
        super().__init__(f"{topic}:{partition} has no offset {offset}: {why}")


class CommittedLog:
    """The committed records of [first_offset, end_offset) of one partition; iterate once.

    `position` is the offset that follows all that was read, past transaction markers and aborted records too.
    With `end_offset` None the end is that of the log when reading begins, open transactions included.
    Raises LostLog, StalledLog, UnreadableLog.
    """

    def __init__(
        self,
        config: Config,
        topic: str,
        partition: int,
        first_offset: int,
        end_offset: int | None = None,
        stall_s: float = 30.0,
    ) -> None:
        self.topic, self.partition, self.position = topic, partition, first_offset
        self.end = end_offset
        self._config, self._stall_s = config, stall_s

    def __iter__(self) -> Iterator[Record]:
        for batch in self.batches():
            yield from batch

    def batches(self) -> Iterator[list[Record]]:
        """The records in lists of at most CHUNK_RECORDS, as they arrive."""
        if self.end is None:
            self.end = end_offsets(self._config, [(self.topic, self.partition)])[self.topic, self.partition]
        if self.position >= self.end:
            return
        consumer = Consumer(_reader_config(self._config))
        try:
            consumer.assign([TopicPartition(self.topic, self.partition, self.position)])
            yield from self._read(consumer, self.end)
        finally:
            consumer.close()

    def _read(self, consumer: Consumer, end: int) -> Iterator[list[Record]]:
        moved_at = time.monotonic()
        while self.position < end:
            before = self.position
            batch = self._taken(consumer.consume(CHUNK_RECORDS, _POLL_S), end)
            if batch:
                yield batch
            if self.position > before:
                moved_at = time.monotonic()
            elif time.monotonic() - moved_at > self._stall_s:
                self._explain_stall(end)
                moved_at = time.monotonic()

    def _explain_stall(self, end: int) -> None:
        """Raises UnreadableLog: the broker or the partition is not there. StalledLog: an open transaction."""
        place = (self.topic, self.partition)
        if end_offsets(self._config, [place], "read_committed")[place] <= self.position:
            raise StalledLog(self.topic, self.partition, self.position, end, self._stall_s)

    def _taken(self, messages: list[Message], end: int) -> list[Record]:
        batch: list[Record] = []
        for message in messages:
            offset = message.offset()
            if message.error() is not None:
                self._note(message.error(), offset)
            elif offset >= end:
                self.position = end
                break
            else:
                batch.append(_record(self.topic, self.partition, offset, message))
                self.position = offset + 1
        return batch

    def _note(self, error: KafkaError, offset: int) -> None:
        code = error.code()
        if code == KafkaError._PARTITION_EOF:
            self.position = max(self.position, offset)
        elif code in (KafkaError.OFFSET_OUT_OF_RANGE, KafkaError._AUTO_OFFSET_RESET, KafkaError._NO_OFFSET):
            raise LostLog(self.topic, self.partition, self.position, error.str())
        elif not (error.retriable() or code in (KafkaError._ALL_BROKERS_DOWN, KafkaError._TRANSPORT)):
            raise UnreadableLog(f"{self.topic}:{self.partition} at offset {self.position}: {error.str()}")


def _record(topic: str, partition: int, offset: int, message: Message) -> Record:
    headers = message.headers()
    return Record(
        topic,
        partition,
        offset,
        message.timestamp()[1],
        message.key(),
        message.value(),
        tuple(headers) if headers else (),
    )


def _reader_config(config: Config) -> dict[str, Any]:
    return {
        "log_level": 2,  # of syslog's levels: errors come as messages
        **config,
        "group.id": NO_GROUP,
        "isolation.level": "read_committed",
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "enable.partition.eof": True,
        "auto.offset.reset": "error",
        QUEUE: config.get(QUEUE, QUEUE_KBYTES),
        "queued.min.messages": 1_000_000,
        "fetch.message.max.bytes": 1024 * 1024,
        "fetch.wait.max.ms": 10,  # what finding out that the end is reached costs
        "fetch.queue.backoff.ms": 2,  # by default a full queue costs a second: a quarter of the rate
    }


def read_committed(
    config: Config,
    topic: str,
    partition: int,
    first_offset: int,
    end_offset: int | None,
    stall_s: float = 30.0,
) -> Iterator[Record]:
    """The committed records of [first_offset, end_offset) of one partition. See CommittedLog."""
    return iter(CommittedLog(config, topic, partition, first_offset, end_offset, stall_s))


def merged(readers: Iterable[Iterable[tuple[int, Any]]]) -> Iterator[tuple[int, Any]]:
    """Several readers of (sequence, anything), each in order, as one in the order of `sequence`.

    For the event topics of one writer partition: it numbers its events over all of them.
    """
    return merge(*readers, key=lambda numbered: numbered[0])


def told(answer: Future[T], timeout_s: float) -> T:
    """What a broker has told an admin client. Raises KafkaException: nothing, or not yet.

    An error that `Future.result` raises is kept by the future, the error keeps the frames that it came through, and
    these keep future and client: a circle that leaves the client's threads and sockets behind until somebody looks for
    circles, which processors hardly ever do. So the error that is raised is another one.
    """
    try:
        failed = answer.exception(timeout_s)
    except TimeoutError as error:  # the client's own time-out comes late where it gets no processor time
        raise KafkaException(KafkaError(KafkaError._TIMED_OUT)) from error
    if failed is not None:
        raise KafkaException(*failed.args) from None
    return answer.result()


__all__ = [
    "CommittedLog",
    "Config",
    "Isolation",
    "LostLog",
    "Offsets",
    "Record",
    "StalledLog",
    "UnreadableLog",
    "begin_offsets",
    "end_offsets",
    "merged",
    "read_committed",
    "told",
]
