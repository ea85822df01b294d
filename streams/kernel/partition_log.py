"""What a partition asks of Kafka, in one place: to take over, to read its log, and to commit.

`PartitionLog` is all that the kernel's guarantees rest on; `KafkaPartitionLog` is Kafka's answer to it.
"""

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from typing import Any, Final, Protocol

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

from neural_hive.connectors.kafka_log import Offsets, Record, UnreadableLog, read_committed
from neural_hive.projections.whole_log import Readable
from neural_hive.streams.kernel.membership import owner_of
from neural_hive.streams.kernel.unit import Output

CALL_TIMEOUT_S: Final = 30.0
OFFSETS_TIMEOUT_S: Final = 5.0
ABANDONED_MAX: Final = 5  # producers that never came back from a call; above it the process starts anew
TRANSACTION_TIMEOUT_MS: Final = 10_000
BEGUN_SUFFIX: Final = (
    ".begun"  # the group that knows which inputs a group has begun to read, and has no members
)
_SILENT: Final = {
    "log_level": 2
}  # of syslog's levels: what goes wrong comes as an exception, and is logged once


class Fenced(RuntimeError):
    """Another process has this partition now: this one must end."""


class Indefinite(RuntimeError):
    """Nobody knows whether the transaction was committed: only the log can tell."""


class PartitionLog(Protocol):
    """One partition of a system's topics, for one owner at a time.

    Every call may raise Fenced: there is another owner; or Indefinite: no answer, for now.
    """

    partition: int

    def take_over(self) -> None:
        """Makes this the owner. After it nobody else can commit, and what others left open is ended."""
        ...

    def committed(self, topics: Iterable[str]) -> dict[str, int]:
        """The committed input offsets; −1 where there is none."""
        ...

    def begun(self, topics: Iterable[str]) -> set[str]:
        """Those of these inputs that this partition has begun to read, as `note_begun` says."""
        ...

    def note_begun(self, topics: Iterable[str]) -> None:
        """Notes it apart from the offsets, and to outlive them."""
        ...

    def commit(self, outputs: list[Output], offsets: Mapping[str, int]) -> dict[str, int]:
        """Records and input offsets, in one transaction. Topic → offset of the last event on it."""
        ...

    def range(self, topic: str) -> tuple[int, int]:
        """The first offset that there is, and the one that follows the last, open transactions included."""
        ...

    def read(self, topic: str, first: int, end: int) -> Iterator[Record]:
        """The committed records of [first, end). Raises StalledLog, LostLog."""
        ...

    def at(self, partition: int) -> Readable:
        """Another partition of the same topics, to be read by whoever asks: it need not be this owner's."""
        ...

    def ask_time(self, topic: str) -> int:
        """The time by which records of this topic get their append time, µs: one that has just been there."""
        ...


class KafkaReadable:
    """See Readable. Raises Indefinite: no answer, for now."""

    def __init__(self, config: Mapping[str, Any], offsets: Offsets, partition: int, stall_s: float) -> None:
        self._config, self._offsets = dict(config), offsets
        self.partition, self._stall_s = partition, stall_s

    def range(self, topic: str) -> tuple[int, int]:
        """See PartitionLog.range."""
        try:
            return self._offsets.range((topic, self.partition))
        except UnreadableLog as error:
            raise Indefinite(str(error)) from error

    def read(self, topic: str, first: int, end: int) -> Iterator[Record]:
        """See PartitionLog.read."""
        try:
            yield from read_committed(self._config, topic, self.partition, first, end, self._stall_s)
        except UnreadableLog as error:
            raise Indefinite(str(error)) from error

    def at(self, partition: int) -> Readable:
        """See PartitionLog.at."""
        return KafkaReadable(self._config, self._offsets, partition, self._stall_s)


class KafkaPartitionLog(KafkaReadable):
    """See PartitionLog. One transactional producer, made anew whenever the partition is taken over."""

    def __init__(
        self,
        config: Mapping[str, Any],
        group: str,
        transactional_id: str,
        partition: int,
        stall_s: float,
        member: str = "",
    ) -> None:
        """`member`: the instance id by which the group knows this process; empty: it is in no group."""
        super().__init__(config, Offsets(config, group=group), partition, stall_s)
        self._transactional_id = transactional_id
        self._member, self._group_id = member, group
        self._begun_settings = {**_SILENT, **config, "group.id": f"{group}{BEGUN_SUFFIX}"}
        self._producer: Producer | None = None
        self._abandoned = 0

    def take_over(self) -> None:
        """See PartitionLog.take_over."""
        try:
            if self._producer is not None:
                self._check_owner()
            self._producer = Producer(self._producer_settings())
            self._producer.init_transactions(CALL_TIMEOUT_S)
        except KafkaException as error:
            raise self._explained(error) from error

    def _check_owner(self) -> None:
        """Who takes a partition over again may have been away, and must not fence its new owner. Raises Fenced."""
        owner = owner_of(self._config, self._group_id, self.partition) if self._member else ""
        if owner not in ("", self._member):
            raise Fenced(f"{self._transactional_id}: the group has given the partition to {owner}")

    def _producer_settings(self) -> dict[str, Any]:
        return {
            **_SILENT,
            **self._config,
            "transactional.id": self._transactional_id,
            "transaction.timeout.ms": TRANSACTION_TIMEOUT_MS,
            "acks": "all",
            "compression.type": "lz4",
            "message.max.bytes": 9 << 20,
            "queue.buffering.max.messages": 1_000_000,
            "batch.num.messages": 100_000,
            "retry.backoff.ms": 1,  # with the default of 100 ms each transaction costs 100 ms instead of 4
            "retry.backoff.max.ms": 5,
            "linger.ms": 5,
        }

    def committed(self, topics: Iterable[str]) -> dict[str, int]:
        """See PartitionLog.committed."""
        asked = [TopicPartition(topic, self.partition) for topic in topics]
        try:
            return {
                tp.topic: max(tp.offset, -1) for tp in self._offsets.consumer.committed(asked, CALL_TIMEOUT_S)
            }
        except KafkaException as error:
            self._offsets.renew()
            raise self._explained(error) from error

    def begun(self, topics: Iterable[str]) -> set[str]:
        """See PartitionLog.begun."""
        asked = [TopicPartition(topic, self.partition) for topic in topics]
        try:
            with closing(Consumer(self._begun_settings)) as group:
                return {tp.topic for tp in group.committed(asked, CALL_TIMEOUT_S) if tp.offset >= 0}
        except KafkaException as error:
            raise self._explained(error) from error

    def note_begun(self, topics: Iterable[str]) -> None:
        """See PartitionLog.note_begun. A group of that name has an offset for each of them: Kafka drops it with the
        topic, as it must, and not with the group that reads."""
        producer = self._producer
        assert producer is not None, "take_over comes first"
        try:
            with closing(Consumer(self._begun_settings)) as group:
                producer.begin_transaction()
                tps = [TopicPartition(topic, self.partition, 0) for topic in topics]
                self._send_offsets(producer, tps, group)
                producer.commit_transaction(CALL_TIMEOUT_S)
        except KafkaException as error:
            raise self._explained(error) from error

    def commit(self, outputs: list[Output], offsets: Mapping[str, int]) -> dict[str, int]:
        """See PartitionLog.commit."""
        last = {output.topic: output for output in outputs if output.hash is not None}
        landed: dict[str, int] = {}

        def delivered(error: Any, message: Any) -> None:
            if error is None:
                landed[message.topic()] = message.offset()

        producer = self._producer
        assert producer is not None, "take_over comes first"
        try:
            producer.begin_transaction()
            for output in outputs:
                watch = delivered if last.get(output.topic) is output else None
                _produce(producer, output, watch)
            tps = [TopicPartition(topic, self.partition, offset) for topic, offset in offsets.items()]
            if tps:
                self._send_offsets(producer, tps, self._offsets.consumer)
            producer.commit_transaction(CALL_TIMEOUT_S)
        except KafkaException as error:
            raise self._explained(error) from error
        if landed.keys() != last.keys():
            raise Indefinite("the broker did not say where the last events landed")
        return landed

    def ask_time(self, topic: str) -> int:
        """See PartitionLog.ask_time. Only a record that is appended tells; this one is never committed."""
        producer = self._producer
        assert producer is not None, "take_over comes first"
        told: list[int] = []
        try:
            producer.begin_transaction()
            _produce(producer, Output(topic, self.partition, b"", b"", [], None), _note_time(told))
            producer.flush(CALL_TIMEOUT_S)
            producer.abort_transaction(CALL_TIMEOUT_S)
        except KafkaException as error:
            raise self._explained(error) from error
        if not told:
            raise Indefinite("the broker did not say what time it is")
        return told[0]

    def close(self) -> None:
        """Lets Kafka go. A transaction that is open ends when its time is over, or with the next owner."""
        self._producer = None
        self._offsets.close()

    def _send_offsets(self, producer: Producer, tps: list[TopicPartition], group: Consumer) -> None:
        """Adds a group's offsets to the transaction. Raises Indefinite: no answer in time.

        When the broker was killed, librdkafka may wait for ever and forget its own time-out (confluentinc/librdkafka
        5456), so the call has a thread of its own, which can be left behind: the next producer fences this one.
        """
        failed: list[BaseException] = []
        metadata = group.consumer_group_metadata()

        def send() -> None:
            try:
                producer.send_offsets_to_transaction(tps, metadata, OFFSETS_TIMEOUT_S)
            except BaseException as error:
                failed.append(error)

        thread = threading.Thread(target=send, name=f"{self._transactional_id}-offsets", daemon=True)
        thread.start()
        thread.join(OFFSETS_TIMEOUT_S * 1.2)  # its own time-out first, where it keeps to it
        if thread.is_alive():
            self._abandoned += 1
            if self._abandoned > ABANDONED_MAX:
                raise Fenced(
                    f"{self._transactional_id}: {self._abandoned} producers never came back from a call"
                )
            raise Indefinite(f"no answer to the offsets in {OFFSETS_TIMEOUT_S:g} s")
        if failed:
            raise failed.pop()  # or the error would keep itself, this frame, and with it the producer

    def _explained(self, error: KafkaException) -> Fenced | Indefinite:
        text = error.args[0].str()
        return Fenced(f"{self._transactional_id}: {text}") if _is_fenced(error) else Indefinite(text)


def _note_time(told: list[int]) -> Callable[[Any, Any], None]:
    def delivered(error: Any, message: Any) -> None:
        if error is None:
            told.append(message.timestamp()[1] * 1_000)

    return delivered


def _produce(producer: Producer, output: Output, watch: Any) -> None:
    while True:
        try:
            producer.produce(
                output.topic,
                output.value,
                output.key,
                output.partition,
                on_delivery=watch,
                headers=output.headers,
            )
            return
        except BufferError:
            producer.poll(0.1)


def _is_fenced(error: KafkaException) -> bool:
    kafka_error = error.args[0]
    return bool(kafka_error.fatal()) or kafka_error.name() in (
        "_FENCED",
        "INVALID_PRODUCER_EPOCH",
        "PRODUCER_FENCED",
    )
