"""Runs the processes of the system on one machine: starts in order, restarts what dies, stops in order.

Every process is tied to the supervisor: if that is killed, the kernel kills them all (Linux). What was left
elsewhere is found by the state file and ended at the next start.
"""

import contextlib
import re
import signal
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec
import psutil

from neural_hive import state
from neural_hive.connectors.child import Child, tail
from neural_hive.connectors.disk import is_short, room

READY_TIMEOUT_S: Final = 120.0
START_ATTEMPTS: Final = 4
BACKOFF_FIRST_S: Final = 0.25
BACKOFF_MAX_S: Final = 30.0
STABLE_S: Final = 20.0
NOT_READY_S: Final = 60.0
READY_CHECK_S: Final = 10.0
PORT_TAKEN: Final = re.compile(rb"address already in use|cannot listen on", re.IGNORECASE)
DISK_CHECK_S: Final = 5.0
_FULL: Final = ". What needs room stands still, and goes on by itself when there is some"
_TICK_S: Final = 0.1
_LOOKED_AT_BYTES: Final = 1 << 20


class StartFailed(RuntimeError):
    """A process did not come up; the text says which, why, and where its log is."""


class PortTaken(StartFailed):
    """A process found its port in use: somebody took it after it was chosen. With another port it may start.

    `ports`: those that the process should have had.
    """

    def __init__(self, message: str, ports: Sequence[int] = ()) -> None:
        super().__init__(message)
        self.ports = frozenset(ports)


class Stopped(Exception):
    """The supervisor was told to stop while it was starting."""


class Service(msgspec.Struct, frozen=True):
    """One process to keep running.

    `command` and `is_ready` are asked at every start, the latter with the process's pid. `ports`: what it listens on.
    """

    name: str
    command: Callable[[], Sequence[str]]
    is_ready: Callable[[int], bool]
    environment: Mapping[str, str]
    log: Path
    stop_timeout_s: float = 20.0
    backoff_max_s: float = BACKOFF_MAX_S
    is_awaited: bool = True  # False: the system runs without it
    ports: Sequence[int] = ()


class Stage(msgspec.Struct, frozen=True):
    """Services that start together; when all are ready, `then` is done, and the next stage begins."""

    services: Sequence[Service]
    then: Callable[[], object] = lambda: None


class Kept:
    """A service and the process that does it now."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.child: Child | None = None
        self.created_at: float | None = None
        self.status = state.STARTING
        self.restarts = 0
        self.trouble = ""  # why it could not be started again
        self.last_exit_code: int | None = None
        self._failures = 0  # in a row: what decides the back-off
        self._ready_at = 0.0  # when it was last seen to be ready
        self._healthy_since = 0.0
        self._checked_at = 0.0
        self._start_at = 0.0
        self._stop_by = 0.0
        self._logged_bytes = 0

    def start(self) -> None:
        """Starts the process."""
        self._logged_bytes = _size_bytes(self.service.log)
        self.child = Child(self.service.command(), self.service.log, environment=self.service.environment)
        self.created_at = _created_at(self.child.pid)
        self.status = state.STARTING

    def look(self) -> None:
        """Notices death, readiness, and the time to start again."""
        now = time.monotonic()
        if self.child is None:
            if self.status == state.WAITING and now >= self._start_at:
                self._start_again(now)
        elif not self.child.alive:
            self._bury(self.child, now)
        elif self.status == state.STARTING:
            if self.service.is_ready(self.child.pid):
                self.status = state.RUNNING
                self._ready_at = self._healthy_since = self._checked_at = now
        elif self.status in (state.RUNNING, state.NOT_READY):
            self._check(self.child, now)

    def _start_again(self, now: float) -> None:
        """Where even that cannot be done, for want of room on a disk for instance, it is tried later."""
        self.restarts += 1
        try:
            self.start()
            self.trouble = ""
        except OSError as error:
            self.trouble = str(error)
            self._wait(now)

    def _check(self, child: Child, now: float) -> None:
        """Notices a process that lives but has not been ready for long, and one that has been well for a while."""
        if now - self._checked_at < READY_CHECK_S:
            return
        self._checked_at = now
        if not _is_stopped(child.pid) and self.service.is_ready(child.pid):
            self._ready_at, self.status = now, state.RUNNING
        elif now - self._ready_at > NOT_READY_S:
            self._healthy_since, self.status = now, state.NOT_READY

    def port_was_taken(self) -> bool:
        """True if the process ended, and what it logged in this run says that its port was in use."""
        return self.status == state.WAITING and bool(
            PORT_TAKEN.search(_since(self.service.log, self._logged_bytes))
        )

    def _bury(self, child: Child, now: float) -> None:
        child.kill()  # what it left in its group
        self.last_exit_code = child.exit_code
        if self._was_well(now):
            self._failures = 0
        self._wait(now)

    def _wait(self, now: float) -> None:
        self._start_at = now + min(BACKOFF_FIRST_S * 2**self._failures, self.service.backoff_max_s)
        self._failures += 1
        self.child, self.created_at, self.status = None, None, state.WAITING

    def _was_well(self, now: float) -> bool:
        return self.status == state.RUNNING and now - self._healthy_since > STABLE_S

    def ask_to_stop(self) -> None:
        """Asks the process to end."""
        self.status = state.STOPPING if self.child else state.STOPPED
        self._stop_by = time.monotonic() + self.service.stop_timeout_s
        if self.child:
            self.child.terminate()

    def wait_stopped(self) -> None:
        """Waits for the end of a process that was asked, and kills it when its time is over."""
        if self.child:
            self.child.wait(max(self._stop_by - time.monotonic(), 0))
            self.child.kill()
            self.last_exit_code = self.child.exit_code
            self.child, self.created_at = None, None
        self.status = state.STOPPED

    def describe(self) -> state.ProcessState:
        """The process as the state file shows it."""
        return state.ProcessState(
            self.service.name,
            self.status,
            self.child.pid if self.child else None,
            self.created_at,
            self.restarts,
            self.last_exit_code,
            str(self.service.log),
        )


class Supervisor:
    """Keeps the services of `stages` running; `tell` gets a line for a human about every change."""

    def __init__(
        self,
        data: Path,
        stages: Sequence[Stage],
        endpoints: Mapping[str, str],
        notes: Sequence[str] = (),
        tell: Callable[[str], None] = lambda line: None,
        metrics_url: str = "",
    ) -> None:
        """`metrics_url`: where who runs it serves what `describe` says."""
        self._data, self._metrics_url = data, metrics_url
        self._stages = [(stage, [Kept(service) for service in stage.services]) for stage in stages]
        self._kept = [kept for _, members in self._stages for kept in members]
        self._endpoints = dict(endpoints)
        self._notes = list(notes)
        self._tell_line = tell
        self._is_short = self._is_mute = False
        self._disk_checked_at = 0.0
        self._status = state.STARTING
        self._started_at = datetime.now(UTC).isoformat(timespec="seconds")
        self._written: state.State | None = None
        self.stopping = threading.Event()

    def describe(self) -> list[state.ProcessState]:
        """Its processes as they are now."""
        return [kept.describe() for kept in self._kept]

    def stop_on_signals(self) -> None:
        """Makes SIGTERM, SIGINT and SIGHUP stop the system in order."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda *_: self.stopping.set())

    def run(self, on_running: Callable[[], None] = lambda: None) -> None:
        """Starts all, keeps them running until told to stop, and stops all. The data folder must be held.

        Raises StartFailed, when all that had been started is stopped again.
        """
        try:
            self.start()
            on_running()
            self.keep()
        except Stopped:
            pass
        finally:
            self.stop()

    def start(self) -> None:
        """Starts stage by stage, each when the one before is ready."""
        _end_leftovers(self._data)
        for stage, members in self._stages:
            for kept in members:
                kept.start()
            self._wait_ready(members)
            stage.then()
        self._status = state.RUNNING
        self._write()

    def _wait_ready(self, members: Sequence[Kept]) -> None:
        began = time.monotonic()
        awaited = [kept for kept in members if kept.service.is_awaited]
        while waiting := [kept for kept in awaited if kept.status != state.RUNNING]:
            if self.stopping.is_set():
                raise Stopped
            self._look()
            for kept in waiting:
                if kept.port_was_taken():
                    raise PortTaken(_why(kept), kept.service.ports)
                if kept.restarts >= START_ATTEMPTS or time.monotonic() > began + READY_TIMEOUT_S:
                    raise StartFailed(_why(kept))
                if kept.status == state.RUNNING:
                    self._tell(f"{kept.service.name} ready ({time.monotonic() - began:.1f} s)")
            time.sleep(_TICK_S / 2)

    def keep(self) -> None:
        """Restarts what dies, until told to stop."""
        while not self.stopping.wait(_TICK_S):
            self._look()

    def _look(self) -> None:
        for kept in self._kept:
            before = kept.status, kept.trouble
            kept.look()
            if (kept.status, kept.trouble) != before:
                self._tell_change(kept)
        self._look_at_disk()
        self._write()

    def _look_at_disk(self) -> None:
        """Tells when the disk gets short of room: what stands still then may have no room to say so."""
        now = time.monotonic()
        if now - self._disk_checked_at < DISK_CHECK_S:
            return
        self._disk_checked_at, was_short = now, self._is_short
        self._is_short = is_short(self._data)
        if self._is_short != was_short:
            self._tell(f"{room(self._data)}{_FULL if self._is_short else ''}")

    def _tell(self, line: str) -> None:
        with contextlib.suppress(OSError):  # who listens may write to the full disk too
            self._tell_line(line)

    def _tell_change(self, kept: Kept) -> None:
        if kept.status == state.WAITING and kept.trouble:
            self._tell(f"{kept.service.name} cannot be started: {kept.trouble}; trying again")
        elif kept.status == state.WAITING:
            self._tell(f"{kept.service.name} ended with {kept.last_exit_code}; starting it again")
        elif kept.status == state.NOT_READY:
            self._tell(f"{kept.service.name} lives, but has not been ready for {NOT_READY_S:.0f} s")
        elif kept.status == state.RUNNING and kept.restarts:
            self._tell(f"{kept.service.name} ready again (restart {kept.restarts})")

    def stop(self) -> None:
        """Stops all, the last stage first."""
        self._status = state.STOPPING
        for _, members in reversed(self._stages):
            running = [kept for kept in reversed(members) if kept.child is not None]
            for kept in members:
                kept.ask_to_stop()
            self._write()
            for kept in running:
                kept.wait_stopped()
                self._tell(f"{kept.service.name} stopped")
        state.clear_state(self._data)
        state.forget_processes(self._data)

    def _write(self) -> None:
        current = state.State(
            self._status,
            psutil.Process().pid,
            self._started_at,
            str(self._data),
            self._endpoints,
            self._notes,
            self.describe(),
            self._metrics_url,
        )
        if current == self._written:
            return
        try:
            state.write_state(self._data, current)
            self._written, self._is_mute = current, False
        except OSError as error:
            if self._written is None:
                raise
            if not self._is_mute:  # it is tried again and again: what runs must not end because of it
                self._tell(f"the state cannot be written down: {error}")
            self._is_mute = True


def _why(kept: Kept) -> str:
    name, log = kept.service.name, kept.service.log
    if kept.restarts >= START_ATTEMPTS:
        what = f"ended {kept.restarts} times while starting, last with exit code {kept.last_exit_code}"
    elif kept.port_was_taken():
        what = "found its port in use"
    else:
        what = f"was not ready within {READY_TIMEOUT_S:.0f} s"
    return f"{name} {what}. Its log is {log}; its end:\n{tail(log)}"


def _end_leftovers(data: Path) -> None:
    """Kills processes of a system before that outlived it, and forgets what they had told."""
    last = state.state_before(data)
    left = [process for known in (last.processes if last else []) if (process := _same_process(known))]
    for process in left:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(left, timeout=10)
    state.forget_processes(data)


def _same_process(known: state.ProcessState) -> psutil.Process | None:
    """The process that a state speaks of, if it still runs and the pid is not another's by now."""
    if known.pid is None or _created_at(known.pid) != known.created_at:
        return None
    return psutil.Process(known.pid)


def _is_stopped(pid: int) -> bool:
    """True for a process that a signal holds: its ready file says nothing then."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_STOPPED
    except psutil.NoSuchProcess:
        return False


def _size_bytes(file: Path) -> int:
    return file.stat().st_size if file.exists() else 0


def _since(log: Path, logged_bytes: int) -> bytes:
    """What a log holds behind a size; all of it if it has been begun anew since."""
    try:
        with log.open("rb") as file:
            file.seek(logged_bytes if _size_bytes(log) >= logged_bytes else 0)
            return file.read(_LOOKED_AT_BYTES)
    except OSError:
        return b""


def _created_at(pid: int) -> float | None:
    try:
        return psutil.Process(pid).create_time()
    except psutil.NoSuchProcess:
        return None
