"""Runs a ticket's command as a local process, and brings back what it made.

There is no shell unless the command asks for one: ["sh", "-c", "…"]. `sha256:<hash>` addresses of inputs in
command, environment and parameters are replaced by the files' paths. process_attempt.py says what the process
finds; process_guard.py keeps it from outliving task and worker.
"""

import contextlib
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from neural_hive.aggregates.vocabulary import Artifact
from neural_hive.connectors.artifacts import URI_SCHEME, ArtifactError, ArtifactStore
from neural_hive.connectors.process_attempt import Attempt, Limits, Unusable, remove_tree

_GUARD: Final = Path(__file__).with_name("process_guard.py")

Ended = Literal["COMPLETED", "FAILED", "TIMED_OUT", "CANCELLED"]


class Lease(msgspec.Struct, frozen=True):
    """When an attempt may begin, and until when it may last: as `time.monotonic` of this machine tells it.

    No clock that somebody sets moves it, and a worker that was stopped in between cannot begin it anew.
    """

    begin_by_s: float
    ends_at_s: float


class Order(msgspec.Struct, frozen=True):
    """What is to be run, and within which time."""

    folder_name: str  # unique to the attempt; a folder left by an earlier run of it is replaced
    command: tuple[str, ...]
    environment: Mapping[str, str]
    parameters: Mapping[str, str]
    inputs: tuple[Artifact, ...]
    time_limit_s: float
    lease: Lease | None = None  # None: it begins whenever it comes to it, and has its time limit from there


class Report(msgspec.Struct, frozen=True):
    """How it went; times in µs since 1970 UTC."""

    ended: Ended
    started_at: int
    completed_at: int
    exit_code: int | None = None  # negative: killed by that signal; None: never started
    outputs: dict[str, str] = {}
    artifacts: tuple[Artifact, ...] = ()
    error: str = ""


class Cancellation:
    """Asks one attempt to end; may be asked from any thread, at any time, more than once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._guard: socket.socket | None = None
        self.asked = False

    def ask(self) -> None:
        """The task gets SIGTERM, and SIGKILL after the grace."""
        with self._lock:
            self.asked = True
            self._tell()

    @contextlib.contextmanager
    def reaches(self, guard: socket.socket) -> Iterator[None]:
        """While this lasts, asking reaches the guard of the running task."""
        with self._lock:
            self._guard = guard
            if self.asked:
                self._tell()
        try:
            yield
        finally:
            with self._lock:
                self._guard = None

    def _tell(self) -> None:
        if self._guard:
            with contextlib.suppress(OSError):  # it has ended meanwhile
                self._guard.sendall(b"x")


class Stopwatch:
    """Times of one attempt in µs since 1970 UTC; a clock that is set back or forth meanwhile does not change them."""

    def __init__(self) -> None:
        self.start = time.time_ns() // 1_000
        self._begun = time.monotonic_ns()

    def now(self) -> int:
        """The start plus what has passed since."""
        return self.start + (time.monotonic_ns() - self._begun) // 1_000


class ProcessExecutor:
    """Runs commands, each in a folder of its own below `folder`; `run` may be called from many threads.

    `folder` is this executor's alone: what is in it at the start is removed.
    """

    def __init__(self, folder: Path, store: ArtifactStore, limits: Limits | None = None) -> None:
        self._folder = folder
        self._store = store
        self._limits = limits or Limits()
        self._lock = threading.Lock()
        self._guards: tuple[subprocess.Popen[bytes], socket.socket] | None = None
        folder.mkdir(parents=True, exist_ok=True)
        for left in folder.iterdir():  # by a worker that was killed
            remove_tree(left)

    def run(self, order: Order, cancellation: Cancellation) -> Report:
        """Runs one command to its end. Never raises for what the task does: the report says it."""
        time_of = Stopwatch()
        attempt = Attempt(self._folder / order.folder_name, self._store, self._limits)
        until_s = time.monotonic() + order.time_limit_s
        lease = order.lease or Lease(until_s, until_s)
        try:
            attempt.make()
            report = self._run_in(attempt, order, lease, cancellation, time_of)
            return self._in_time(report, lease, time_of)
        except (Unusable, ArtifactError) as problem:
            return Report("FAILED", time_of.start, time_of.now(), error=str(problem))
        except OSError as problem:
            error = f"the worker could not run the task: {problem}"
            return Report("FAILED", time_of.start, time_of.now(), error=error)
        finally:
            attempt.remove()

    def close(self) -> None:
        """Ends the guards' program; tasks that still run keep their guards until the worker ends."""
        with self._lock:
            if self._guards:
                process, control = self._guards
                control.close()
                process.wait()
                self._guards = None

    def _in_time(self, report: Report, lease: Lease, time_of: Stopwatch) -> Report:
        """The report; that of an attempt that timed out, if the worker was stopped or busy for long after its end."""
        late_s = time.monotonic() - lease.ends_at_s
        if report.ended != "COMPLETED" or late_s <= self._limits.settle_s:
            return report
        error = f"the command has ended in time, but its result was ready only {late_s:.0f} s after that"
        return Report("TIMED_OUT", report.started_at, time_of.now(), report.exit_code, error=error)

    def _run_in(
        self, attempt: Attempt, order: Order, lease: Lease, cancellation: Cancellation, time_of: Stopwatch
    ) -> Report:
        answer = self._execute(attempt, order, lease, cancellation)
        times = time_of.start, time_of.now()
        exit_code: int | None = answer["exit_code"]
        log = attempt.kept_log()
        if answer["ended"] == "exited" and exit_code == 0:
            artifacts = (*attempt.artifacts(), *log)
            return Report("COMPLETED", *times, 0, attempt.outputs(), artifacts)
        ended, reason = _how_it_failed(answer, order.time_limit_s)
        last_words = answer["output"].strip()[-self._limits.error_chars + len(reason) :]
        error = f"{reason}\n{last_words}".strip()
        outputs, made = _left(attempt)
        return Report(ended, *times, exit_code, outputs, (*made, *log), error)

    def _execute(
        self, attempt: Attempt, order: Order, lease: Lease, cancellation: Cancellation
    ) -> dict[str, Any]:
        paths = attempt.give_inputs(order.inputs)
        attempt.give_parameters(_mapped(order.parameters, paths))
        request = json.dumps(
            {
                "command": [_at(word, paths) for word in order.command],
                "environment": attempt.environment() | _mapped(order.environment, paths),
                "folder": str(attempt.work),
                "log": str(attempt.log),
                "begin_by_s": lease.begin_by_s,
                "ends_at_s": lease.ends_at_s,
                "grace_s": self._limits.grace_s,
                "head_bytes": self._limits.log_head_bytes,
                "tail_bytes": self._limits.log_tail_bytes,
            }
        ).encode()
        ours, theirs = socket.socketpair()
        with ours:
            with theirs:
                self._send_to_guards(theirs)
            ours.sendall(len(request).to_bytes(4, "big") + request)
            with cancellation.reaches(ours):
                answer = b"".join(iter(lambda: ours.recv(65536), b""))
        if not answer:
            raise Unusable("the guard of the process was killed, and the process with it: out of memory?")
        answered: dict[str, Any] = json.loads(answer)
        return answered

    def _send_to_guards(self, theirs: socket.socket) -> None:
        with self._lock:
            for _ in range(2):
                process, control = self._guards or self._start_guards()
                try:
                    socket.send_fds(control, [b"t"], [theirs.fileno()])
                    return
                except OSError:  # the guards' program was killed: start it anew, once
                    control.close()
                    process.wait()
                    self._guards = None
            raise OSError(f"{_GUARD.name} ends as soon as it is started")

    def _start_guards(self) -> tuple[subprocess.Popen[bytes], socket.socket]:
        ours, theirs = socket.socketpair()
        with theirs:
            process = subprocess.Popen(
                [sys.executable, "-I", "-S", str(_GUARD), str(theirs.fileno())],
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                cwd="/",
            )
        self._guards = process, ours
        return self._guards


def _left(attempt: Attempt) -> tuple[dict[str, str], tuple[Artifact, ...]]:
    """What a command that failed has left all the same, such as the counts of its tests; nothing if it is unfit."""
    try:
        return attempt.outputs(), attempt.artifacts()
    except (Unusable, ArtifactError, OSError):
        return {}, ()  # the failure itself is what must be told


def _how_it_failed(answer: dict[str, Any], time_limit_s: float) -> tuple[Ended, str]:
    match answer["ended"]:
        case "not_started":
            return "FAILED", f"the command could not be started: {answer['error']}"
        case "too_late":
            return "TIMED_OUT", "the time to begin was over before the command could begin"
        case "timed_out":
            return "TIMED_OUT", f"the command took longer than its limit of {time_limit_s:g} s"
        case "cancelled":
            return "CANCELLED", "the command was cancelled"
    code = answer["exit_code"]
    if code < 0:
        return "FAILED", f"the command was killed by signal {-code}"
    return "FAILED", f"the command ended with exit code {code}"


def _mapped(texts: Mapping[str, str], paths: Mapping[str, str]) -> dict[str, str]:
    return {name: _at(text, paths) for name, text in texts.items()}


def _at(text: str, paths: Mapping[str, str]) -> str:
    """The text with the addresses of inputs replaced by their paths."""
    if URI_SCHEME in text:
        for uri, path in paths.items():
            text = text.replace(uri, path)
    return text
