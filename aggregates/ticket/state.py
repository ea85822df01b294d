"""Where a ticket stands, and what its events make of it."""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from functools import lru_cache
from hashlib import sha256
from typing import Final, assert_never

import msgspec

from neural_hive.aggregates import tally
from neural_hive.aggregates.identity import derived_id
from neural_hive.aggregates.made import Made
from neural_hive.aggregates.references import OPENING
from neural_hive.aggregates.ticket.events import (
    HoldingFreeze,
    TicketAllocated,
    TicketCancelled,
    TicketCommandRefused,
    TicketCompensated,
    TicketCompensationFailed,
    TicketCompensationPlanned,
    TicketCompleted,
    TicketCreated,
    TicketDispatched,
    TicketEvent,
    TicketFailed,
    TicketHeld,
    TicketReady,
    TicketReleased,
    TicketRequeued,
    TicketResultRefused,
    TicketRetryScheduled,
    TicketStarted,
    TicketTimedOut,
    TicketUnallocated,
)
from neural_hive.aggregates.vocabulary import DeliveryMode, TaskType

RETRY_TIMER: Final = "retry"
TIMEOUT_TIMER: Final = "timeout"
PATIENCE_TIMER: Final = "patience"
# How long a ticket waits in one agent's queue before others are looked at again; doubled each time, up to 16 minutes.
PATIENCE_MS: Final = 30_000
PATIENCE_DOUBLED_MAX: Final = 5
# The agent ends an attempt at its time limit by itself. This is how much later it is no longer waited for: time enough
# for a killed agent to be back and to say so.
GRACE_MS: Final = 60_000
COMPENSATION_TRIES: Final = 3
SERVICE, NAMESPACE = "service", "namespace"  # the parameters of a task that say what it deploys
START_WITHIN_MS: Final = 120_000  # longer than a killed agent takes to start again


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
# ASSIGNED → TIMED_OUT: its agent did not begin. FAILED, TIMED_OUT → PENDING: it waits for its next attempt.
# COMPLETED → READY: it is to be undone; READY, ASSIGNED, RUNNING → COMPLETED then mean that it could not be, and
# COMPLETED → PENDING that this is tried again.
TRANSITIONS: Final[dict[Status, frozenset[Status]]] = {
    Status.PENDING: frozenset({Status.READY, Status.CANCELLED}),
    Status.READY: frozenset({Status.ASSIGNED, Status.FAILED, Status.CANCELLED, Status.COMPLETED}),
    Status.ASSIGNED: frozenset({Status.RUNNING, Status.TIMED_OUT, Status.CANCELLED, Status.COMPLETED}),
    Status.RUNNING: frozenset(
        {Status.COMPLETED, Status.FAILED, Status.TIMED_OUT, Status.CANCELLED, Status.COMPENSATED}
    ),
    Status.COMPLETED: frozenset({Status.READY, Status.PENDING}),
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


class Slot(msgspec.Struct, frozen=True):
    """What a ticket asks of an agent or has from it: room for one attempt."""

    agent_id: str
    attempt: int
    allocation: int


class Ticket(msgspec.Struct, frozen=True):
    """What the events so far make of a ticket."""

    created: TicketCreated
    status: Status = Status.PENDING
    attempt: int = 0  # of the last dispatch; 0: never dispatched
    agent_id: str = ""
    started_at: int | None = None  # None: the last attempt has not begun
    expires_at: int = 0  # of the attempt that runs; 0: never
    completed_at: int | None = None
    made: Made = Made()
    attempt_ended: Status | None = None  # how the last attempt ended, once it has
    compensates: bool = False  # what the last attempt did, or does, is to undo
    retry_at: int | None = None  # when the next attempt is due
    deadline_at: int = 0  # its workflow's, as the last dispatch knew it
    last_refusal: str = ""
    ready_at: int = 0
    place: int = 0  # in the queue for agents; 0: in none
    slot: Slot | None = None
    allocations: int = 0  # so far
    asked_at: int = 0  # when the slot was asked for
    turned_away_at: int = 0  # when an agent last did not take it
    turned_away: int = 0  # how often, since it became ready
    start_by: int = 0  # of the attempt that is assigned; 0: no limit
    undo_tries: int = 0  # attempts to undo it so far
    undo_position: int = 0  # among those that are to be undone, 1 is first; 0: it is not
    held: tuple[HoldingFreeze, ...] = ()  # the first of the freezes that hold it
    held_count: int = 0  # how many there are
    exception_id: str = ""  # by which it has an agent although it is frozen

    @property
    def is_queued(self) -> bool:
        """Whether it waits for an agent to be chosen, at once or once it is not held any more."""
        return self.status is Status.READY and self.slot is None and self.place > 0

    @property
    def is_asking(self) -> bool:
        """Whether it waits for the slot of an agent that was chosen."""
        return self.status is Status.READY and self.slot is not None

    @property
    def is_waiting(self) -> bool:
        """Whether it waits for an agent: to be chosen, or to have a slot."""
        return self.is_queued or self.is_asking

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


def can_retry(ticket: Ticket, now: int, deadline_at: int = 0) -> bool:
    """Whether the last attempt went wrong, and another one is allowed and still in time (µs).

    `deadline_at` is the workflow's, if it may have moved since the last dispatch; who undoes has a time of its own.
    """
    if ticket.compensates:
        return _can_undo_again(ticket, now)
    return (
        ticket.status in (Status.FAILED, Status.TIMED_OUT)
        and _may_be_repeated(ticket)
        and 1 <= ticket.attempt <= ticket.created.task.max_retries
        and now <= (deadline_at or ticket.deadline_at)
    )


def _may_be_repeated(ticket: Ticket) -> bool:
    """Whether another attempt keeps what its delivery mode promises, whatever the last one did.

    One that has not said in time that it begins has done nothing, and does nothing any more.
    """
    match ticket.created.delivery_mode:
        case DeliveryMode.AT_MOST_ONCE:
            return False
        case DeliveryMode.EXACTLY_ONCE:
            return ticket.started_at is None
        case _:
            return True


def content_hash(ticket: Ticket) -> str:
    """SHA-256, in hex, of what the ticket was created with: it is the same for as long as the ticket lives."""
    return sha256(msgspec.json.encode(ticket.created, order="deterministic")).hexdigest()


def _can_undo_again(ticket: Ticket, now: int) -> bool:
    once = ticket.created.delivery_mode in (DeliveryMode.AT_MOST_ONCE, DeliveryMode.EXACTLY_ONCE)
    is_left = 1 <= ticket.undo_tries < COMPENSATION_TRIES and not once
    return is_left and ticket.status is Status.COMPLETED and now <= ticket.deadline_at


def could_not_be_undone(ticket: Ticket) -> bool:
    """Whether its compensation has failed, and is not tried again."""
    return ticket.status is Status.COMPLETED and ticket.compensates


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
            deadline_at = event.expires_at or ticket.deadline_at
            ready = change(ticket, status=Status.READY, retry_at=None, deadline_at=deadline_at)
            ready = change(ready, ready_at=event.ready_at, place=event.place, turned_away=0)
            return change(ready, compensates=event.compensates, start_by=0)
        case TicketRequeued():
            return change(ticket, place=event.place)
        case TicketAllocated():
            slot = Slot(event.agent_id, event.attempt, event.allocation)
            asked = change(ticket, slot=slot, allocations=event.allocation, asked_at=event.allocated_at)
            return change(asked, exception_id=event.exception_id)
        case TicketUnallocated():
            turned_away = {"turned_away_at": event.unallocated_at, "turned_away": ticket.turned_away + 1}
            return change(ticket, slot=None, **turned_away)
        case TicketHeld():
            return change(ticket, held=event.freezes, held_count=event.freeze_count)
        case TicketReleased():
            return change(ticket, held=(), held_count=0)
        case TicketDispatched():
            agent_id = event.allocated_agent_id
            given = change(ticket, status=Status.ASSIGNED, attempt=event.attempt, agent_id=agent_id)
            given = change(given, compensates=event.compensates, expires_at=0, start_by=event.start_by)
            given = change(given, undo_tries=ticket.undo_tries + event.compensates)
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
            waiting = change(ticket, status=Status.PENDING, slot=None, retry_at=event.due_at)
            if ticket.compensates:
                return waiting  # what it made is what is undone
            return change(waiting, made=Made(), started_at=None, completed_at=None)
        case TicketCancelled():
            return _over(ticket, Status.CANCELLED, event.cancelled_at)
        case TicketCompensationPlanned():
            return change(ticket, undo_position=event.position)
        case TicketCompensated():
            return change(ticket, status=Status.COMPENSATED, attempt_ended=Status.COMPLETED, slot=None)
        case TicketCompensationFailed():
            failed = change(ticket, status=Status.COMPLETED, attempt_ended=Status.FAILED, slot=None)
            return change(failed, compensates=True)
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
        slot=None,
        held=(),
        held_count=0,
    )


def _over(ticket: Ticket, status: Status, at: int) -> Ticket:
    ended = {"status": status, "attempt_ended": status, "completed_at": at}
    return msgspec.structs.replace(ticket, **ended, retry_at=None, slot=None, held=(), held_count=0)


def timers(ticket: Ticket) -> Mapping[str, int]:
    """When the ticket must be looked at again (µs).

    `retry`: its next attempt; `timeout`: nobody waits for an attempt any longer; `patience`: for a slot of one agent.
    """
    if ticket.status is Status.RUNNING and ticket.expires_at:
        return {TIMEOUT_TIMER: ticket.expires_at}
    if ticket.status is Status.ASSIGNED and ticket.start_by:
        return {TIMEOUT_TIMER: ticket.start_by + GRACE_MS * 1_000}
    found = {}
    if ticket.status is Status.READY and ticket.slot is not None:
        doubled = min(ticket.turned_away, PATIENCE_DOUBLED_MAX)
        found[PATIENCE_TIMER] = ticket.asked_at + (PATIENCE_MS << doubled) * 1_000
    if ticket.compensates and ticket.status in (Status.READY, Status.ASSIGNED):
        found[TIMEOUT_TIMER] = ticket.deadline_at  # no deadline of the workflow bounds it any more
    elif ticket.retry_at is not None:
        found[RETRY_TIMER] = ticket.retry_at
    return found


def counters(event: TicketEvent, before: Ticket | None, after: Ticket) -> Iterable[tuple[str, int]]:
    """What an event moves beside its ticket: open dependencies of others, how a workflow's tickets stand, and what is
    asked of agents.

    The cost is that of the ticket's own dependents, however large the workflow is.
    """
    created = after.created
    yield from _moved_slot(before, after)
    if isinstance(event, TicketDispatched):
        yield tally.given_out(created.workflow_id), 1
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


def _moved_slot(before: Ticket | None, after: Ticket) -> Iterable[tuple[str, int]]:
    was_queued, slot = (before.is_queued, before.slot) if before is not None else (False, None)
    was_asking = before is not None and before.is_asking
    if was_queued != after.is_queued:
        yield tally.queued(after.created.workflow_id), 1 if after.is_queued else -1
    if was_asking != after.is_asking:
        yield tally.asking(after.created.workflow_id), 1 if after.is_asking else -1
    if slot != after.slot:
        if slot is not None:
            yield tally.outstanding(slot.agent_id), -1
        if after.slot is not None:
            yield tally.outstanding(after.slot.agent_id), 1


def can_be_frozen(ticket: Ticket) -> bool:
    """Whether freezes concern it: a deployment, unless it is being undone."""
    return ticket.created.task.task_type is TaskType.DEPLOY and not ticket.compensates


def ability(ticket: Ticket) -> str:
    """The same for all tickets that the same agents can do."""
    task = ticket.created.task
    return _derived(task.task_type, *task.required_capabilities)


def requirement(ticket: Ticket) -> str:
    """The same for all tickets that the same agents can do, and the same freezes concern; begins their places in a
    queue.
    """
    if not can_be_frozen(ticket):
        return ability(ticket)
    task = ticket.created.task
    place = "\0".join(task.parameters.get(name, "") for name in (SERVICE, NAMESPACE))
    if OPENING in place:  # what it stands for is another thing in each workflow
        place = f"{ticket.created.workflow_id}\0{place}"
    return _derived(f"{task.task_type} {place}", *task.required_capabilities)


@lru_cache(maxsize=1_000)
def _derived(first: str, *capabilities: str) -> str:
    return derived_id(first, *sorted(set(capabilities)))


def held_kind(ticket: Ticket) -> str:
    """The same for all held tickets that the same agents can do, and the same freezes hold."""
    freezes = (f"{freeze.freeze_id} {freeze.policy_revision}" for freeze in ticket.held)
    return derived_id(requirement(ticket), str(ticket.held_count), *freezes)


def queues(ticket: Ticket) -> Mapping[str, str]:
    """A ready ticket stands in its workflow's queue and, until an agent is chosen, in that of all workflows, or in that
    of those that are held.

    Those that the same agents can do stand together, in the order of their places. What depends on nothing stands
    among its workflow's roots, and what is to be undone waits for its turn.
    """
    workflow_id = ticket.created.workflow_id
    found = {} if ticket.created.dependencies else {tally.roots(workflow_id): ""}
    if ticket.status is Status.READY:
        place = f"{requirement(ticket)}/{ticket.place:020d}"
        found[tally.ready_queue(workflow_id)] = place
        if ticket.is_queued and ticket.held:
            found[tally.HELD_QUEUE] = f"{held_kind(ticket)}/{ticket.place:020d}"
            found[tally.held_queue(workflow_id)] = f"{ticket.place:020d}"
        elif ticket.is_queued:
            found[tally.READY_QUEUE] = place
    elif ticket.status is Status.COMPLETED and ticket.undo_position and not ticket.compensates:
        found[tally.to_undo(workflow_id)] = f"{ticket.undo_position:06d}"
    return found
