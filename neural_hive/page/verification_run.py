"""`neural-hive replay verify` started by a person at the page, one at a time, and what it found."""

import os
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime
from typing import Final

import msgspec

from neural_hive.replay.report import Report
from neural_hive.settings import Settings

TIMEOUT_S: Final = 3_600.0
_SAID_CHARS: Final = 1_000


class Verified(msgspec.Struct, frozen=True):
    """One run of the command."""

    began_at: datetime
    took_s: float
    report: Report | None  # None: it could not be done
    problem: str = ""


class VerificationRun:
    """A process of its own: it takes a core for minutes, which the page must not. May be used from many threads."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._began: float | None = None
        self.last: Verified | None = None

    @property
    def running_s(self) -> float | None:
        """For how long one runs already; None: none does."""
        began = self._began
        return None if began is None else time.monotonic() - began

    def run(self) -> Verified | None:
        """Verifies, and gives the outcome; None: another one runs. Blocks for as long as it takes."""
        if not self._lock.acquire(blocking=False):
            return None
        try:
            self._began, began_at = time.monotonic(), datetime.now(UTC)
            found = self._run(began_at)
            self.last = found
            return found
        finally:
            self._began = None
            self._lock.release()

    def _run(self, began_at: datetime) -> Verified:
        line = [sys.executable, "-m", "neural_hive.cli", "replay", "verify", "--json"]
        line += ["--data", str(self._settings.data)]
        began = time.monotonic()
        try:
            done = subprocess.run(
                line,
                capture_output=True,
                text=True,
                timeout=TIMEOUT_S,
                check=False,
                env={**os.environ, **self._settings.environment()},
            )
        except subprocess.TimeoutExpired:
            return Verified(began_at, TIMEOUT_S, None, f"it took more than {TIMEOUT_S:g} s, and was ended")
        took_s = time.monotonic() - began
        try:
            report = msgspec.json.decode(done.stdout, type=Report)
        except msgspec.MsgspecError:
            return Verified(began_at, took_s, None, done.stderr.strip()[-_SAID_CHARS:] or "it said nothing")
        return Verified(began_at, took_s, report)
