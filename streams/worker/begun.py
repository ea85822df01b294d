"""Which attempts this worker has begun: one small file for each, written before it says so, and when it may begin.

After a crash the file says when an attempt was begun, for its lease is not renewed, whether Kafka had heard of that,
and, if it came so far, how it ended: then that is told again, and nothing runs twice. An attempt that may be delivered
at most once, or exactly once, does not run again in any case: its file is on disk, by fsync, before it begins. Where
the files are lost, the log still tells of starts. A file goes when the committed offset has passed the attempt's
dispatch: from there on it is never read again.
"""

import contextlib
import threading
import time
from pathlib import Path
from typing import Final

import msgspec
import structlog

from neural_hive.aggregates.vocabulary import DeliveryMode
from neural_hive.connectors.disk import write_whole
from neural_hive.connectors.process_executor import Report
from neural_hive.streams.work_ledger import Key, Work

log = structlog.get_logger()

_UNKNOWN: Final = (
    "attempt {attempt} was begun before, by a worker that ended meanwhile; it must not begin twice, so it is not known"
    " how far it came: look at what it changes, and {then}"
)
_THEN: Final = {
    DeliveryMode.AT_MOST_ONCE: "publish a plan of what is left to be done",
    DeliveryMode.EXACTLY_ONCE: "ask for a retry if it has to be done again",
}


class Earlier(msgspec.Struct, frozen=True):
    """That an attempt was begun before, and how it ended, if that is known."""

    begun_at: int  # µs since 1970 UTC
    report: Report | None = None
    may_have_run: bool = True  # else it was only about to begin
    is_announced: bool = True  # the log has its start


class _Mark(msgspec.Struct, frozen=True):
    """What one file says."""

    begun_at: int
    ticket_id: str
    attempt: int
    partition: int
    offset: int
    report: Report | None = None
    begins: bool = True  # else it was said to Kafka, and there was no answer yet

    @property
    def key(self) -> Key:
        return self.ticket_id, self.attempt


class Begun:
    """The marks of one worker, in a folder of its own; may be used from many threads."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        folder.mkdir(parents=True, exist_ok=True)
        self._marks = {mark.key: mark for mark in _read(folder)}

    def earlier(self, work: Work) -> Earlier | None:
        """What is known of an earlier beginning of this attempt; None: it has not been begun."""
        with self._lock:
            mark = self._marks.get(work.key)
        if mark is None:
            return Earlier(work.started_at) if work.started_at else None
        return Earlier(mark.begun_at, mark.report, mark.begins, mark.begins or bool(work.started_at))

    def note(self, work: Work, begun_at: int, begins: bool) -> None:
        """Notes that an attempt is about to begin (its lease counts from then), or that Kafka knows and it begins.

        Raises OSError: that cannot be noted, so it must not begin.
        """
        partition, offset = work.places[0]
        mark = _Mark(begun_at, *work.key, partition, offset, begins=begins)
        self._write(mark, on_disk=begins and once(work))

    def ended(self, work: Work, report: Report) -> None:
        """Notes how an attempt ended. Where that fails, it is only not known after a crash."""
        with self._lock:
            mark = self._marks.get(work.key)
        if mark is not None:
            try:
                self._write(msgspec.structs.replace(mark, report=report), on_disk=once(work))
            except OSError as error:
                log.warning("end_not_noted", ticket_id=work.key[0], attempt=work.key[1], error=str(error))

    def forget(self, partition: int, next_offset: int) -> None:
        """The dispatches below an offset of a partition are never read again."""
        with self._lock:
            for mark in list(self._marks.values()):
                if mark.partition == partition and mark.offset < next_offset:
                    del self._marks[mark.key]
                    self._file(mark).unlink(missing_ok=True)

    def _file(self, mark: _Mark) -> Path:
        return self._folder / f"{mark.ticket_id}.{mark.attempt}.json"

    def _write(self, mark: _Mark, on_disk: bool) -> None:
        write_whole(self._file(mark), msgspec.json.encode(mark), on_disk)
        with self._lock:
            self._marks[mark.key] = mark


def once(work: Work) -> bool:
    """Whether the attempt must never begin twice."""
    return work.dispatch.delivery_mode in _THEN


def told_again(work: Work, earlier: Earlier) -> Report | None:
    """What is to be said of an attempt that was begun before; None: it may run again, within its lease."""
    if earlier.report is None and earlier.may_have_run and once(work):
        now = time.time_ns() // 1_000
        error = _UNKNOWN.format(attempt=work.key[1], then=_THEN[work.dispatch.delivery_mode])
        return Report("FAILED", min(earlier.begun_at, now), now, error=error)
    return earlier.report


def _read(folder: Path) -> list[_Mark]:
    for unfinished in folder.glob("*.new"):  # what it was to tell has not happened
        unfinished.unlink()
    found = []
    for file in folder.glob("*.json"):
        try:
            found.append(msgspec.json.decode(file.read_bytes(), type=_Mark))
        except msgspec.DecodeError as error:  # the machine lost power, and this one was not to be on disk
            log.warning("mark_unreadable", file=str(file), error=str(error))
            with contextlib.suppress(OSError):
                file.unlink()
    return found
