"""One application's log, for all who use it in this process: inserts go to Kafka first, and then to the index.

Over all processes one is the writer: who inserts for the first time takes over, which fences the one before. From then
on its index is what the log holds, so it decides alone whether a version is there already. Everybody else follows.
"""

import threading
import time
import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from enum import Enum, auto
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import msgspec
import structlog
from eventsourcing.persistence import (
    Notification,
    OperationalError,
    PersistenceError,
    StoredEvent,
    Tracking,
)

from neural_hive.connectors.kafka_log import Offsets, Record, StalledLog, UnreadableLog
from neural_hive.eventsourcing.draft import BrokenLog, Draft
from neural_hive.eventsourcing.errors import library_errors
from neural_hive.eventsourcing.grouping import Groups, Request
from neural_hive.eventsourcing.index import Index
from neural_hive.eventsourcing.inserting import Made, make
from neural_hive.eventsourcing.records import Insert, RecordWriter, read
from neural_hive.schemas.codec import BadRecord
from neural_hive.streams.kernel.partition_log import Fenced, Indefinite, KafkaPartitionLog
from neural_hive.streams.kernel.rocks import StateUnusable
from neural_hive.streams.kernel.unit import Output

PARTITION: Final = 0
FOLD_RECORDS: Final = 5_000  # of the log, in one write of the index
LOOK_S: Final = 1.0  # how often a writer asks whether somebody else has written
AWAY_PAUSE_S: Final = 30.0  # how long it does not, when Kafka has not answered
ANSWER_TIMEOUT_S: Final = 10.0
SETTLE_S: Final = 30.0  # how long it is tried to find out what became of an insert
SETTLE_PAUSE_S: Final = 0.5
log = structlog.get_logger()


class Role(Enum):
    """What this process is to the log."""

    READER = auto()  # follows it; becomes the writer with its first insert
    WRITER = auto()
    REPLACED = auto()  # was the writer, and is a reader for good


class Journal:
    """See above; may be used from many threads.

    Every call raises Replaced, OperationalError: it may work later. InternalError: the log is not what it was.
    """

    def __init__(
        self, topic: str, topic_id: str, kafka: Mapping[str, Any], folder: Path, stall_s: float = 30.0
    ) -> None:
        """`folder`: where the index stands. Reads all of the log that the index lacks."""
        self.topic, self.role, self.users = topic, Role.READER, 0
        self._place = (topic, PARTITION)
        self._writer = RecordWriter(topic)
        self._kafka = KafkaPartitionLog(kafka, topic, topic, PARTITION, stall_s)
        self._ends = Offsets(kafka, "read_committed", timeout_s=ANSWER_TIMEOUT_S)
        self._lock = threading.RLock()
        self._groups = Groups(self._take)
        self._listeners = set[threading.Event]()
        self._look_at = 0.0
        self._wanted, self._is_found = b"", False  # a record by its hash, and whether it was read
        self._is_closed = False
        with library_errors():
            self._index = Index(folder, topic_id)
            self._next = self._index.position.offset + 1  # the offset that reading goes on from
            try:
                self._resume(topic_id)
            except BaseException:
                self._index.close()
                raise

    def insert(self, events: Sequence[StoredEvent], tracking: Tracking | None = None) -> list[int]:
        """Records events and how far an upstream application was processed, all or nothing; the notification ids.

        Inserts that wait for each other share a transaction. Raises IntegrityError, DataError: see `inserting.make`.
        OperationalError says whether it was recorded.
        """
        request = Request(events, tracking)
        if request.records:
            self._groups.submit(request)
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
                self._own()
                self._record(group)
        except BaseException as error:
            for request in group:
                if not request.is_done:
                    request.fail(error)
            if not isinstance(error, Exception):
                raise

    def _own(self) -> None:
        """Becomes the writer, with all of the log in the index. Raises Fenced: somebody has become it instead."""
        if self.role is Role.WRITER:
            return
        if self.role is Role.REPLACED:
            raise Fenced(self.topic)
        try:
            self._kafka.take_over()
        except Fenced:
            self.role = Role.REPLACED
            raise
        self._follow(self._kafka.range(self.topic)[1])
        self.role = Role.WRITER
        self._look_at = time.monotonic() + LOOK_S

    def _record(self, group: list[Request]) -> None:
        draft = Draft(self._index.position, self._index.get)
        made = list[tuple[Request, Made]]()
        for request in group:
            insert = Insert(str(uuid.uuid4()), time.time_ns() // 1_000)
            try:
                made.append((request, make(draft, self._writer, insert, request.events, request.tracking)))
            except PersistenceError as error:
                request.fail(error)
        if not made:
            return
        self._commit(draft, [record for _, one in made for record in one.records])
        for request, one in made:
            request.succeed(one.notification_ids)
        self._notify()

    def _commit(self, draft: Draft, records: list[tuple[bytes, bytes]]) -> None:
        """To the log, and then to the index."""
        outputs = [Output(self.topic, PARTITION, key, value, [], None) for key, value in records]
        outputs[-1] = msgspec.structs.replace(outputs[-1], hash=draft.position.hash)
        try:
            offset = self._kafka.commit(outputs, {})[self.topic]
        except (Indefinite, Fenced) as error:
            self.role = Role.READER if isinstance(error, Indefinite) else Role.REPLACED
            self._settle(draft, error)
            return
        except BaseException:
            self.role = Role.READER  # whatever became of it: the next insert finds out
            raise
        draft.position = msgspec.structs.replace(draft.position, offset=offset)
        try:
            self._write(draft)
            self._next += 1  # the end of the transaction has an offset too
        except StateUnusable as error:
            self.role = Role.READER  # the log has it: it is read from there
            log.error("recorded, but not in the index", topic=self.topic, why=str(error))

    def _settle(self, draft: Draft, unknown: Indefinite | Fenced) -> None:
        """Finds out whether a transaction was committed. Raises what follows if it was not, or cannot be known yet."""
        self._wanted, self._is_found = draft.position.hash, False
        until = time.monotonic() + SETTLE_S
        while True:
            try:
                self._read_all()
                break
            except (Indefinite, StalledLog, StateUnusable) as error:
                if time.monotonic() > until:
                    raise OperationalError(
                        f"it is not known whether this insert was recorded ({unknown}), and the log cannot be read "
                        f"now ({error}). Insert it again later: if it was recorded, that raises IntegrityError"
                    ) from error
                time.sleep(SETTLE_PAUSE_S)
        if self._is_found:
            return
        if isinstance(unknown, Fenced):
            raise unknown
        raise OperationalError(f"this insert was not recorded ({unknown}); insert it again")

    def _read_all(self) -> None:
        """Reads the log to an end behind which nothing of this process can come."""
        try:
            self._own()
        except Fenced:  # who has taken over has also decided what was open
            self._follow(self._kafka.range(self.topic)[1])

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
            self.role = Role.REPLACED

    def _end(self) -> int:
        return self._ends.ends([self._place])[self._place]

    def _resume(self, topic_id: str) -> None:
        """Reads what the index lacks, after a look at the last record that it has."""
        at = self._index.position
        if at.topic_id != topic_id:
            raise BrokenLog(f"the topic {self.topic} was made anew. {self._advice()}")
        end = max(self._end(), at.offset + 1)
        records = self._kafka.read(self.topic, max(at.offset, 0), end)
        if at.offset >= 0:
            known = next(records, None)
            if known is None or known.offset != at.offset or sha256(known.value or b"").digest() != at.hash:
                raise BrokenLog(
                    f"{self.topic} has another record at offset {at.offset} than it had. {self._advice()}"
                )
        self._fold(records)
        self._next = end

    def _advice(self) -> str:
        return f"Recorded events were lost: restore the log, or remove {self._index.folder} to go on with what is left"

    def _follow(self, end: int) -> None:
        """Reads up to an end."""
        if end > self._next:
            self._fold(self._kafka.read(self.topic, self._next, end))
            self._next = end

    def _fold(self, records: Iterable[Record]) -> None:
        """Brings records of the log into the index."""
        draft = Draft(self._index.position, self._index.get)
        for count, record in enumerate(records, 1):
            try:
                entry = read(record.value or b"")
                draft.add(entry, record.offset)
            except (BadRecord, BrokenLog) as error:
                raise BrokenLog(f"{self.topic}:{PARTITION} at offset {record.offset}: {error}") from error
            self._is_found = self._is_found or entry.hash == self._wanted
            if count % FOLD_RECORDS == 0:
                self._write(draft)
                draft = Draft(self._index.position, self._index.get)
        if draft.rows:
            self._write(draft)
            self._notify()

    def _write(self, draft: Draft) -> None:
        self._index.write(draft)
        self._next = draft.position.offset + 1

    def _check_open(self) -> None:
        if self._is_closed:
            raise OperationalError(f"the application's log {self.topic} was closed")

    def _notify(self) -> None:
        for event in list(self._listeners):
            event.set()
