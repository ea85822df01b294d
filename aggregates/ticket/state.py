"""Where a ticket stands, and what its events make of it."""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from hashlib import sha256
from typing import Final, assert_never

import msgspec

from neural_hive.aggregates import tally
from neural_hive.aggregates.made import Made
from neural_hive.aggregates.ticket.events import (
    TicketCancelled,
    TicketCommandRefused,
    TicketCompensated,
    TicketCompensationFailed,
    TicketCompleted,
    TicketCreated,
    TicketDispatched,
    TicketEvent,
    TicketFailed,
    TicketReady,
    TicketResultRefused,
    TicketRetryScheduled,
    TicketStarted,
    TicketTimedOut,
)
from neural_hive.aggregates.vocabulary import DeliveryMode

RETRY_TIMER: Final = "retry"
TIMEOUT_TIMER: Final = "timeout"
# The agent ends an attempt at its time limit by itself. This is how much later it is no longer waited for: time enough
# for a killed agent to be back and to say so.
GRACE_MS: Final = 60_000


class Status(StrEnum):
    """Where a ticket stands."""

    PENDING = "PENDING"
    READY = "READY"
    ASSIGNED = "ASSIGNED"
    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    TIMED_OUT = "TIMED_OUT"
    CANCELLED = "CANCELLED"
    COMPENSATED = "COMPENSATED"


# Every other transition is refused. READY → FAILED: what the ticket takes from others is not there.
# FAILED, TIMED_OUT → PENDING: it waits for its next attempt. COMPLETED → ASSIGNED: it is being undone, and
# RUNNING → COMPLETED then means that it could not be.
TRANSITIONS: Final[dict[Status, frozenset[Status]]] = {
    Status.PENDING: frozenset({Status.READY, Status.CANCELLED}),
    Status.READY: frozenset({Status.ASSIGNED, Status.FAILED, Status.CANCELLED}),
    Status.ASSIGNED: frozenset({Status.RUNNING, Status.CANCELLED, Status.COMPLETED}),
    Status.RUNNING: frozenset(
        {Status.COMPLETED, Status.FAILED, Status.TIMED_OUT, Status.CANCELLED, Status.COMPENSATED}
    ),
    Status.COMPLETED: frozenset({Status.ASSIGNED}),
    Status.FAILED: frozenset({Status.PENDING}),
    Status.TIMED_OUT: frozenset({Status.PENDING}),
    Status.CANCELLED: frozenset(),
    Status.COMPENSATED: frozenset(),
}
UNFINISHED: Final = frozenset({Status.PENDING, Status.READY, Status.ASSIGNED, Status.RUNNING})


_TALLY: Final = {
    Status.COMPLETED: tally.completed,
    Status.COMPENSATED: tally.completed,
    Status.FAILED: tally.failed,
    Status.TIMED_OUT: tally.failed,
    Status.CANCELLED: tally.cancelled,
}


class Ticket(msgspec.Struct, frozen=True):
    """What the events so far make of a ticket."""

    created: TicketCreated
    status: Status = Status.PENDING
    attempt: int = 0  # of the last dispatch; 0: never dispatched
    agent_id: str = ""
    started_at: int | None = None
    expires_at: int = 0  # of the attempt that runs; 0: never
    completed_at: int | None = None
    made: Made = Made()
    attempt_ended: Status | None = None  # how the last attempt ended, once it has
    compensates: bool = False  # what the last attempt did, or does, is to undo
    retry_at: int | None = None  # when the next attempt is due
    deadline_at: int = 0  # its workflow's, as the last dispatch knew it
    last_refusal: str = ""

    @property
    def retry_count(self) -> int:
        """How often it was tried again after the first attempt."""
        return max(self.attempt - 1, 0)


def is_finished(ticket: Ticket) -> bool:
    """Whether the ticket has ended, well or not."""
    return ticket.status not in UNFINISHED


def is_expired(ticket: Ticket, now: int) -> bool:
    """Whether the deadline has passed (µs) and the ticket has not ended."""
    return not is_finished(ticket) and now > ticket.deadline_at


def can_retry(ticket: Ticket, now: int) -> bool:
    """Whether the last attempt went wrong, and another one is allowed and still in time (µs)."""
    return (
        ticket.status in (Status.FAILED, Status.TIMED_OUT)
        and ticket.created.delivery_mode is not DeliveryMode.AT_MOST_ONCE
        and 1 <= ticket.attempt <= ticket.created.task.max_retries
        and now <= ticket.deadline_at
    )


def content_hash(ticket: Ticket) -> str:
    """SHA-256, in hex, of what the ticket was created with: it is the same for as long as the ticket lives."""
    return sha256(msgspec.json.encode(ticket.created, order="deterministic")).hexdigest()


def refusal_key(refused: TicketResultRefused | TicketCommandRefused) -> str:
    if isinstance(refused, TicketCommandRefused):
        return f"{refused.command} {refused.requested_by} {refused.reason}"
    return f"{refused.attempt} {refused.agent_id} {refused.reason}"


def evolve(ticket: Ticket | None, event: TicketEvent) -> Ticket:
    """What an event makes of the ticket."""
    if isinstance(event, TicketCreated):
        return Ticket(event, deadline_at=event.deadline_at)
    assert ticket is not None, "the history of a ticket begins with TicketCreated"
    change = msgspec.structs.replace
    match event:
        case TicketReady():
            return change(ticket, status=Status.READY, retry_at=None)
        case TicketDispatched():
            agent_id = event.allocated_agent_id
            given = change(ticket, status=Status.ASSIGNED, attempt=event.attempt, agent_id=agent_id)
            given = change(given, compensates=event.compensates, expires_at=0)
            return change(given, attempt_ended=None, deadline_at=event.deadline_at)
        case TicketStarted():
            times = {"started_at": event.started_at, "expires_at": event.expires_at}
            return change(ticket, status=Status.RUNNING, **times)
        case TicketCompleted():
            return _made(ticket, Status.COMPLETED, event)
        case TicketFailed():
            return _made(ticket, Status.FAILED, event)
        case TicketTimedOut():
            return _over(ticket, Status.TIMED_OUT, event.timed_out_at)
        case TicketRetryScheduled():
            waiting = change(ticket, status=Status.PENDING, retry_at=event.due_at, made=Made())
            return change(waiting, started_at=None, completed_at=None)
        case TicketCancelled():
            return _over(ticket, Status.CANCELLED, event.cancelled_at)
        case TicketCompensated():
            return change(ticket, status=Status.COMPENSATED, attempt_ended=Status.COMPLETED)
        case TicketCompensationFailed():
            return change(ticket, status=Status.COMPLETED, attempt_ended=Status.FAILED, compensates=True)
        case TicketResultRefused() | TicketCommandRefused():
            return change(ticket, last_refusal=refusal_key(event))
        case _:
            assert_never(event)


def _made(ticket: Ticket, status: Status, event: TicketCompleted | TicketFailed) -> Ticket:
    return msgspec.structs.replace(
        ticket,
        status=status,
        attempt_ended=status,
        started_at=event.started_at,
        completed_at=event.completed_at,
        made=Made(event.outputs, event.artifacts),
    )


def _over(ticket: Ticket, status: Status, at: int) -> Ticket:
    return msgspec.structs.replace(
        ticket, status=status, attempt_ended=status, completed_at=at, retry_at=None
    )


def timers(ticket: Ticket) -> Mapping[str, int]:
    """When the ticket must be looked at again (µs): `retry`, its next attempt; `timeout`, the end of patience."""
    if ticket.status is Status.RUNNING and ticket.expires_at:
        return {TIMEOUT_TIMER: ticket.expires_at}
    if ticket.status is Status.ASSIGNED and ticket.compensates:
        return {TIMEOUT_TIMER: ticket.deadline_at}  # no deadline of the workflow bounds it any more
    if ticket.retry_at is not None:
        return {RETRY_TIMER: ticket.retry_at}
    return {}


def counters(event: TicketEvent, before: Ticket | None, after: Ticket) -> Iterable[tuple[str, int]]:
    """What an event moves beside its ticket: open dependencies of others, and how a workflow's tickets stand.

    The cost is that of the ticket's own dependents, however large the workflow is.
    """
    created = after.created
    if isinstance(event, TicketCreated):
        yield tally.open_dependencies(created.ticket_id), len(created.dependencies)
        yield tally.unfinished(created.workflow_id), 1
    elif before is not None and is_finished(before) and not is_finished(after):
        yield tally.unfinished(created.workflow_id), 1
        yield _TALLY[before.status](created.workflow_id), -1
    elif before is not None and not is_finished(before) and is_finished(after):
        yield tally.unfinished(created.workflow_id), -1
        yield _TALLY[after.status](created.workflow_id), 1
        if isinstance(event, TicketCompensated):
            yield tally.compensated(created.workflow_id), 1
        if isinstance(event, TicketCompleted):
            for dependent in created.dependents:
                yield tally.open_dependencies(dependent), -1
