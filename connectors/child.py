"""A long-running process of ours: its own process group, a capped log, an ordered end, no life after ours."""

import contextlib
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from io import FileIO
from pathlib import Path
from typing import IO, Final

LOG_BYTES_MAX: Final = 10 * 1024 * 1024
_CHUNK_BYTES: Final = 64 * 1024
_WAITING_BYTES_MAX: Final = 256 * 1024
_TIED_EXEC: Final = str(Path(__file__).with_name("tied_exec.py"))


class Child:
    """One started process.

    `tied` makes the kernel kill it when this process dies, however it dies (Linux). Its output goes to `log`,
    of which at most LOG_BYTES_MAX are kept, and as much again in `<log>.1`.
    """

    def __init__(
        self,
        command: Sequence[str],
        log: Path,
        *,
        environment: Mapping[str, str] | None = None,
        folder: Path | None = None,
        tied: bool = True,
    ) -> None:
        log.parent.mkdir(parents=True, exist_ok=True)
        whole = _tied(command) if tied else list(command)
        self._process = _spawn(
            lambda: subprocess.Popen(
                whole,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=dict(environment) if environment is not None else None,
                cwd=folder,
                start_new_session=True,
            )
        )
        self.pid = self._process.pid
        assert self._process.stdout is not None
        self._pump = threading.Thread(
            target=_copy, args=(self._process.stdout, log), name=f"log-{log.stem}", daemon=True
        )
        self._pump.start()

    @property
    def exit_code(self) -> int | None:
        """None while it runs; minus the signal's number if a signal ended it."""
        return self._process.poll()

    @property
    def alive(self) -> bool:
        return self.exit_code is None

    def terminate(self) -> None:
        """Asks it to end."""
        self.signal(signal.SIGTERM)

    def signal(self, number: signal.Signals) -> None:
        """Sends a signal to the process alone; one that has ended is left in peace."""
        self._process.send_signal(number)

    def stop(self, timeout_s: float) -> bool:
        """Asks it to end, and kills its whole group after the time-out. True if it ended by itself."""
        self.signal(signal.SIGTERM)
        in_time = self.wait(timeout_s)
        self.kill()
        return in_time

    def kill(self) -> None:
        """Kills it, and what it left in its process group, at once."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()
        self._pump.join(timeout=2)

    def wait(self, timeout_s: float) -> bool:
        """True if it has ended within the time."""
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return False
        return True


def _tied(command: Sequence[str]) -> list[str]:
    return [sys.executable, "-I", "-S", _TIED_EXEC, str(os.getpid()), *command]


class _Starter:
    """Starts processes from one thread that lives as long as this process.

    The kernel ties a child to the *thread* that started it: a helper thread's end would kill the child.
    """

    def __init__(self) -> None:
        self._orders: queue.SimpleQueue[
            tuple[Callable[[], subprocess.Popen[bytes]], Future[subprocess.Popen[bytes]]]
        ] = queue.SimpleQueue()
        self._pid = 0
        self._lock = threading.Lock()

    def __call__(self, start: Callable[[], subprocess.Popen[bytes]]) -> subprocess.Popen[bytes]:
        with self._lock:
            if self._pid != os.getpid():  # first use, or first use after a fork
                self._pid = os.getpid()
                threading.Thread(target=self._serve, name="child-starter", daemon=True).start()
        answer: Future[subprocess.Popen[bytes]] = Future()
        self._orders.put((start, answer))
        return answer.result()

    def _serve(self) -> None:
        while True:
            start, answer = self._orders.get()
            try:
                answer.set_result(start())
            except Exception as error:
                answer.set_exception(error)


_spawn: Final = _Starter()


def _copy(output: IO[bytes], log: Path) -> None:
    """Copies output into the log until its end."""
    with output, contextlib.closing(_CappedLog(log)) as capped:
        while chunk := os.read(output.fileno(), _CHUNK_BYTES):
            capped.write(chunk)


_left: Final[dict[Path, bytes]] = {}  # the last words of processes that found no room for them, by their log


class _CappedLog:
    """Two files of at most LOG_BYTES_MAX. What finds no room on the disk waits for it, the newest of it at least:
    it may be what says that the disk is full. Who writes never waits for it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: FileIO | None = None
        self._waiting = _left.pop(path, b"")

    def write(self, chunk: bytes) -> None:
        """Appends it, and what waited before it."""
        self._waiting = (self._waiting + chunk)[-_WAITING_BYTES_MAX:]
        try:
            self._append()
        except OSError:
            time.sleep(0.1)

    def _append(self) -> None:
        if not self._waiting:
            return  # nor is the file set aside for nothing: its end is what people look at
        if self._file is not None and self._file.tell() > LOG_BYTES_MAX:
            self._file.close()
            self._file = None
            self._path.replace(self._path.with_name(self._path.name + ".1"))
        if self._file is None:
            self._file = self._path.open("ab", buffering=0)
        while self._waiting:
            self._waiting = self._waiting[self._file.write(self._waiting) :]

    def close(self) -> None:
        """Writes what still waits, if there is room now; else who writes there next does it."""
        try:
            self._append()
        except OSError:
            _left[self._path] = self._waiting
        if self._file is not None:
            self._file.close()


def tail(log: Path, size_bytes: int = 2000) -> str:
    """The last lines of a log, for an error message; empty if there is none."""
    try:
        with log.open("rb") as file:
            file.seek(max(log.stat().st_size - size_bytes, 0))
            return file.read().decode(errors="replace").strip()
    except OSError:
        return ""
