"""The reading life of who takes work from the log: workers, and the sender of webhooks.

What was taken is unfinished until its end is known, and no offset behind it is committed: after a crash it is taken
again. On start each partition is read to its end before anything begins: what the log knows to be over is not done
again. Who has much unfinished stops reading, and reads on at half of that.
"""

import contextlib
import queue
import threading
import time
from collections.abc import Callable
from typing import Any, Final, Generic, Protocol, TypeVar

import msgspec
import structlog
from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

from neural_hive.connectors.publisher import KAFKA_LOG
from neural_hive.streams.work_ledger import Held, Key, Ledger

_COMMIT_EVERY_S: Final = 1.0
W = TypeVar("W", bound=Held)

log = structlog.get_logger()


class Reads(msgspec.Struct, frozen=True):
    """What is read, by whom, and how much is taken."""

    topic: str
    group: str
    unfinished_max: int  # at so much it stops reading
    instance: str = ""  # of a group's only member; empty: several share the partitions
    at_once: int = 1  # records; who takes more waits for them for up to `poll_s`
    poll_s: float = 0.1


class Doer(Protocol[W]):
    """Who does the work. All is called from the thread of `WorkReading.run`."""

    def read(self, partition: int, offset: int, value: bytes) -> W | None:
        """What a record asks for; None: nothing new."""
        ...

    def start(self, work: W) -> None:
        """Begins with it, and returns at once."""
        ...

    def settle(self) -> None:
        """Takes note of what has happened meanwhile; called often."""
        ...

    def refused(self, error: KafkaError) -> Exception | None:
        """What is raised if Kafka lets it not go on; None: the error is passing."""
        ...

    def committed(self, partition: int, offset: int) -> None:
        """Nothing before an offset is read again."""
        ...


class WorkReading(Generic[W]):
    """One reader; `run` is its life, and it has only one."""

    def __init__(self, reads: Reads, kafka: dict[str, Any], doer: Doer[W]) -> None:
        self.ledger = Ledger[W]()
        self._reads, self._doer = reads, doer
        self._consumer = Consumer(_config(reads, kafka) | {"on_commit": self._note_commit}, logger=KAFKA_LOG)
        self._committed: dict[int, int] = {}
        self._over: queue.SimpleQueue[Key] = queue.SimpleQueue()
        self._failure: BaseException | None = None
        self._paused = self._assigned = False

    def run(self, stopping: threading.Event, ready: Callable[[], None]) -> None:
        """Reads until told to stop. Raises what the doer raises, and what it was told by `fail`."""
        told, commit_at = False, 0.0
        self._consumer.subscribe(
            [self._reads.topic], on_assign=self._assign, on_revoke=self._revoke, on_lost=self._lose
        )
        while not stopping.is_set():
            for message in self._consumer.consume(self._reads.at_once, self._reads.poll_s):
                self._take(message)
            self._settle()
            if time.monotonic() >= commit_at:
                self._commit(asynchronous=True)
                commit_at = time.monotonic() + _COMMIT_EVERY_S
            if self._assigned and not told:
                ready()
                told = True

    def finish(self, key: Key) -> None:
        """An attempt is over. From any thread."""
        self._over.put(key)

    def fail(self, error: BaseException) -> None:
        """Lets `run` end with an error. From any thread."""
        self._failure = error

    def close(self) -> None:
        """Commits what is finished, and leaves the group."""
        self._finish_over()
        with contextlib.suppress(Exception):  # Kafka may be gone: then more is done again
            self._commit(asynchronous=False)
        self._consumer.close()

    def _take(self, message: Message) -> None:
        """One record, or what Kafka says instead of one."""
        error, number, offset = message.error(), message.partition(), message.offset()
        if error and error.code() != KafkaError._PARTITION_EOF:
            if refusal := self._doer.refused(error):
                raise refusal
            log.warning("kafka_error", error=error.str())  # passing: the client tries again by itself
        elif not self.ledger.has(number):
            return  # revoked meanwhile
        elif error:
            self.ledger.read_to(number, offset)
            self.ledger.caught_up(number)
            self._start(number)
        else:
            self.ledger.read_to(number, offset + 1)
            work = self._doer.read(number, offset, message.value() or b"")
            if work is not None:
                self.ledger.take(number, offset, work)
                self._start(number)
                if len(self.ledger) >= self._reads.unfinished_max:
                    self._pause()

    def _start(self, number: int) -> None:
        for work in self.ledger.to_start(number):
            self._doer.start(work)

    def _pause(self) -> None:
        if not self._paused:
            self.ledger.all_caught_up()
            for place in self._consumer.assignment():
                self._start(place.partition)
            self._consumer.pause(self._consumer.assignment())
            self._paused = True

    def _settle(self) -> None:
        """Takes note of what is over, and reads on when there is room."""
        self._doer.settle()
        if self._failure:
            raise self._failure
        self._finish_over()
        if self._paused and len(self.ledger) <= self._reads.unfinished_max // 2:
            self._consumer.resume(self._consumer.assignment())
            self._paused = False

    def _finish_over(self) -> None:
        with contextlib.suppress(queue.Empty):
            while True:
                self.ledger.finish(self._over.get_nowait())

    def _commit(self, asynchronous: bool) -> None:
        moved = {n: o for n, o in self.ledger.committable().items() if self._committed.get(n) != o}
        if moved:
            wanted = [TopicPartition(self._reads.topic, number, offset) for number, offset in moved.items()]
            done = self._consumer.commit(offsets=wanted, asynchronous=asynchronous)
            self._committed.update(moved)
            if not asynchronous:
                self._note_commit(None, done or [])

    def _note_commit(self, error: KafkaError | None, places: list[TopicPartition]) -> None:
        for place in places if error is None else ():
            if place.error is None:
                self._doer.committed(place.partition, place.offset)

    def _assign(self, _: Consumer, places: list[TopicPartition]) -> None:
        log.info("partitions_assigned", partitions=[place.partition for place in places])
        self.ledger.assign(place.partition for place in places)
        self._committed.clear()
        self._paused, self._assigned = False, True

    def _revoke(self, _: Consumer, __: list[TopicPartition]) -> None:
        with contextlib.suppress(Exception):  # whoever has them next starts at an older offset: no harm
            self._commit(asynchronous=False)
        self.ledger.assign(())

    def _lose(self, _: Consumer, __: list[TopicPartition]) -> None:
        self.ledger.assign(())


def is_fatal(error: KafkaError) -> bool:
    """Whether the client gives up."""
    return bool(error.fatal()) or error.code() == KafkaError._FATAL


def _config(reads: Reads, kafka: dict[str, Any]) -> dict[str, Any]:
    return {
        **kafka,
        "group.id": reads.group,
        **({"group.instance.id": reads.instance} if reads.instance else {}),
        "isolation.level": "read_committed",
        "auto.offset.reset": "earliest",
        "enable.auto.commit": False,
        "enable.partition.eof": True,
        "session.timeout.ms": 10_000,
        "heartbeat.interval.ms": 3_000,
    }
