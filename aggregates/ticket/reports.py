"""What is heard of an attempt: its start, its result, or nothing in time."""

from typing import assert_never

from neural_hive.aggregates.aggregate import Rejected
from neural_hive.aggregates.backoff import backoff_ms
from neural_hive.aggregates.made import Made, excess
from neural_hive.aggregates.ticket.commands import RecordResult, RecordStart, TimeOutTicket
from neural_hive.aggregates.ticket.events import (
    TicketCancelled,
    TicketCompensated,
    TicketCompensationFailed,
    TicketCompleted,
    TicketEvent,
    TicketFailed,
    TicketResultRefused,
    TicketRetryScheduled,
    TicketStarted,
    TicketTimedOut,
)
from neural_hive.aggregates.ticket.state import (
    GRACE_MS,
    TIMEOUT_TIMER,
    Status,
    Ticket,
    can_retry,
    evolve,
    refusal_key,
    timers,
)
from neural_hive.aggregates.ticket.words import AGENT_CHARS_MAX, REASON_CHARS_MAX, attempt_ids, capped, ids
from neural_hive.aggregates.vocabulary import Outcome


def record_start(ticket: Ticket, command: RecordStart) -> list[TicketEvent]:
    refusal = _stale(ticket, command)
    if refusal:
        return _refuse(ticket, command, refusal)
    if ticket.status is not Status.ASSIGNED:
        return []  # the same attempt said so before, or has ended already
    return [_started(ticket, command)]


def _started(ticket: Ticket, command: RecordStart | RecordResult) -> TicketStarted:
    expires_at = command.recorded_at + (ticket.created.task.timeout_ms + GRACE_MS) * 1_000
    return TicketStarted(*ids(ticket), command.attempt, command.agent_id, command.started_at, expires_at)


def record_result(ticket: Ticket, command: RecordResult) -> list[TicketEvent]:
    if command.outcome is Outcome.UNKNOWN:
        raise Rejected("the outcome is missing or not known: COMPLETED, FAILED, TIMED_OUT or CANCELLED")
    refusal = _stale(ticket, command) or _impossible(command)
    if not refusal and ticket.attempt_ended is not None:
        if _says_the_same(ticket, command):
            return []
        refusal = f"the attempt has ended as {ticket.attempt_ended} already"
    if refusal:
        return _refuse(ticket, command, refusal)
    started = [_started(ticket, command)] if _implies_start(ticket, command) else []
    if ticket.compensates:
        undone = _undone(ticket, command)
        return [*started, undone, *_tried_again(ticket, undone, command.recorded_at, 0)]
    ended = _ended(ticket, command)
    return [*started, ended, *_tried_again(ticket, ended, command.recorded_at, command.deadline_at)]


def _implies_start(ticket: Ticket, command: RecordResult) -> bool:
    """Whether the attempt must have begun, though nobody said so: not if its time was over before it could."""
    never_begun = command.outcome is Outcome.TIMED_OUT and not ticket.compensates
    return ticket.status is Status.ASSIGNED and not never_begun


def _tried_again(ticket: Ticket, ended: TicketEvent, now: int, deadline_at: int) -> list[TicketEvent]:
    """The next attempt's appointment, if there is to be one."""
    if not isinstance(ended, TicketFailed | TicketTimedOut | TicketCompensationFailed):
        return []
    tries = ticket.undo_tries if ticket.compensates else ended.attempt
    due_at = now + backoff_ms(tries) * 1_000
    if not can_retry(evolve(ticket, ended), due_at, deadline_at):
        return []
    reason = capped(ended.error, REASON_CHARS_MAX)
    return [TicketRetryScheduled(*ids(ticket), ended.attempt, due_at, reason)]


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
    if ticket.compensates:
        return (result.outcome is Outcome.COMPLETED) == (ticket.attempt_ended is Status.COMPLETED)
    if ticket.attempt_ended is None or result.outcome.value != ticket.attempt_ended.value:
        return False
    return ticket.attempt_ended is not Status.COMPLETED or ticket.made == Made(
        result.outputs, result.artifacts
    )


def _refuse(ticket: Ticket, command: RecordStart | RecordResult, reason: str) -> list[TicketEvent]:
    agent_id = capped(command.agent_id, AGENT_CHARS_MAX)
    refused = TicketResultRefused(*ids(ticket), command.attempt, agent_id, reason)
    return [] if ticket.last_refusal == refusal_key(refused) else [refused]


def _ended(ticket: Ticket, result: RecordResult) -> TicketEvent:
    begin, times = (*ids(ticket), result.attempt, result.agent_id), (result.started_at, result.completed_at)
    too_much = excess(Made(result.outputs, result.artifacts))
    if too_much:
        return TicketFailed(*begin, *times, result.exit_code, {}, (), too_much)
    error = capped(result.error)
    match result.outcome:
        case Outcome.COMPLETED:
            return TicketCompleted(*begin, *times, result.exit_code, result.outputs, result.artifacts)
        case Outcome.FAILED | Outcome.UNKNOWN:
            return TicketFailed(*begin, *times, result.exit_code, result.outputs, result.artifacts, error)
        case Outcome.TIMED_OUT:
            return TicketTimedOut(*begin, result.completed_at, error)
        case Outcome.CANCELLED:
            reason = error or f"{result.agent_id} cancelled it"
            return TicketCancelled(*ids(ticket), reason, result.completed_at, result.attempt, result.agent_id)
        case _:
            assert_never(result.outcome)


def _undone(ticket: Ticket, result: RecordResult) -> TicketEvent:
    """How the compensation ended."""
    about = (*ids(ticket), result.attempt, result.agent_id, result.started_at, result.completed_at)
    error = excess(Made(result.outputs, result.artifacts))
    artifacts = () if error else result.artifacts
    if result.outcome is Outcome.COMPLETED and not error:
        return TicketCompensated(*about, result.exit_code, artifacts)
    error = error or capped(result.error) or f"it ended as {result.outcome}"
    return TicketCompensationFailed(*about, result.exit_code, artifacts, error)


def not_undone(ticket: Ticket, at: int, error: str) -> TicketEvent:
    """A compensation that has no result."""
    return TicketCompensationFailed(*attempt_ids(ticket), at, at, None, (), capped(error))


def time_out(ticket: Ticket, command: TimeOutTicket) -> list[TicketEvent]:
    if not 0 < timers(ticket).get(TIMEOUT_TIMER, 0) <= command.timed_out_at:
        return []
    silent = _silence(ticket)
    at = command.timed_out_at
    timed_out: TicketEvent = TicketTimedOut(*attempt_ids(ticket), at, silent)
    if ticket.compensates:
        timed_out = not_undone(ticket, at, silent)
    return [timed_out, *_tried_again(ticket, timed_out, command.timed_out_at, command.deadline_at)]


def _silence(ticket: Ticket) -> str:
    if ticket.status is Status.READY:
        return "no agent took it in time"
    if ticket.status is Status.ASSIGNED:
        return f"{ticket.agent_id} did not begin in time, nor {GRACE_MS} ms later"
    return (
        f"no result within its time limit of {ticket.created.task.timeout_ms} ms and {GRACE_MS} ms of grace"
    )
