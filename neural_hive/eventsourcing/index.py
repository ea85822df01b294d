"""What an application's log holds, in RocksDB on this machine: for reads. The log is the truth; it can be deleted."""

import fcntl
import itertools
import shutil
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import BinaryIO, Final
from uuid import UUID

import msgspec
import structlog
from eventsourcing.persistence import Notification, StoredEvent

from neural_hive.eventsourcing import rows
from neural_hive.eventsourcing.draft import Draft
from neural_hive.eventsourcing.rows import EventRow, NotificationRow, Position, TrackingRow
from neural_hive.streams.kernel.rocks import DamagedState, Database, set_damaged_aside
from neural_hive.streams.kernel.state import options

_LOCK: Final = "lock"
_ROWS: Final = "rows"
log = structlog.get_logger()


class Index:
    """The index of one log, for one process: each process that has the log open takes a folder of its own.

    Every call raises StateUnusable. Reads may come from many threads.
    """

    def __init__(self, folder: Path, topic_id: str) -> None:
        """`folder` holds the folders of all processes: this one takes the first that nobody has."""
        self._lock, self.folder = _free(folder)
        try:
            self._db = self._opened()
            self.position = self._position(topic_id)
        except BaseException:
            self._lock.close()
            raise
        self.get = self._db.get

    def write(self, draft: Draft) -> None:
        """All that the draft has, or nothing."""
        self._db.write({**draft.rows, rows.POSITION_KEY: msgspec.msgpack.encode(draft.position)})
        self.position = draft.position

    def events(
        self, originator_id: UUID | str, gt: int | None, lte: int | None, desc: bool, limit: int | None
    ) -> Iterator[StoredEvent]:
        """Events of an originator, by version."""
        name = str(originator_id)
        prefix = rows.event_prefix(name)
        first = 0 if gt is None else max(gt + 1, 0)
        last = 2**64 - 1 if lte is None else min(lte, 2**64 - 1)
        if first > last or limit == 0:
            return
        start = rows.event_key(name, last if desc else first)
        for count, (key, value) in enumerate(self._db.scan(start, backwards=desc), 1):
            version = rows.id_and_version(key)[1] if key.startswith(prefix) else -1
            if not first <= version <= last:
                return
            yield _event(name, version, value)
            if count == limit:
                return

    def notifications(
        self, first: int, last: int, limit: int, topics: Collection[str]
    ) -> Iterator[Notification]:
        """Events in the order in which they were recorded, `first` to `last`; of these topics, or of any."""
        found = 0
        for key, value in self._db.scan(rows.notification_key(max(first, 0))):
            number = rows.notification_id_of(key)
            if number is None or number > last or found >= limit:
                return
            row = msgspec.msgpack.decode(value, type=NotificationRow)
            if topics and row.topic not in topics:
                continue
            name, version = rows.id_and_version(row.event_key)
            event = _event(name, version, self.get(row.event_key) or b"")
            yield Notification(
                event.originator_id, event.originator_version, event.topic, event.state, id=number
            )
            found += 1

    def tracked(self, application_name: str) -> int | None:
        """The last notification of an upstream application that was processed; None: none was."""
        raw = self.get(rows.tracking_key(application_name))
        return msgspec.msgpack.decode(raw, type=TrackingRow).notification_id if raw else None

    def close(self) -> None:
        """Leaves the folder to the next one."""
        self._db.close()
        self._lock.close()

    def _opened(self) -> Database:
        folder = self.folder / _ROWS
        try:
            return Database(folder, options(), read_only=False)
        except DamagedState as error:
            kept = set_damaged_aside(folder)
            log.warning("index damaged, it is made anew", why=str(error), kept=str(kept))
            return Database(folder, options(), read_only=False)

    def _position(self, topic_id: str) -> Position:
        raw = self._db.get(rows.POSITION_KEY)
        if raw is not None:
            position = msgspec.msgpack.decode(raw, type=Position)
            if position.form == rows.FORM:
                return position
            self._db.close()
            shutil.rmtree(self.folder / _ROWS)
            self._db = self._opened()
        return Position(rows.FORM, topic_id)


def _free(folder: Path) -> tuple[BinaryIO, Path]:
    """Takes the first folder that no process has; its lock goes with the process."""
    for number in itertools.count():
        own = folder / str(number)
        own.mkdir(parents=True, exist_ok=True)
        lock = (own / _LOCK).open("a+b")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return lock, own
        except BlockingIOError:
            lock.close()
    raise AssertionError("numbers do not end")


def _event(name: str, version: int, value: bytes) -> StoredEvent:
    row = msgspec.msgpack.decode(value, type=EventRow)
    return StoredEvent(UUID(name) if row.is_uuid else name, version, row.topic, row.state)
