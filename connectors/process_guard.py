"""Starts the processes of tasks, and sees to it that none of them outlives its task or the worker.

A program of its own, run as `python -I -S process_guard.py <descriptor>`; it imports nothing of ours, so that
it starts fast and its forks are small. The worker sends it one socket per task; each task gets a fork of this
program as its guard. The guard is the subreaper of everything that the task starts, daemons included: when
the task ends, is cancelled, its lease ends, or the worker's end of the socket closes (kill -9 of the worker
too), all of it dies. Its clock is its own: a worker that is stopped does not lengthen a lease. What a guard leaves
that is killed itself, this program kills.
On systems without Linux's prctl, a guard reaches only the process group of its task.

On a task's socket: the order as length and JSON; then any byte from the worker cancels; the answer is JSON.
"""

import collections
import contextlib
import ctypes
import json
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Collection
from pathlib import Path
from typing import Any

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
_IGNORED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


def serve(control: socket.socket) -> None:
    """Forks a guard for each socket that arrives, until the worker is gone."""
    _become_subreaper()
    guards: set[int] = set()
    signal.signal(signal.SIGCHLD, lambda *_: _bury(guards))
    while True:
        _, sockets, _, _ = socket.recv_fds(control, 1, 1)
        if not sockets:
            return
        # Whatever is a child and no guard gets killed: a guard must be known before the first of them can die.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
        guard = os.fork()
        if guard == 0:
            control.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
            _guard(socket.socket(fileno=sockets[0]))
        guards.add(guard)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
        os.close(sockets[0])


def _bury(guards: set[int]) -> None:
    """Collects the dead; the orphans of a guard that did not end by itself come to us, and are killed."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        guards.discard(pid)
        if os.waitstatus_to_exitcode(status) < 0:
            for orphan in _descendants(os.getpid(), guards):
                _send(os.kill, orphan, signal.SIGKILL)


def _guard(worker: socket.socket) -> None:
    """The life of one guard; never returns."""
    status = 1
    try:
        answer = Guard(worker, _read_order(worker)).run()
        worker.sendall(json.dumps(answer).encode())
        status = 0
    except OSError:
        pass  # the worker is gone, and the task with it
    finally:
        os._exit(status)


def _read_order(worker: socket.socket) -> dict[str, Any]:
    size_bytes = int.from_bytes(_exactly(worker, 4), "big")
    order: dict[str, Any] = json.loads(_exactly(worker, size_bytes))
    return order


def _exactly(worker: socket.socket, size_bytes: int) -> bytes:
    data = bytearray()
    while len(data) < size_bytes:
        chunk = worker.recv(min(size_bytes - len(data), 1 << 20))
        if not chunk:
            raise OSError("the worker is gone")
        data += chunk
    return bytes(data)


class Guard:
    """One task: its process, its output, its end."""

    def __init__(self, worker: socket.socket, order: dict[str, Any]) -> None:
        self._worker = worker
        self._order = order
        self._ended = "exited"
        self._deadline = order["ends_at_s"]  # one clock for all processes of the machine
        self._pid = 0
        self._exit_code: int | None = None
        self._output = Output(Path(order["log"]), order["head_bytes"], order["tail_bytes"])
        self._woken, wake = os.pipe()
        os.set_blocking(self._woken, False)
        os.set_blocking(wake, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)

    def run(self) -> dict[str, Any]:
        """Runs the task to its end and gives the answer."""
        _become_subreaper()
        if time.monotonic() > self._order["begin_by_s"]:
            return _unbegun("too_late")
        failure, stdout = self._start()
        if failure:
            return _unbegun("not_started", failure)
        self._watch(stdout)
        self._kill_all()
        self._output.drain(stdout)
        return {
            "ended": self._ended,
            "exit_code": self._exit_code,
            "error": "",
            "output": self._output.close(),
        }

    def _start(self) -> tuple[str, int]:
        """Starts the task: a text if that failed, and the read end of its output."""
        stdout, into = os.pipe()
        failed, fail = os.pipe()
        guard = os.getpid()
        self._pid = os.fork()
        if self._pid == 0:
            self._become_task(guard, into, fail)
        os.close(into)
        os.close(fail)
        os.set_blocking(stdout, False)
        with os.fdopen(failed, "rb") as reason:
            text = reason.read().decode(errors="replace")
        if text:
            os.waitpid(self._pid, 0)
        return text, stdout

    def _become_task(self, guard: int, into: int, fail: int) -> None:
        try:
            signal.set_wakeup_fd(-1)
            for number in (signal.SIGCHLD, signal.SIGPIPE, *_IGNORED):
                signal.signal(number, signal.SIG_DFL)  # what is ignored stays ignored in the task
            os.setsid()
            if _LIBC:
                _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
                if os.getppid() != guard:
                    os._exit(1)
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            os.dup2(into, 1)
            os.dup2(into, 2)
            os.chdir(self._order["folder"])
            os.execvpe(self._order["command"][0], self._order["command"], self._order["environment"])
        except OSError as error:
            os.write(fail, f"{self._order['command'][0]}: {error.strerror}".encode())
        except BaseException as error:
            os.write(fail, f"{type(error).__name__}: {error}".encode())
        finally:
            os._exit(127)

    def _watch(self, stdout: int) -> None:
        """Keeps output until the task's own process has ended; ends it when told or when its time is over."""
        kill_at: float | None = None
        sources: list[Any] = [stdout, self._woken, self._worker]
        while not self._reap():
            until = self._deadline if kill_at is None else kill_at
            ready, _, _ = select.select(sources, (), (), max(0.0, until - time.monotonic()))
            if stdout in ready and not self._output.read(stdout):
                sources.remove(stdout)
            if self._woken in ready:
                _swallow(self._woken)
            if self._worker in ready:
                if not self._worker.recv(1):
                    self._kill_all()
                    os._exit(1)
                self._ended, self._deadline = "cancelled", 0.0
            if kill_at is not None and time.monotonic() >= kill_at:
                self._kill_all()
            elif kill_at is None and time.monotonic() >= self._deadline:
                self._ended = "timed_out" if self._ended == "exited" else self._ended
                self._signal_all(signal.SIGTERM)
                kill_at = time.monotonic() + self._order["grace_s"]

    def _reap(self) -> bool:
        """Collects the dead; True when the task's own process is among them, or was before."""
        while self._exit_code is None:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if pid == 0:
                break
            if pid == self._pid:
                self._exit_code = os.waitstatus_to_exitcode(status)
        return self._exit_code is not None

    def _kill_all(self) -> None:
        """Kills everything that the task started; returns when nothing of it is left."""
        if not _LIBC:
            _send(os.killpg, self._pid, signal.SIGKILL)
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return  # a subreaper without children has no descendants
            if pid == self._pid:
                self._exit_code = os.waitstatus_to_exitcode(status)
            elif pid == 0:
                self._signal_all(signal.SIGKILL)
                time.sleep(0.002)

    def _signal_all(self, number: int) -> None:
        targets = list(_descendants(os.getpid()))
        if self._exit_code is None:
            _send(os.killpg, self._pid, number)
        for pid in targets:
            _send(os.kill, pid, number)


class Output:
    """What a task prints: its beginning and its end, in a file; the middle is counted and dropped."""

    def __init__(self, file: Path, head_bytes: int, tail_bytes: int) -> None:
        self._file = file.open("wb", buffering=0)
        self._head_bytes_left = head_bytes
        self._tail_bytes = tail_bytes
        self._tail: collections.deque[bytes] = collections.deque()
        self._tail_held = self._dropped = 0
        self._last = b""

    def read(self, source: int) -> bool:
        """Takes what is there; False at the end of the stream."""
        try:
            data = os.read(source, 65536)
        except BlockingIOError:
            return True
        self._keep(data)
        return bool(data)

    def drain(self, source: int) -> None:
        """Takes what is left; called when nobody can write any more."""
        while True:
            try:
                data = os.read(source, 65536)
            except BlockingIOError:
                return
            if not data:
                return
            self._keep(data)

    def _keep(self, data: bytes) -> None:
        self._last = (self._last + data)[-4096:]
        head, rest = data[: self._head_bytes_left], data[self._head_bytes_left :]
        if head:
            self._head_bytes_left -= len(head)
            self._file.write(head)
        if rest:
            self._tail.append(rest)
            self._tail_held += len(rest)
        while self._tail_held > self._tail_bytes:
            oldest = self._tail.popleft()
            excess = self._tail_held - self._tail_bytes
            if len(oldest) > excess:
                self._tail.appendleft(oldest[excess:])
            lost = min(excess, len(oldest))
            self._tail_held -= lost
            self._dropped += lost

    def close(self) -> str:
        """Writes the end to the file; returns the last few lines' worth of text."""
        if self._dropped:
            self._file.write(f"\n[… {self._dropped} bytes left out …]\n".encode())
        for chunk in self._tail:
            self._file.write(chunk)
        self._file.close()
        return self._last.decode(errors="replace")


def _unbegun(ended: str, error: str = "") -> dict[str, Any]:
    return {"ended": ended, "exit_code": None, "error": error, "output": ""}


def _become_subreaper() -> None:
    """What loses its parent below this process becomes its child."""
    if _LIBC:
        _LIBC.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _descendants(root: int, spared: Collection[int] = ()) -> list[int]:
    """All processes below one, without those that are spared and what is below them; empty where there is no /proc."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            # The name stands in brackets and may hold anything; state and parent follow the last one.
            fields = (entry / "stat").read_text(errors="replace").rpartition(")")[2].split()
        except OSError:
            continue
        children.setdefault(int(fields[1]), []).append(int(entry.name))
    found: list[int] = []
    waiting = [root]
    while waiting:
        below = [pid for pid in children.get(waiting.pop(), []) if pid not in spared]
        found += below
        waiting += below
    return found


def _send(kill: Any, target: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):  # it has ended meanwhile
        kill(target, number)


def _swallow(pipe: int) -> None:
    with contextlib.suppress(BlockingIOError):
        while os.read(pipe, 4096):
            pass


if __name__ == "__main__":
    for stop in _IGNORED:
        signal.signal(stop, signal.SIG_IGN)  # the end of the worker's socket is the only reason to end
    serve(socket.socket(fileno=int(sys.argv[1])))
