"""A ticket: one task of a workflow on its way to an agent and back.

Protects: no ticket is worked on before what it depends on is complete, or by two attempts at once; every attempt
ends once; what has ended never changes. A result that cannot be true is put aside, and says why.

An attempt that went wrong is tried again, up to the task's `max_retries`, after a wait (`backoff.py`) and before the
deadline; never if its delivery is AT_MOST_ONCE: nobody knows how far it came. An attempt that has begun and is not
heard of for its task's time limit and a grace has timed out.

What a completed ticket did can be undone once, by its task's `compensation`: that is an attempt like any other.
"""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from hashlib import sha256
from typing import Final, assert_never

import msgspec

from neural_hive.aggregates import tally
from neural_hive.aggregates.aggregate import Aggregate, Command, Event, Rejected, members
from neural_hive.aggregates.backoff import backoff_ms
from neural_hive.aggregates.made import Made, excess
from neural_hive.aggregates.vocabulary import (
    Artifact,
    Consistency,
    DeliveryMode,
    Durability,
    Outcome,
    Priority,
    RiskBand,
    SecurityLevel,
    Task,
    TaskType,
)

ERROR_CHARS_MAX: Final = 16_384
REASON_CHARS_MAX: Final = 1_000  # one reason may cancel thousands of tickets
AGENT_CHARS_MAX: Final = 128
RETRY_TIMER: Final = "retry"
TIMEOUT_TIMER: Final = "timeout"
# The agent ends an attempt at its time limit by itself. This is how much later it is no longer waited for: time enough
# for a killed agent to be back and to say so.
GRACE_MS: Final = 60_000


class TicketContent(msgspec.Struct, frozen=True):
    """What a ticket is from its first moment to its last."""

    ticket_id: str
    workflow_id: str
    plan_id: str
    task: Task
    dependencies: tuple[str, ...]
    dependents: tuple[str, ...]
    priority: Priority
    risk_band: RiskBand
    priority_score: float
    deadline_at: int
    delivery_mode: DeliveryMode
    consistency: Consistency
    durability: Durability
    created_at: int


class CreateTicket(TicketContent, Command, frozen=True):
    """Make a ticket of a task."""


class ReadyTicket(Command, frozen=True):
    """All that the ticket depends on is complete."""

    ready_at: int


class DispatchTicket(Command, frozen=True):
    """Give the ticket to an agent, with its references filled in."""

    agent_id: str
    command: tuple[str, ...]
    parameters: dict[str, str]
    environment: dict[str, str]
    inputs: tuple[Artifact, ...]
    dispatched_at: int
    webhook_url: str = ""
    deadline_at: int = 0  # 0: that of its creation


class GiveUpTicket(Command, frozen=True):
    """The ticket cannot be given to any agent: what it needs is not there."""

    error: str
    given_up_at: int


class RecordStart(Command, frozen=True):
    """An agent says that it has begun an attempt; `recorded_at` is when the log heard of it."""

    attempt: int
    agent_id: str
    started_at: int
    recorded_at: int


class RecordResult(Command, frozen=True):
    """An agent says how an attempt ended; `recorded_at` is when the log heard of it."""

    attempt: int
    agent_id: str
    outcome: Outcome
    started_at: int
    completed_at: int
    exit_code: int | None
    outputs: dict[str, str]
    artifacts: tuple[Artifact, ...]
    error: str
    recorded_at: int


class TimeOutTicket(Command, frozen=True):
    """Nothing was heard of an attempt for longer than it may take."""

    timed_out_at: int


class CancelTicket(Command, frozen=True):
    """The ticket shall not be executed, or no longer."""

    reason: str
    cancelled_at: int


class CompensateTicket(Command, frozen=True):
    """Undo what the ticket did: give its compensation to an agent, unless what that takes is `missing`."""

    agent_id: str
    command: tuple[str, ...]
    parameters: dict[str, str]
    environment: dict[str, str]
    inputs: tuple[Artifact, ...]
    dispatched_at: int
    deadline_at: int
    missing: str = ""


class RetryNow(Command, frozen=True):
    """Somebody asked for another attempt, beyond `max_retries` too."""

    reason: str
    requested_by: str
    asked_at: int


class CompleteElsewhere(Command, frozen=True):
    """Somebody says that the work was done outside."""

    outputs: dict[str, str]
    reason: str
    requested_by: str
    completed_at: int


class RefuseRequest(Command, frozen=True):
    """What somebody asked for is not possible in the ticket's workflow."""

    request: str
    reason: str
    requested_by: str


TicketCommand = (
    CreateTicket
    | ReadyTicket
    | DispatchTicket
    | GiveUpTicket
    | RecordStart
    | RecordResult
    | TimeOutTicket
    | CancelTicket
    | CompensateTicket
    | RetryNow
    | CompleteElsewhere
    | RefuseRequest
)


class TicketCreated(TicketContent, Event, frozen=True):
    """A task of a workflow has become a ticket."""


class OfTicket(Event, frozen=True):
    """What all later events of a ticket begin with."""

    ticket_id: str
    workflow_id: str


class OfAttempt(OfTicket, frozen=True):
    """What all events of one attempt begin with."""

    attempt: int
    agent_id: str


class TicketReady(OfTicket, frozen=True):
    """All that a ticket depends on is complete."""

    ready_at: int


class TicketDispatched(OfTicket, frozen=True):
    """A ticket was given to an agent, with all that the agent needs to execute it."""

    plan_id: str
    task_id: str
    task_type: TaskType
    attempt: int
    allocated_agent_id: str
    webhook_url: str
    command: tuple[str, ...]
    parameters: dict[str, str]
    environment: dict[str, str]
    timeout_ms: int
    deadline_at: int
    security_level: SecurityLevel
    inputs: tuple[Artifact, ...]
    dispatched_at: int
    compensates: bool = False


class TicketStarted(OfAttempt, frozen=True):
    """An agent has begun an attempt at a ticket."""

    started_at: int
    expires_at: int = 0  # 0: nobody waits for that


class TicketCompleted(OfAttempt, frozen=True):
    """An attempt at a ticket has done what it should."""

    started_at: int
    completed_at: int
    exit_code: int | None
    outputs: dict[str, str]
    artifacts: tuple[Artifact, ...]
    completed_by: str = ""  # empty: the agent says so
    remark: str = ""


class TicketFailed(OfAttempt, frozen=True):
    """An attempt at a ticket has failed; attempt 0: it could not be given to any agent."""

    started_at: int
    completed_at: int
    exit_code: int | None
    outputs: dict[str, str]
    artifacts: tuple[Artifact, ...]
    error: str


class TicketTimedOut(OfAttempt, frozen=True):
    """An attempt at a ticket took longer than it may."""

    timed_out_at: int
    error: str


class TicketRetryScheduled(OfTicket, frozen=True):
    """An attempt at a ticket went wrong, and the ticket will be tried again."""

    attempt: int
    due_at: int
    reason: str


class TicketCancelled(OfTicket, frozen=True):
    """A ticket will not be executed, or no longer."""

    reason: str
    cancelled_at: int


class TicketResultRefused(OfAttempt, frozen=True):
    """A start or a result that cannot be true of its ticket was put aside."""

    reason: str


class OfCompensation(OfAttempt, frozen=True):
    """What the ends of a compensation begin with."""

    started_at: int
    completed_at: int
    exit_code: int | None
    artifacts: tuple[Artifact, ...]


class TicketCompensated(OfCompensation, frozen=True):
    """What a ticket had done was undone, since its workflow failed."""


class TicketCompensationFailed(OfCompensation, frozen=True):
    """What a ticket had done could not be undone: it stays completed."""

    error: str


class TicketCommandRefused(OfTicket, frozen=True):
    """A ticket was asked for something that its state does not allow."""

    command: str
    reason: str
    requested_by: str


TicketEvent = (
    TicketCreated
    | TicketReady
    | TicketDispatched
    | TicketStarted
    | TicketCompleted
    | TicketFailed
    | TicketTimedOut
    | TicketRetryScheduled
    | TicketCancelled
    | TicketResultRefused
    | TicketCommandRefused
    | TicketCompensated
    | TicketCompensationFailed
)


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


def decide(ticket: Ticket | None, command: TicketCommand) -> list[TicketEvent]:
    """The events that follow from a command. Raises Rejected: the command makes no sense of this ticket."""
    match command:
        case CreateTicket():
            return _create(ticket, command)
        case ReadyTicket():
            return _make_ready(_existing(ticket), command)
        case DispatchTicket():
            return _dispatch(_existing(ticket), command)
        case GiveUpTicket():
            return _give_up(_existing(ticket), command)
        case RecordStart():
            return _record_start(_existing(ticket), command)
        case RecordResult():
            return _record_result(_existing(ticket), command)
        case TimeOutTicket():
            return _time_out(_existing(ticket), command)
        case CancelTicket():
            return _cancel(_existing(ticket), command)
        case CompensateTicket():
            return _compensate(_existing(ticket), command)
        case RetryNow():
            return _retry_now(_existing(ticket), command)
        case CompleteElsewhere():
            return _complete_elsewhere(_existing(ticket), command)
        case RefuseRequest():
            return _refuse_request(_existing(ticket), command.request, command.reason, command.requested_by)
        case _:
            assert_never(command)


def _existing(ticket: Ticket | None) -> Ticket:
    if ticket is None:
        raise Rejected(
            "there is no such ticket: check the ticket id and that the routing id is its workflow's"
        )
    return ticket


def _create(ticket: Ticket | None, command: CreateTicket) -> list[TicketEvent]:
    created = TicketCreated(**{name: getattr(command, name) for name in command.__struct_fields__})
    if ticket is None:
        return [created]
    if ticket.created == created:
        return []
    raise Rejected(f"ticket {command.ticket_id} exists with another content")


def _make_ready(ticket: Ticket, command: ReadyTicket) -> list[TicketEvent]:
    if ticket.status is not Status.PENDING:
        return _unless_finished(ticket, Status.READY)
    return [TicketReady(*_ids(ticket), command.ready_at)]


def _dispatch(ticket: Ticket, command: DispatchTicket) -> list[TicketEvent]:
    if ticket.status in (Status.ASSIGNED, Status.RUNNING):
        return []
    if ticket.status is not Status.READY:
        raise Rejected(f"a ticket that is {ticket.status} cannot become {Status.ASSIGNED}")
    created, task = ticket.created, ticket.created.task
    return [
        TicketDispatched(
            created.ticket_id,
            created.workflow_id,
            created.plan_id,
            task.task_id,
            task.task_type,
            ticket.attempt + 1,
            command.agent_id,
            command.webhook_url,
            command.command,
            command.parameters,
            command.environment,
            task.timeout_ms,
            command.deadline_at or created.deadline_at,
            task.security_level,
            command.inputs,
            command.dispatched_at,
        )
    ]


def _give_up(ticket: Ticket, command: GiveUpTicket) -> list[TicketEvent]:
    if ticket.status is Status.FAILED:
        return []
    if ticket.status is not Status.READY:
        raise Rejected(f"a ticket that is {ticket.status} is not waiting for an agent")
    at = command.given_up_at
    error = _capped(command.error)
    return [TicketFailed(*_ids(ticket), ticket.attempt, "", at, at, None, {}, (), error)]


def _record_start(ticket: Ticket, command: RecordStart) -> list[TicketEvent]:
    refusal = _stale(ticket, command)
    if refusal:
        return _refuse(ticket, command, refusal)
    if ticket.status is not Status.ASSIGNED:
        return []  # the same attempt said so before, or has ended already
    return [_started(ticket, command)]


def _started(ticket: Ticket, command: RecordStart | RecordResult) -> TicketStarted:
    expires_at = command.recorded_at + (ticket.created.task.timeout_ms + GRACE_MS) * 1_000
    return TicketStarted(*_ids(ticket), command.attempt, command.agent_id, command.started_at, expires_at)


def _record_result(ticket: Ticket, command: RecordResult) -> list[TicketEvent]:
    if command.outcome is Outcome.UNKNOWN:
        raise Rejected("the outcome is missing or not known: COMPLETED, FAILED, TIMED_OUT or CANCELLED")
    refusal = _stale(ticket, command) or _impossible(command)
    if not refusal and ticket.attempt_ended is not None:
        if _says_the_same(ticket, command):
            return []
        refusal = f"the attempt has ended as {ticket.attempt_ended} already"
    if refusal:
        return _refuse(ticket, command, refusal)
    started = [_started(ticket, command)] if ticket.status is Status.ASSIGNED else []
    if ticket.compensates:
        return [*started, _undone(ticket, command)]
    ended = _ended(ticket, command)
    return [*started, ended, *_tried_again(ticket, ended, command.recorded_at)]


def _tried_again(ticket: Ticket, ended: TicketEvent, now: int) -> list[TicketEvent]:
    """The next attempt's appointment, if there is to be one."""
    if not isinstance(ended, TicketFailed | TicketTimedOut):
        return []
    due_at = now + backoff_ms(ended.attempt) * 1_000
    if not can_retry(evolve(ticket, ended), due_at):
        return []
    reason = _capped(ended.error, REASON_CHARS_MAX)
    return [TicketRetryScheduled(*_ids(ticket), ended.attempt, due_at, reason)]


def _stale(ticket: Ticket, command: RecordStart | RecordResult) -> str:
    """Why the report cannot be about the ticket's last attempt; empty if it can."""
    if ticket.attempt == 0:
        return f"the ticket is {ticket.status}: it was never given to an agent"
    if command.attempt != ticket.attempt:
        return f"it is about attempt {command.attempt}, and the ticket's last is {ticket.attempt}"
    if command.agent_id != ticket.agent_id:
        return f"attempt {ticket.attempt} was given to {ticket.agent_id}"
    return ""


def _impossible(result: RecordResult) -> str:
    if result.completed_at < result.started_at:
        return "it says that the attempt ended before it began"
    return ""


def _says_the_same(ticket: Ticket, result: RecordResult) -> bool:
    if ticket.attempt_ended is None or result.outcome.value != ticket.attempt_ended.value:
        return False
    return ticket.attempt_ended is not Status.COMPLETED or ticket.made == Made(
        result.outputs, result.artifacts
    )


def _refuse(ticket: Ticket, command: RecordStart | RecordResult, reason: str) -> list[TicketEvent]:
    agent_id = _capped(command.agent_id, AGENT_CHARS_MAX)
    refused = TicketResultRefused(*_ids(ticket), command.attempt, agent_id, reason)
    return [] if ticket.last_refusal == _refusal_key(refused) else [refused]


def _refusal_key(refused: TicketResultRefused | TicketCommandRefused) -> str:
    if isinstance(refused, TicketCommandRefused):
        return f"{refused.command} {refused.requested_by} {refused.reason}"
    return f"{refused.attempt} {refused.agent_id} {refused.reason}"


def _ended(ticket: Ticket, result: RecordResult) -> TicketEvent:
    begin, times = (*_ids(ticket), result.attempt, result.agent_id), (result.started_at, result.completed_at)
    too_much = excess(Made(result.outputs, result.artifacts))
    if too_much:
        return TicketFailed(*begin, *times, result.exit_code, {}, (), too_much)
    error = _capped(result.error)
    match result.outcome:
        case Outcome.COMPLETED:
            return TicketCompleted(*begin, *times, result.exit_code, result.outputs, result.artifacts)
        case Outcome.FAILED | Outcome.UNKNOWN:
            return TicketFailed(*begin, *times, result.exit_code, result.outputs, result.artifacts, error)
        case Outcome.TIMED_OUT:
            return TicketTimedOut(*begin, result.completed_at, error)
        case Outcome.CANCELLED:
            return TicketCancelled(
                *_ids(ticket), error or f"{result.agent_id} cancelled it", result.completed_at
            )
        case _:
            assert_never(result.outcome)


def _compensate(ticket: Ticket, command: CompensateTicket) -> list[TicketEvent]:
    if ticket.compensates:
        return []
    if ticket.status is not Status.COMPLETED:
        raise Rejected(f"a ticket that is {ticket.status} has done nothing that could be undone")
    at, created, task = command.dispatched_at, ticket.created, ticket.created.task
    if command.missing:
        return [_not_undone(ticket, at, command.missing)]
    return [
        TicketDispatched(
            created.ticket_id,
            created.workflow_id,
            created.plan_id,
            task.task_id,
            task.task_type,
            ticket.attempt + 1,
            command.agent_id,
            "",
            command.command,
            command.parameters,
            command.environment,
            task.timeout_ms,
            command.deadline_at,
            task.security_level,
            command.inputs,
            at,
            compensates=True,
        )
    ]


def _undone(ticket: Ticket, result: RecordResult) -> TicketEvent:
    """How the compensation ended."""
    about = (*_ids(ticket), result.attempt, result.agent_id, result.started_at, result.completed_at)
    error = excess(Made(result.outputs, result.artifacts))
    artifacts = () if error else result.artifacts
    if result.outcome is Outcome.COMPLETED and not error:
        return TicketCompensated(*about, result.exit_code, artifacts)
    error = error or _capped(result.error) or f"it ended as {result.outcome}"
    return TicketCompensationFailed(*about, result.exit_code, artifacts, error)


def _not_undone(ticket: Ticket, at: int, error: str) -> TicketEvent:
    """A compensation that has no result."""
    return TicketCompensationFailed(
        *_ids(ticket), ticket.attempt, ticket.agent_id, at, at, None, (), _capped(error)
    )


def _time_out(ticket: Ticket, command: TimeOutTicket) -> list[TicketEvent]:
    if not 0 < timers(ticket).get(TIMEOUT_TIMER, 0) <= command.timed_out_at:
        return []
    if ticket.compensates:
        return [_not_undone(ticket, command.timed_out_at, "no result in time")]
    silent = (
        f"no result within its time limit of {ticket.created.task.timeout_ms} ms and {GRACE_MS} ms of grace"
    )
    timed_out = TicketTimedOut(*_ids(ticket), ticket.attempt, ticket.agent_id, command.timed_out_at, silent)
    return [timed_out, *_tried_again(ticket, timed_out, command.timed_out_at)]


def _cancel(ticket: Ticket, command: CancelTicket) -> list[TicketEvent]:
    if is_finished(ticket) or ticket.compensates:
        return []
    return [TicketCancelled(*_ids(ticket), _capped(command.reason, REASON_CHARS_MAX), command.cancelled_at)]


def _retry_now(ticket: Ticket, command: RetryNow) -> list[TicketEvent]:
    refusal = ""
    if ticket.attempt == 0 or ticket.status not in (Status.PENDING, Status.FAILED, Status.TIMED_OUT):
        refusal = (
            f"the ticket is {ticket.status}, after {ticket.attempt} attempts: there is nothing to try again"
        )
    elif ticket.created.delivery_mode is DeliveryMode.AT_MOST_ONCE:
        refusal = "what is delivered AT_MOST_ONCE is never tried again"
    if refusal:
        return _refuse_request(ticket, "RetryTicket", refusal, command.requested_by)
    if ticket.retry_at == command.asked_at:
        return []
    reason = _capped(f"{command.requested_by or 'somebody'} asked for it: {command.reason}", REASON_CHARS_MAX)
    return [TicketRetryScheduled(*_ids(ticket), ticket.attempt, command.asked_at, reason)]


def _complete_elsewhere(ticket: Ticket, command: CompleteElsewhere) -> list[TicketEvent]:
    made = Made(command.outputs)
    if ticket.status is Status.COMPLETED and ticket.made.outputs == command.outputs:
        return []
    refusal = excess(made)
    if ticket.status not in (Status.ASSIGNED, Status.RUNNING):
        refusal = f"the ticket is {ticket.status}: only one that an agent works on can be completed elsewhere"
    elif ticket.compensates:
        refusal = "the ticket is being undone: its workflow has failed"
    if refusal:
        return _refuse_request(ticket, "CompleteTicket", refusal, command.requested_by)
    at, begin = command.completed_at, (*_ids(ticket), ticket.attempt, ticket.agent_id)
    started: list[TicketEvent] = [TicketStarted(*begin, at)] if ticket.status is Status.ASSIGNED else []
    started_at = min(at if ticket.started_at is None else ticket.started_at, at)
    by, remark = _capped(command.requested_by, REASON_CHARS_MAX), _capped(command.reason, REASON_CHARS_MAX)
    completed = TicketCompleted(*begin, started_at, at, None, made.outputs, (), by or "somebody", remark)
    return [*started, completed]


def _refuse_request(ticket: Ticket, request: str, reason: str, by: str) -> list[TicketEvent]:
    refused = TicketCommandRefused(
        *_ids(ticket), request, _capped(reason, REASON_CHARS_MAX), _capped(by, REASON_CHARS_MAX)
    )
    return [] if ticket.last_refusal == _refusal_key(refused) else [refused]


def _unless_finished(ticket: Ticket, wanted: Status) -> list[TicketEvent]:
    """Nothing to do if the ticket is past the wanted status; refused if it has ended another way."""
    if ticket.status in (Status.FAILED, Status.TIMED_OUT, Status.CANCELLED):
        _allowed(ticket, wanted)
    return []


def _allowed(ticket: Ticket, wanted: Status) -> None:
    if wanted not in TRANSITIONS[ticket.status]:
        raise Rejected(f"a ticket that is {ticket.status} cannot become {wanted}")


def _ids(ticket: Ticket) -> tuple[str, str]:
    return ticket.created.ticket_id, ticket.created.workflow_id


def _capped(text: str, chars_max: int = ERROR_CHARS_MAX) -> str:
    return text if len(text) <= chars_max else text[: chars_max - 1] + "…"


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
            return change(ticket, last_refusal=_refusal_key(event))
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


TICKET = Aggregate(
    "ticket", "execution.tickets", Ticket, members(TicketEvent), decide, evolve, timers, counters
)
