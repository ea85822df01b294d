"""Runs tickets as functions of this program, each in a thread, within the time limit of its task.

Python cannot end a thread. A function that goes on past its time limit is told so (`ticket.cancelled`), its ticket is
reported as TIMED_OUT, and it keeps its slot until it ends: there are never more than `capacity` at once. While it goes
on the agent offers less: it would be given tickets that it cannot begin.
"""

import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import msgspec
import structlog

from neural_hive.connectors.artifacts import ArtifactStore
from neural_hive.connectors.process_attempt import remove_tree
from neural_hive.connectors.process_executor import Cancellation, Order, Report, Stopwatch
from neural_hive.sdk.agent import AgentTelemetry
from neural_hive.sdk.ticket import Ticket, Unfit, outputs_of
from neural_hive.streams.work_ledger import Dispatch
from neural_hive.streams.worker.orders import Prepared, failed, lease_of, refusal, time_limit_s

Function = Callable[[Ticket], Any]
EXECUTOR: Final = "function"
ERROR_CHARS_MAX: Final = 4_000
_LOOK_EVERY_S: Final = 0.05
_LEAVE_S: Final = 1.0  # how long a function may take to end once it is told to

log = structlog.get_logger()


class FunctionOrder(Order, frozen=True, kw_only=True):
    """An order that a function of this program carries out."""

    dispatch: Dispatch


class Functions:
    """What an agent can do: a function for each task type, and for undoing it."""

    def __init__(self) -> None:
        self.execute: dict[str, Function] = {}
        self.compensate: dict[str, Function] = {}

    def of(self, dispatch: Dispatch) -> Function | None:
        """Who executes a dispatch."""
        known = self.compensate if dispatch.compensates else self.execute
        return known.get(dispatch.task_type)

    def prepare(self, dispatch: Dispatch, agent_id: str, task_types: frozenset[str]) -> Prepared | Report:
        """The order, or the report that refuses it, with the reason."""
        if refused := refusal(dispatch, agent_id, task_types):
            return refused
        if self.of(dispatch) is None:
            what = "undoes" if dispatch.compensates else "executes"
            return failed(f"agent {agent_id} has no function that {what} {dispatch.task_type} tickets")
        order = FunctionOrder(
            folder_name=f"{dispatch.ticket_id}.{dispatch.attempt}",
            command=dispatch.command,
            environment=dispatch.environment,
            parameters=dispatch.parameters,
            inputs=dispatch.inputs,
            time_limit_s=time_limit_s(dispatch),
            lease=lease_of(dispatch),
            dispatch=dispatch,
        )
        return Prepared(EXECUTOR, order)


class FunctionExecutor:
    """Runs functions; `run` may be called from many threads. `folder` is this executor's alone.

    `offer` is told how many slots there are beside those of functions that do not end.
    """

    def __init__(
        self,
        functions: Functions,
        folder: Path,
        store: ArtifactStore,
        capacity: int,
        offer: Callable[[int], None] = lambda capacity: None,
    ) -> None:
        self._functions = functions
        self._folder = folder
        self._store = store
        self._capacity = capacity
        self._slots = threading.BoundedSemaphore(capacity)
        self._lock = threading.Lock()
        self._tally = _Tally()
        self._offer = offer
        self._offering = threading.Lock()
        self._overrunning: set[_Call] = set()
        remove_tree(folder)  # what a killed one left
        folder.mkdir(parents=True)

    def run(self, order: Order, cancellation: Cancellation) -> Report:
        """Runs one function to its end, or to the end of its time. Never raises for what it does."""
        assert isinstance(order, FunctionOrder) and order.lease is not None
        time_of, lease = Stopwatch(), order.lease
        folder = self._folder / order.folder_name
        call = _Call(self._functions, order, cancellation, self._store, folder, lease.ends_at_s)
        if not self._take_slot(call.ticket, lease.begin_by_s):
            held = f"all {self._capacity} slots are held by functions that run past their time limit"
            return Report("FAILED", time_of.start, time_of.now(), error=held)
        threading.Thread(target=self._live, args=(call,), name=order.folder_name, daemon=True).start()
        while not call.over.wait(_LOOK_EVERY_S) and not call.ticket.cancelled:
            pass
        if not call.over.wait(_LEAVE_S):
            self._leave(call)
        report = call.report(order.time_limit_s, cancellation, time_of)
        with self._lock:
            self._tally = self._tally.after(report)
        return report

    def telemetry(self) -> AgentTelemetry:
        """How the functions did so far: success rate, load, mean time in ms."""
        with self._lock:
            tally = self._tally
        mean_ms = tally.took_ms // tally.ended if tally.ended else 0
        rate = tally.completed / tally.ended if tally.ended else 1.0
        return AgentTelemetry(rate, min(tally.running / self._capacity, 1.0), mean_ms)

    def close(self) -> None:
        """Removes the folders; functions that still run end with the program."""
        remove_tree(self._folder)

    def _live(self, call: "_Call") -> None:
        with self._lock:
            self._tally = msgspec.structs.replace(self._tally, running=self._tally.running + 1)
        try:
            call.make()
        finally:
            with self._lock:
                self._tally = msgspec.structs.replace(self._tally, running=self._tally.running - 1)
                has_overrun = call in self._overrunning
                self._overrunning.discard(call)
            self._slots.release()
            if has_overrun:
                self._tell_offer()

    def _leave(self, call: "_Call") -> None:
        """A function does not end: its ticket is over, its slot is not free."""
        with self._lock:
            if call.over.is_set():
                return
            self._overrunning.add(call)
        log.warning("function_does_not_end", ticket=call.ticket.fencing_token)
        self._tell_offer()

    def _tell_offer(self) -> None:
        with self._offering:  # or an older figure could come last
            with self._lock:
                left = self._capacity - len(self._overrunning)
            self._offer(left)

    def _take_slot(self, ticket: Ticket, begin_by_s: float) -> bool:
        """Waits for a slot as long as the function may begin; whether it got one in time."""
        while not ticket.cancelled and time.monotonic() < begin_by_s:
            if self._slots.acquire(timeout=_LOOK_EVERY_S):
                if time.monotonic() < begin_by_s:
                    return True
                self._slots.release()
        return False


class _Tally(msgspec.Struct, frozen=True):
    running: int = 0
    ended: int = 0
    completed: int = 0
    took_ms: int = 0

    def after(self, report: Report) -> "_Tally":
        if report.ended == "CANCELLED":
            return self
        took_ms = (report.completed_at - report.started_at) // 1_000
        completed = self.completed + (report.ended == "COMPLETED")
        return _Tally(self.running, self.ended + 1, completed, self.took_ms + took_ms)


class _Call:
    """One call of a function, in a thread of its own."""

    def __init__(
        self,
        functions: Functions,
        order: FunctionOrder,
        cancellation: Cancellation,
        store: ArtifactStore,
        folder: Path,
        until: float,
    ) -> None:
        self.ticket = Ticket(order.dispatch, cancellation, store, folder, until)
        self.over = threading.Event()
        self._function = functions.of(order.dispatch)
        self._folder = folder
        self._outputs: dict[str, str] = {}
        self._error = ""
        self._in_time = False

    def make(self) -> None:
        """Calls the function; what it raises is kept as the ticket's error."""
        assert self._function is not None
        try:
            self._outputs = outputs_of(self._function(self.ticket))
        except Unfit as unfit:
            self._error = str(unfit)[:ERROR_CHARS_MAX]
        except BaseException as error:  # SystemExit too: it would end this thread without a word
            self._error = "".join(traceback.format_exception_only(error)).strip()[:ERROR_CHARS_MAX]
            log.warning(
                "function_raised", ticket=self.ticket.fencing_token, trace="".join(traceback.format_exc())
            )
        finally:
            self._in_time = self.ticket.remaining_s > 0
            remove_tree(self._folder)
            self.over.set()

    def report(self, time_limit_s: float, cancellation: Cancellation, time_of: Stopwatch) -> Report:
        """How it went; a function that has not ended has timed out, or was cancelled."""
        times, kept = (time_of.start, time_of.now()), self.ticket.kept
        if cancellation.asked:
            return Report("CANCELLED", *times, artifacts=kept, error="the ticket was cancelled")
        if not self._in_time:
            late = f"the function took longer than its limit of {time_limit_s:g} s"
            return Report("TIMED_OUT", *times, artifacts=kept, error=late)
        if self._error:
            return Report("FAILED", *times, artifacts=kept, error=self._error)
        return Report("COMPLETED", *times, outputs=self._outputs, artifacts=kept)
