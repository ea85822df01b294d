"""What the steps of Flow C took, from what the orchestrator has committed: the messages of the telemetry topics.

    C1 validate, C2 generate tickets, C6 consolidate    how long they computed, as the handlers say
    C3 allocate    a ticket is ready → it is given to an agent
    C4 dispatch    it is given to an agent → the agent begins
    C5 execute     the agent begins → the attempt ends
    WORKFLOW       the plan is accepted → the workflow ends

C4 of a ticket that was given to its agent before this processor began is not known, and is passed over.
"""

import threading
from collections.abc import Iterable, Iterator
from typing import Any, Final

import msgspec

from neural_hive.aggregates.ticket import (
    TICKET,
    Status,
    Ticket,
    TicketCancelled,
    TicketCompensated,
    TicketCompensationFailed,
    TicketCompleted,
    TicketDispatched,
    TicketFailed,
    TicketStarted,
    TicketTimedOut,
)
from neural_hive.aggregates.workflow import (
    WORKFLOW,
    PlanRejected,
    WorkflowCancelled,
    WorkflowCompleted,
    WorkflowFailed,
)
from neural_hive.streams.kernel.system import Committed, Observed
from neural_hive.streams.telemetry import Measurement

STEPS_TOPIC: Final = "telemetry-flow-c"
ATTEMPTS_TOPIC: Final = "telemetry.orchestration"
COMPUTED: Final = frozenset({"C1", "C2", "C6"})
DISPATCHED_MAX: Final = (
    100_000  # attempts whose begin is awaited, in each partition; the oldest are forgotten
)

_ATTEMPT_ENDS: Final[dict[type[Any], str]] = {
    TicketCompleted: "COMPLETED",
    TicketFailed: "FAILED",
    TicketTimedOut: "TIMED_OUT",
    TicketCancelled: "CANCELLED",
    TicketCompensated: "COMPENSATED",
    TicketCompensationFailed: "FAILED",
}


class Step(msgspec.Struct, frozen=True):
    """One step that has ended, as FlowStepMeasured has it."""

    workflow_id: str
    plan_id: str
    step: str
    status: str
    duration_ms: float
    at: int  # µs
    ticket_id: str = ""
    task_type: str = "UNKNOWN"
    attempt: int = 0


class Attempt(msgspec.Struct, frozen=True):
    """One attempt that has ended, as AttemptMeasured has it."""

    workflow_id: str
    plan_id: str
    ticket_id: str
    task_id: str
    task_type: str
    attempt: int
    agent_id: str
    compensates: bool
    status: str
    allocation_ms: float | None
    dispatch_ms: float | None
    execution_ms: float | None
    estimated_ms: int
    at: int


class Stopwatch:
    """Turns what is committed into steps and attempts. May be told by many threads."""

    def __init__(self) -> None:
        # By partition: ticket id → when it was given to its agent, µs.
        self._dispatched_at: dict[int, dict[str, int]] = {}
        self._lock = threading.Lock()

    def closed(self, partition: int) -> None:
        """Forgets a partition: it goes on elsewhere, or there is a doubt about what was committed."""
        with self._lock:
            self._dispatched_at.pop(partition, None)

    def measured(self, committed: Committed) -> list[Step | Attempt]:
        """What has ended with this transaction, in its order."""
        with self._lock:
            found: list[Step | Attempt] = []
            dispatched_at = self._dispatched_at.setdefault(committed.partition, {})
            for observed in committed.events:
                found += _of_event(observed, dispatched_at)
            while len(dispatched_at) > DISPATCHED_MAX:
                del dispatched_at[next(iter(dispatched_at))]
        return [*found, *_computed(committed)]


def _of_event(observed: Observed, dispatched_at: dict[str, int]) -> Iterator[Step | Attempt]:
    """What has ended with an event."""
    event, after = observed.event, observed.after
    match event:
        case TicketDispatched():
            dispatched_at[event.ticket_id] = event.dispatched_at
            allocation_ms = _between(after.ready_at, event.dispatched_at)
            if allocation_ms is not None:
                yield _step(after, "C3", "COMPLETED", allocation_ms, event.dispatched_at)
        case TicketStarted():
            given_at = dispatched_at.get(event.ticket_id, 0)
            # The agent's clock may be another one: not before it was asked to, nor after it has said so.
            started_at = max(given_at, min(event.started_at, observed.at))
            dispatch_ms = _between(given_at, started_at)
            if dispatch_ms is not None:
                yield _step(after, "C4", "COMPLETED", dispatch_ms, started_at)
        case WorkflowCompleted() | WorkflowFailed() | WorkflowCancelled():
            about = event.workflow_id, after.plan_id
            yield Step(*about, "WORKFLOW", after.status, float(event.duration_ms), observed.at)
        case _:
            if status := _ATTEMPT_ENDS.get(type(event)):
                yield from _attempt(observed, status, dispatched_at.pop(after.created.ticket_id, 0))


def _attempt(observed: Observed, status: str, dispatched_at: int) -> Iterator[Step | Attempt]:
    before: Ticket = observed.before
    if before.status not in (Status.ASSIGNED, Status.RUNNING):
        return  # it ended without an attempt
    execution_ms = _execution_ms(before, observed.event)
    if execution_ms is not None:
        yield _step(before, "C5", status, execution_ms, observed.at)
    created = before.created
    yield Attempt(
        created.workflow_id,
        created.plan_id,
        created.ticket_id,
        created.task.task_id,
        created.task.task_type,
        before.attempt,
        before.agent_id,
        before.compensates,
        status,
        _between(before.ready_at, dispatched_at),
        _between(dispatched_at, before.started_at or 0) if before.status is Status.RUNNING else None,
        execution_ms,
        created.task.estimated_duration_ms,
        observed.at,
    )


def _execution_ms(before: Ticket, event: Any) -> float | None:
    """From the agent's own begin and end, if it has begun."""
    if before.status is not Status.RUNNING or before.started_at is None:
        return None
    match event:
        case TicketTimedOut():
            return _between(before.started_at, event.timed_out_at)
        case TicketCancelled():
            return _between(before.started_at, event.cancelled_at)
        case _:
            return _between(event.started_at, event.completed_at)


def _between(first_at: int, last_at: int) -> float | None:
    """ms between two times (µs) that are known."""
    return max(last_at - first_at, 0) / 1_000 if first_at and last_at else None


def _step(ticket: Ticket, step: str, status: str, duration_ms: float, at: int) -> Step:
    created = ticket.created
    return Step(
        created.workflow_id,
        created.plan_id,
        step,
        status,
        duration_ms,
        at,
        created.ticket_id,
        created.task.task_type,
        ticket.attempt,
    )


def _computed(committed: Committed) -> Iterator[Step]:
    """The steps whose computing was measured, of workflows with an event in the same transaction."""
    wanted = [found for found in committed.measured if found.name in COMPUTED]
    if not wanted:
        return
    told = dict(_told(committed.events))
    for found in wanted:
        if found.subject in told:
            plan_id, status, at = told[found.subject]
            yield Step(found.subject, plan_id, found.name, status, found.seconds * 1_000, at)


def _told(events: Iterable[Observed]) -> Iterator[tuple[str, tuple[str, str, int]]]:
    """Of which workflow an event speaks; its plan, whether that was refused, and when."""
    for observed in events:
        if observed.aggregate == WORKFLOW.name:
            status = "REJECTED" if isinstance(observed.event, PlanRejected) else "COMPLETED"
            yield observed.aggregate_id, (observed.after.plan_id, status, observed.at)
        elif observed.aggregate == TICKET.name:
            created = observed.after.created
            yield created.workflow_id, (created.plan_id, "COMPLETED", observed.at)


def messages(found: list[Step | Attempt]) -> Iterator[Measurement]:
    """The measurements as messages; the same step of the same attempt has the same id."""
    for one in found:
        is_step = isinstance(one, Step)
        name = one.step if isinstance(one, Step) else "attempt"
        seed = (one.workflow_id, one.ticket_id, name, str(one.attempt), str(one.at))
        where = (STEPS_TOPIC, "FlowStepMeasured") if is_step else (ATTEMPTS_TOPIC, "AttemptMeasured")
        yield Measurement(*where, seed, one.workflow_id, one)
