"""Topics that every worker of a system reads whole, beside its partitions: agents, freezes, policies.

A reader thread per topic, outside any group, folds committed records into an immutable value. A transaction sees
the value as it stood when it began, with the positions that it was made from, so that a decision can say so.
"""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from typing import Any, Generic, TypeVar

import msgspec
import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from prometheus_client import Counter, Gauge

from neural_hive.connectors.kafka_log import Offsets, Record, UnreadableLog, begin_offsets
from neural_hive.projections.layout import layout
from neural_hive.projections.source import LogLost
from neural_hive.projections.whole_log import ArchiveAway, OpenArchive, WholeLog

V = TypeVar("V")
POLL_S = 0.1
PROBE_EVERY_S = 1.0
PROBE_TIMEOUT_S = 3.0
CHUNK_RECORDS = 2_000
_LOST = (KafkaError.OFFSET_OUT_OF_RANGE, KafkaError._AUTO_OFFSET_RESET, KafkaError._NO_OFFSET)
_SKIPPED = Counter(
    "neural_hive_broadcast_skipped", "Records of a topic read whole that its view could not take", ("topic",)
)
_ANEW = Counter(
    "neural_hive_broadcast_read_anew", "Times a topic read whole had lost what was read of it", ("topic",)
)
_AGE = Gauge(
    "neural_hive_broadcast_age_seconds",
    "Since a topic read whole was last seen to be read to its end; silence is not age",
    ("topic",),
)
log = structlog.get_logger()


class _Lost(RuntimeError):
    """The log has no more what the value was made from, or has something else there."""


class View(msgspec.Struct, Generic[V], frozen=True):
    """What a system says of a topic that it reads whole: `add(value, record)` gives the next value.

    Values must be immutable. A record that `add` cannot take (it raises) is skipped, counted and logged. A topic that
    has lost what was read of it is read anew; meanwhile the value stays what it was, and grows old.
    """

    topic: str
    empty: V
    add: Callable[[V, Any], V]


class Snapshot(msgspec.Struct, Generic[V], frozen=True):
    """A broadcast value as a transaction sees it."""

    value: V
    positions: dict[int, int]  # next offset of each partition
    age_s: float  # since the reader was last seen at the log's end: silence is not age


class _Deleted:
    """See Readable: a partition of which Kafka has nothing before an offset, and nothing behind it is asked for."""

    def __init__(self, partition: int, begin: int) -> None:
        self.partition, self._begin = partition, begin

    def range(self, topic: str) -> tuple[int, int]:
        return self._begin, self._begin

    def read(self, topic: str, first: int, end: int) -> Iterator[Record]:
        return iter(())


class _Archived:
    """A record of the archive, as views take them: like the messages of a consumer."""

    def __init__(self, record: Record) -> None:
        self._record = record

    def topic(self) -> str:
        return self._record.topic

    def partition(self) -> int:
        return self._record.partition

    def offset(self) -> int:
        return self._record.offset

    def key(self) -> bytes | None:
        return self._record.key

    def value(self) -> bytes | None:
        return self._record.value


class Broadcast(Generic[V]):
    """The reader of one view."""

    def __init__(
        self,
        config: dict[str, Any],
        view: View[V],
        partitions: int,
        open_archive: OpenArchive | None = None,
    ) -> None:
        """`open_archive`: where the topic's beginning is read when Kafka has it no more."""
        topic = view.topic
        self._skipped, self._read_anew = _SKIPPED.labels(topic), _ANEW.labels(topic)
        _AGE.labels(topic).set_function(lambda: self.snapshot().age_s)
        self._config, self._view, self._open_archive = config, view, open_archive
        self._partitions = range(partitions)
        self._state: tuple[V, dict[int, int]] = (view.empty, {})
        self._draft = self._state  # what is being read; shown as it grows, but not when it is read anew
        self._is_anew = False
        self._topic_id = ""  # of which the value is made
        self._fresh_at: float | None = None
        self._asked = threading.Event()  # somebody waits for the end: look where it is at once
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"broadcast-{view.topic}", daemon=True)

    def start(self, stall_s: float = 60.0) -> None:
        """Begins to read, and returns when the log's end was reached, however long the log is.

        Raises TimeoutError: it was not reached, and nothing more came for a while.
        """
        self._thread.start()
        value, came_at = self._draft[0], time.monotonic()
        while self._fresh_at is None:
            if self._draft[0] is not value:
                value, came_at = self._draft[0], time.monotonic()
            elif time.monotonic() - came_at > stall_s:
                raise TimeoutError(
                    f"{self._view.topic} was not read to its end, and nothing came for {stall_s:g} s"
                )
            time.sleep(0.02)

    def snapshot(self) -> Snapshot[V]:
        """The value now."""
        fresh_at = self._fresh_at  # before the value: it is as fresh as that, or more
        value, positions = self._state
        age_s = time.monotonic() - fresh_at if fresh_at is not None else float("inf")
        return Snapshot(value, positions, age_s)

    def read_to_end(self, within_s: float) -> None:
        """Returns when all that was committed before the call is in the value.

        Raises TimeoutError: it was not within that time.
        """
        asked_at = time.monotonic()
        while self._fresh_at is None or self._fresh_at <= asked_at:
            if time.monotonic() - asked_at > within_s:
                raise TimeoutError(f"{self._view.topic} was not read to its end within {within_s:g} s")
            self._asked.set()
            time.sleep(0.02)

    def stop(self) -> None:
        """Ends the reader."""
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._read()
            except _Lost as error:
                log.error("broadcast is read anew", topic=self._view.topic, why=str(error))
                self._read_anew.inc()
                self._draft, self._is_anew, self._topic_id = (self._view.empty, {}), True, ""
                self._stopping.wait(1.0)
            except Exception as error:
                # Whatever it is: a value that grows old for ever, without a word, is worse.
                passing = isinstance(error, KafkaException | UnreadableLog | ArchiveAway | LogLost)
                why = f"{type(error).__name__}: {error}"
                unforeseen = None if passing else error
                log.warning("broadcast interrupted", topic=self._view.topic, why=why, exc_info=unforeseen)
                self._stopping.wait(1.0)

    def _read(self) -> None:
        places = [(self._view.topic, partition) for partition in self._partitions]
        if self._topic_id:
            self._check_topic()
        positions = dict(self._draft[1]) or self._begun(begin_offsets(self._config, places))
        consumer = Consumer(self._settings())
        ends = Offsets(self._config, "read_committed", timeout_s=PROBE_TIMEOUT_S)
        try:
            consumer.assign([TopicPartition(self._view.topic, p, o) for p, o in positions.items()])
            probed_at = -PROBE_EVERY_S
            while not self._stopping.is_set():
                try:
                    for message in consumer.consume(CHUNK_RECORDS, POLL_S):
                        self._take(message, positions)
                finally:  # what was taken before an error must not be taken again
                    self._draft = (self._draft[0], dict(positions))
                if not self._is_anew:
                    self._state = self._draft
                is_asked = self._asked.is_set()
                if is_asked or time.monotonic() - probed_at > PROBE_EVERY_S or self._fresh_at is None:
                    self._asked.clear()
                    probed_at = time.monotonic()
                    if self._is_at_end(ends, places, positions):
                        self._state = self._draft
                        self._fresh_at, self._is_anew = probed_at, False
                        if not self._topic_id:
                            self._check_topic()
        finally:
            consumer.close()
            ends.close()

    def _is_at_end(self, ends: Offsets, places: list[tuple[str, int]], positions: dict[int, int]) -> bool:
        """Where a leader does not answer the value grows older, and what others send is read all the same."""
        try:
            return all(positions[p] >= end for (_, p), end in ends.ends(places).items())
        except UnreadableLog as error:
            log.warning("the end of a broadcast is not known", topic=self._view.topic, why=str(error))
            return False

    def _check_topic(self) -> None:
        """Raises _Lost: the topic was deleted and made anew."""
        topic_id = layout(self._config, [self._view.topic])[self._view.topic][0]
        if self._topic_id not in ("", topic_id):
            raise _Lost(f"topic id {topic_id}, expected {self._topic_id}: it was deleted and made anew")
        self._topic_id = topic_id

    def _begun(self, begins: Mapping[tuple[str, int], int]) -> dict[int, int]:
        """Takes what the archive has of the time before Kafka's first records; from where Kafka goes on."""
        self._draft = (self._view.empty, {})
        deleted = {partition: begin for (_, partition), begin in begins.items() if begin}
        if deleted and self._open_archive is not None:
            self._check_topic()
            ids = {self._view.topic: self._topic_id}
            for partition, begin in deleted.items():
                with closing(WholeLog(_Deleted(partition, begin), ids, self._open_archive)) as whole:
                    for record in whole.read(self._view.topic, *whole.range(self._view.topic)):
                        self._add(_Archived(record))
        return {partition: begin for (_, partition), begin in begins.items()}

    def _settings(self) -> dict[str, Any]:
        return {
            "log_level": 2,  # of syslog's levels: errors come as messages
            **self._config,
            "group.id": "neural-hive.broadcast",  # a name only: nothing is joined or committed
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "error",
        }

    def _add(self, message: Any) -> None:
        try:
            self._draft = (self._view.add(self._draft[0], message), self._draft[1])
        except Exception as reason:
            self._skipped.inc()
            place = f"{message.topic()}:{message.partition()}:{message.offset()}"
            log.error("broadcast record skipped", place=place, why=f"{type(reason).__name__}: {reason}")

    def _take(self, message: Any, positions: dict[int, int]) -> None:
        error = message.error()
        if error is None:
            self._add(message)
            positions[message.partition()] = message.offset() + 1
        elif error.code() == KafkaError._PARTITION_EOF:
            positions[message.partition()] = max(positions[message.partition()], message.offset())
        elif error.code() in _LOST:
            raise _Lost(error.str())
        elif not error.retriable() and error.code() != KafkaError._ALL_BROKERS_DOWN:
            raise KafkaException(error)
