"""Processes that share the steps of a verification among them.

Each one is an actor: it makes the request anew from what it was opened with, takes one step after the other, and leaves
the result in a file. The one that started them hands the steps out, and hears of what is read meanwhile. They are
spawned: a fork would copy the threads' locks of Kafka's client and of RocksDB.
"""

import contextlib
import ctypes
import multiprocessing
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from types import FrameType, TracebackType
from typing import Any, Final, Self

import msgspec

from neural_hive.connectors.heaps import limit_heaps
from neural_hive.replay.reader import Told
from neural_hive.replay.steps.plan import Plan, Planned, can_be_done
from neural_hive.replay.steps.request import Request
from neural_hive.replay.steps.results import Results
from neural_hive.replay.steps.step import Done, Kind, Step
from neural_hive.replay.steps.workshop import Workshop
from neural_hive.streams.kernel.versions import OURS

Opening = Callable[[], Request]
_FIRST: Final = tuple(Kind)  # what others wait for comes first
_TELL_EVERY_S: Final = 0.1
_END_S: Final = 5.0
_PR_SET_PDEATHSIG: Final = 1


class WorkerDied(RuntimeError):
    """A process ended before its step was done: what it looked at is not verified."""


class StepRefused(RuntimeError):
    """A step could not be begun; the text says what to do."""


class _Worker:
    """One process, and the step that it has in hand."""

    def __init__(self, opening: Opening, plan: Plan, results: Results) -> None:
        spawn = multiprocessing.get_context("spawn")
        self.connection, theirs = spawn.Pipe()
        self.process: SpawnProcess = spawn.Process(
            target=_serve, args=(theirs, opening, plan, results, os.getpid()), name="verify", daemon=True
        )
        self.process.start()
        theirs.close()
        self.step: Step | None = None

    def give(self, planned: Planned) -> None:
        """Hands a step out."""
        self.step = planned[0]
        with contextlib.suppress(OSError):  # it has died: that is seen by its sentinel
            self.connection.send(planned)

    def death(self) -> WorkerDied:
        """How it ended."""
        self.process.join(_END_S)
        code = self.process.exitcode
        how = f"by signal {-code}" if code is not None and code < 0 else f"with exit code {code}"
        what = f"while it looked at {self.step.name}" if self.step else "before it had a step"
        return WorkerDied(f"a process of the verification ended {how} {what}: that is not verified")


class Workers:
    """The processes; they end with the `with` block, however it ends."""

    def __init__(
        self, opening: Opening, plan: Plan, results: Results, processes: int, told: Told | None
    ) -> None:
        self._opening, self._plan, self._results = opening, plan, results
        self._count, self._told = processes, told
        self._workers: list[_Worker] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in self._workers:
            worker.connection.close()  # whoever has no step ends by that
            if worker.step is not None:
                worker.process.terminate()
        until = time.monotonic() + _END_S
        for worker in self._workers:
            worker.process.join(max(until - time.monotonic(), 0))
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()
            worker.process.close()

    def do(self, order: list[Planned], done: dict[Step, Done]) -> None:
        """Does what is not done yet; `done` gets the results.

        Raises WorkerDied, StepRefused. RuntimeError: what nobody has foreseen.
        """
        waiting = sorted((p for p in order if p[0] not in done), key=lambda p: _FIRST.index(p[0].kind))
        count = min(self._count, len(waiting))
        self._workers = [_Worker(self._opening, self._plan, self._results) for _ in range(count)]
        while True:
            self._hand_out(waiting, done)
            if all(worker.step is None for worker in self._workers):
                return
            self._listen(done)

    def _hand_out(self, waiting: list[Planned], done: dict[Step, Done]) -> None:
        for worker in self._workers:
            if worker.step is None and (ready := _ready(waiting, done)):
                waiting.remove(ready)
                worker.give(ready)

    def _listen(self, done: dict[Step, Done]) -> None:
        """Until something is heard."""
        by_handle: dict[Any, _Worker] = {worker.connection: worker for worker in self._workers}
        by_handle |= {worker.process.sentinel: worker for worker in self._workers}
        for handle in sorted(wait(list(by_handle)), key=lambda handle: isinstance(handle, int)):
            worker = by_handle[handle]
            if isinstance(handle, int):
                raise worker.death()
            try:
                self._take(worker, worker.connection.recv(), done)
            except (EOFError, OSError):
                raise worker.death() from None

    def _take(self, worker: _Worker, message: Any, done: dict[Step, Done]) -> None:
        match message:
            case ("read", topic, partition, count):
                if self._told is not None:
                    self._told(topic, partition, count)
            case ("done",):
                assert worker.step is not None
                done[worker.step] = self._results.result(worker.step)
                worker.step = None
            case ("refused", text):
                raise StepRefused(text)
            case ("failed", text, trace):
                unforeseen = RuntimeError(text)
                unforeseen.add_note(trace)
                raise unforeseen


def _ready(waiting: list[Planned], done: dict[Step, Done]) -> Planned | None:
    for planned in waiting:
        if can_be_done(planned[1], done):
            return planned
    return None


class _Teller:
    """Tells how much was read, but not of every batch."""

    def __init__(self, connection: Connection) -> None:
        self._connection, self._told_at = connection, 0.0
        self._counts: dict[tuple[str, int], int] = {}

    def __call__(self, topic: str, partition: int, count: int) -> None:
        self._counts[topic, partition] = self._counts.get((topic, partition), 0) + count
        if time.monotonic() - self._told_at > _TELL_EVERY_S:
            self.flush()

    def flush(self) -> None:
        """Tells what was not told yet."""
        for (topic, partition), count in self._counts.items():
            self._connection.send(("read", topic, partition, count))
        self._counts.clear()
        self._told_at = time.monotonic()


def _serve(connection: Connection, opening: Opening, plan: Plan, results: Results, parent: int) -> None:
    """What a worker does."""
    _end_with(parent)
    limit_heaps(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who has started it ends it
    signal.signal(signal.SIGTERM, _end)
    tell = _Teller(connection)
    try:
        workshop = Workshop(msgspec.structs.replace(opening(), told=tell), plan, results)
        while True:
            workshop.do(*connection.recv())
            tell.flush()
            connection.send(("done",))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return  # nobody waits for it any more
    except Exception as error:
        if type(error).__module__.startswith(f"{OURS}."):  # they say what to do
            connection.send(("refused", str(error)))
        else:
            connection.send(("failed", f"{type(error).__name__}: {error}", traceback.format_exc()))


def _end_with(parent: int) -> None:
    """Dies with the process that has started it, where the kernel can do that."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)


def _end(number: int, frame: FrameType | None) -> None:
    sys.exit(128 + number)
