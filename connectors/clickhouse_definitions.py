"""Copies of the files that define databases, tables and views, so that a damaged one can be put back.

    <data>/engine/metadata/*.sql, <data>/engine/store/*/*/*.sql    the engine's
    <data>/definitions/…                                           the copies, each behind its SHA-256

With one such file cut the engine does not start; with one that is gone it forgets a table. No checksum of the engine's
covers them. From a statement that changes definitions until they are copied a mark says so: after a kill in the midst
the engine's files count. Statements that follow each other at once, as those of a first start do, are copied once.
"""

import hashlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, TypeVar

import structlog

from neural_hive.connectors.disk import write_whole

CHANGING: Final = frozenset(
    ("CREATE", "ALTER", "DROP", "RENAME", "EXCHANGE", "ATTACH", "DETACH", "REPLACE", "UNDROP")
)
"""What a statement begins with that may change definitions."""

SETTLE_S: Final = 0.3  # after a statement, if no other one follows, what it has left is copied

_PATTERNS: Final = ("metadata/*.sql", "store/*/*/*.sql")
T = TypeVar("T")
log = structlog.get_logger(__name__)


class Definitions:
    """The definitions of one engine's folder. Safe to use from several threads."""

    def __init__(self, engine: Path, copies: Path, settle_s: float = SETTLE_S) -> None:
        """`settle_s`: see SETTLE_S; 0: each statement's are copied before it returns."""
        self._engine, self._copies, self._settle_s = engine, copies, settle_s
        self._mark = copies / "changing"
        self._lock = threading.Lock()
        self._running = 0
        self._later: threading.Timer | None = None  # it copies what the last statements have left
        self._kept: dict[Path, tuple[int, int]] = {}  # size and time of each file when it was copied

    def mend(self) -> None:
        """Puts back what is not as it was kept. Call before the engine opens the folder."""
        if self._mark.exists():
            log.warning("definitions were being changed when the process ended, and are taken as they are")
            return
        for copy in sorted(self._copies.rglob("*.sql")):
            file, content = self._of(copy), _checked(copy)
            if content is not None and content != _read(file):
                _write(file, content)
                log.error("damaged definition put back", file=str(file))

    def distrust(self) -> None:
        """The engine could not open its files: at the next start the copies count, whatever was changed."""
        self._mark.unlink(missing_ok=True)

    def keep(self) -> None:
        """Copies what has changed."""
        there = dict(self._files())
        for copy in [copy for copy in self._copies.rglob("*.sql") if self._of(copy) not in there]:
            copy.unlink()
        for file, seen in there.items():
            if self._kept.get(file) != seen and (content := _read(file)) is not None:
                _write(self._copy_of(file), hashlib.sha256(content).hexdigest().encode() + b"\n" + content)
        self._kept = there
        self._mark.unlink(missing_ok=True)

    def during(self, statement: Callable[[], T]) -> T:
        """Runs a statement that may change definitions, and keeps what it leaves. Raises OSError: it was not run."""
        with self._lock:
            if not self._running and not self._put_off():
                _write(self._mark, b"")
            self._running += 1
        try:
            return statement()
        finally:
            with self._lock:
                self._running -= 1
                if not self._running:
                    self._keep_soon()

    def close(self) -> None:
        """Keeps what is not kept yet."""
        with self._lock:
            if self._put_off():
                self._try_keep()

    def _put_off(self) -> bool:
        """Whether something was to be kept later, which is not done now."""
        later, self._later = self._later, None
        if later is not None:
            later.cancel()
        return later is not None

    def _keep_soon(self) -> None:
        if not self._settle_s:
            self._try_keep()
            return
        self._later = threading.Timer(self._settle_s, self._keep_if_due)
        self._later.daemon = True
        self._later.start()

    def _keep_if_due(self) -> None:
        with self._lock:
            if self._later is threading.current_thread():  # else another statement has begun since
                self._later = None
                self._try_keep()

    def _try_keep(self) -> None:
        try:
            self.keep()
        except OSError as error:  # the mark stays, so nothing old is put back
            log.warning("definitions could not be copied", why=str(error))

    def _files(self) -> Iterator[tuple[Path, tuple[int, int]]]:
        for pattern in _PATTERNS:
            for file in self._engine.glob(pattern):
                about = file.stat()
                yield file, (about.st_size, about.st_mtime_ns)

    def _of(self, copy: Path) -> Path:
        return self._engine / copy.relative_to(self._copies)

    def _copy_of(self, file: Path) -> Path:
        return self._copies / file.relative_to(self._engine)


def _read(file: Path) -> bytes | None:
    try:
        return file.read_bytes()
    except OSError:
        return None


def _checked(copy: Path) -> bytes | None:
    """What a copy holds; None: it is damaged itself."""
    digest, _, content = (_read(copy) or b"").partition(b"\n")
    return content if hashlib.sha256(content).hexdigest().encode() == digest else None


def _write(file: Path, content: bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    write_whole(file, content)
