"""RocksDB in a folder, which tells whether its files are as they were written.

RocksDB checks what it reads, but leaves three things to who uses it. An iterator ends at a damaged block as it ends
at the last key. A full disk, a damaged file and a folder that is in use come as one kind of error. And nothing tells of
a table file that is gone from the list of files (MANIFEST) because that was cut. So each buffer of writes, which
becomes one table file, gets a numbered mark: where a number is missing, a file is.
"""

import shutil
import struct
from collections.abc import Iterator, Mapping
from itertools import takewhile
from pathlib import Path
from typing import Final

import structlog
from rocksdict import AccessType, Options, Rdict, ReadOptions, WriteBatch

from neural_hive.connectors.disk import room, says_full
from neural_hive.streams.kernel.rocks_files import fault_of

OWN: Final = b"\0"  # what keys of no row, counter, timer or queue begin with
MARK: Final = b"\0mark"
LAST_MARK: Final = b"\0last-mark"  # the number of the newest one
DAMAGED_SUFFIX: Final = ".damaged"
_GENERATION: Final = (
    "rocksdb.current-super-version-number"  # changes whenever a buffer or a file comes or goes
)
_CONDITIONS: Final = (  # errors that say nothing of the files
    "Resource temporarily unavailable",
    "No locks available",
    "lock hold by current process",
    "Too many open files",
    "Permission denied",
    "Read-only file system",
    "Cannot allocate memory",
)
_OF_FILES: Final = ("Corruption: ", "NotFound: ", "Invalid argument: ", "Not implemented: ", "IO error: ")

log = structlog.get_logger()


def set_damaged_aside(folder: Path) -> Path:
    """Makes way for a new state. One damaged copy is kept, for whoever wants to know what has happened to it."""
    kept = folder.with_name(folder.name + DAMAGED_SUFFIX)
    if kept.exists():
        shutil.rmtree(kept)
    if folder.exists():
        folder.rename(kept)
    return kept


class StateUnusable(RuntimeError):
    """The state cannot be read or written: no fault of a record, and nothing may be decided by it."""


class DamagedState(StateUnusable):
    """The files are not as they were written. Nothing of them is to be trusted; the log has it all."""


class DiskFull(StateUnusable):
    """There is no room for the state. Nothing is lost: it goes on when there is."""


class Database:
    """See above. Every call raises DamagedState or DiskFull; what else goes wrong is raised as it is."""

    def __init__(self, folder: Path, options: Options, read_only: bool) -> None:
        self._folder = folder
        if fault := fault_of(folder):
            raise DamagedState(f"the state in {folder} is damaged: {fault}")
        access = AccessType.read_only() if read_only else AccessType.read_write()
        try:
            self._db = Rdict(str(folder), options, access_type=access)
        except Exception as error:
            raise self._explained(error) from error
        try:
            self._marks = self._checked_marks()
        except BaseException:
            self.close()
            raise
        self._generation = -1  # not marked yet

    def get(self, key: bytes) -> bytes | None:
        """The value of a key; None if there is none."""
        try:
            found: bytes | None = self._db.get(key)
        except Exception as error:
            raise self._explained(error) from error
        return found

    def write(self, puts: Mapping[bytes, bytes | None]) -> None:
        """All or nothing; None deletes."""
        batch = WriteBatch(raw_mode=True)
        for key, value in puts.items():
            if value is None:
                batch.delete(key)
            else:
                batch.put(key, value)
        try:
            self._db.write(batch)
            # Which buffer a write goes into is known only behind it.
            if self._db.property_int_value(_GENERATION) != self._generation:
                self._mark()
        except Exception as error:
            raise self._explained(error) from error

    def scan(self, start: bytes, *, backwards: bool = False) -> Iterator[tuple[bytes, bytes]]:
        """All keys from one on, in order or in the reverse of it, with their values."""
        rows = self._db.iter(ReadOptions())
        move = rows.prev if backwards else rows.next
        (rows.seek_for_prev if backwards else rows.seek)(start)
        while rows.valid():
            yield rows.key(), rows.value()
            move()
        try:
            rows.status()
        except Exception as error:
            raise self._explained(error) from error

    def close(self) -> None:
        """Releases the folder. What cannot be written any more is still in RocksDB's own log, or in Kafka's."""
        try:
            self._db.close()
        except Exception as error:
            log.warning("state closed, but not in order", folder=str(self._folder), why=str(error))

    def _mark(self) -> None:
        batch = WriteBatch(raw_mode=True)
        batch.put(MARK + struct.pack(">Q", self._marks + 1), b"")
        batch.put(LAST_MARK, struct.pack(">Q", self._marks + 1))
        self._db.write(batch)
        self._marks += 1
        self._generation = self._db.property_int_value(_GENERATION)

    def _checked_marks(self) -> int:
        raw = self.get(LAST_MARK)
        expected = struct.unpack(">Q", raw)[0] if raw else 0
        found = sum(1 for _ in takewhile(lambda row: row[0].startswith(MARK), self.scan(MARK)))
        if found != expected:
            raise DamagedState(
                f"{self._folder} has {found} of {expected} marks: table files are missing from its list of files"
            )
        return int(expected)

    def _explained(self, error: Exception) -> Exception:
        text = str(error)
        if says_full(error):
            return DiskFull(f"no room for the state in {self._folder}: {room(self._folder)} ({text})")
        if text.startswith(_OF_FILES) and not any(condition in text for condition in _CONDITIONS):
            return DamagedState(f"the state in {self._folder} is damaged: {text}")
        return error
