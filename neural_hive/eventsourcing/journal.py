"""One application's log, for all who use it in this process: inserts go to Kafka first, and then to the index.

Over all processes one is the writer: who inserts for the first time takes over, which fences the one before. From then
on its index is what the log holds, so it decides alone whether a version is there already. Everybody else follows.
"""

import threading
import time
import uuid
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import structlog
from eventsourcing.persistence import (
    Notification,
    OperationalError,
    PersistenceError,
    StoredEvent,
    Tracking,
)

from neural_hive.connectors.kafka_log import Offsets, UnreadableLog
from neural_hive.eventsourcing.errors import library_errors
from neural_hive.eventsourcing.following import Follower
from neural_hive.eventsourcing.grouping import Groups, Request
from neural_hive.eventsourcing.index import Index
from neural_hive.eventsourcing.inserting import Made, make
from neural_hive.eventsourcing.records import Insert, RecordWriter
from neural_hive.eventsourcing.writing import Role, Writer
from neural_hive.streams.kernel.partition_log import KafkaPartitionLog

PARTITION: Final = 0
LOOK_S: Final = 1.0  # how often a writer asks whether somebody else has written
AWAY_PAUSE_S: Final = 30.0  # how long it does not, when Kafka has not answered
ANSWER_TIMEOUT_S: Final = 10.0
log = structlog.get_logger()


class Journal:
    """See above; may be used from many threads.

    Every call raises Replaced, OperationalError: it may work later. InternalError: the log is not what it was.
    """

    def __init__(
        self, topic: str, topic_id: str, kafka: Mapping[str, Any], folder: Path, stall_s: float = 30.0
    ) -> None:
        """`folder`: where the index stands. Reads all of the log that the index lacks."""
        self.topic, self.users = topic, 0
        self._place = (topic, PARTITION)
        self._records = RecordWriter(topic)
        self._kafka = KafkaPartitionLog(kafka, topic, topic, PARTITION, stall_s)
        self._ends = Offsets(kafka, "read_committed", timeout_s=ANSWER_TIMEOUT_S)
        self._lock = threading.RLock()
        self._groups = Groups()
        self._listeners = set[threading.Event]()
        self._look_at = 0.0
        self._is_closed = False
        with library_errors():
            self._index = Index(folder, topic_id)
            self._follower = Follower(topic, self._kafka, self._index)
            self._writer = Writer(self._kafka, self._follower)
            try:
                self._follower.resume(topic_id, self._end())
            except BaseException:
                self._index.close()
                raise

    @property
    def role(self) -> Role:
        """What this process is to the log."""
        return self._writer.role

    def insert(self, events: Sequence[StoredEvent], tracking: Tracking | None = None) -> list[int]:
        """Records events and how far an upstream application was processed, all or nothing; the notification ids.

        Inserts that wait for each other share a transaction. Raises IntegrityError, DataError: see `inserting.make`.
        OperationalError says whether it was recorded.
        """
        request = Request(events, tracking)
        if request.records:
            self._groups.submit(request, self._take)
        return request.answer()

    def events(
        self, originator_id: Any, gt: int | None, lte: int | None, desc: bool, limit: int | None
    ) -> list[StoredEvent]:
        """Events of an originator, by version."""
        with library_errors():
            self._refresh()
            return list(self._index.events(originator_id, gt, lte, desc, limit))

    def notifications(self, first: int, last: int, limit: int, topics: Collection[str]) -> list[Notification]:
        """Events in the order in which they were recorded, `first` to `last`; of these topics, or of any."""
        with library_errors():
            self._refresh()
            return list(self._index.notifications(first, last, limit, topics))

    def last_notification(self) -> int:
        """The id of the last notification; 0: there is none."""
        with library_errors():
            self._refresh()
            return self._index.position.notification_id

    def tracked(self, application_name: str) -> int | None:
        """The last notification of an upstream application that was processed; None: none was."""
        with library_errors():
            self._refresh()
            return self._index.tracked(application_name)

    def listen(self, event: threading.Event) -> None:
        """Sets the event when this process has heard of new records."""
        self._listeners.add(event)

    def unlisten(self, event: threading.Event) -> None:
        """Does so no more."""
        self._listeners.discard(event)

    def close(self) -> None:
        """Lets Kafka and the index go; who waits for new records is told."""
        with self._lock:
            if self._is_closed:
                return
            self._is_closed = True
            self._kafka.close()
            self._ends.close()
            self._index.close()
        self._notify()

    def _take(self, group: list[Request]) -> None:
        """Answers each insert of a group."""
        try:
            with self._lock, library_errors():
                self._check_open()
                self._writer.own()
                self._record(group)
        except BaseException as error:
            for request in group:
                if not request.is_done:
                    request.fail(error)
            if not isinstance(error, Exception):
                raise

    def _record(self, group: list[Request]) -> None:
        draft, made = self._follower.draft(), list[tuple[Request, Made]]()
        for request in group:
            insert = Insert(str(uuid.uuid4()), time.time_ns() // 1_000)
            try:
                made.append((request, make(draft, self._records, insert, request.events, request.tracking)))
            except PersistenceError as error:
                request.fail(error)
        if not made:
            return
        self._writer.commit(draft, [record for _, one in made for record in one.records])
        for request, one in made:
            request.succeed(one.notification_ids)
        self._notify()

    def _refresh(self) -> None:
        """Brings what others have committed into the index. The writer knows all; it looks whether it still is."""
        self._check_open()
        if self.role is not Role.WRITER:
            with self._lock:
                self._check_open()
                self._follow(self._end())
        elif time.monotonic() >= self._look_at and self._lock.acquire(blocking=False):
            try:
                self._look()
            finally:
                self._lock.release()

    def _look(self) -> None:
        self._look_at = time.monotonic() + LOOK_S
        last = self._index.position.sequence
        try:
            end = self._end()
        except UnreadableLog as error:
            self._look_at = time.monotonic() + AWAY_PAUSE_S
            log.warning("cannot look for other writers", topic=self.topic, why=str(error))
            return
        self._follow(end)
        if self._index.position.sequence > last:
            log.warning("another process writes", topic=self.topic)
            self._writer.role = Role.REPLACED

    def _end(self) -> int:
        return self._ends.ends([self._place])[self._place]

    def _follow(self, end: int) -> None:
        last = self._index.position.sequence
        self._follower.follow(end)
        if self._index.position.sequence > last:
            self._notify()

    def _check_open(self) -> None:
        if self._is_closed:
            raise OperationalError(f"the application's log {self.topic} was closed")

    def _notify(self) -> None:
        for event in list(self._listeners):
            event.set()
