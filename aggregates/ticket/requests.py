"""What people ask of a ticket."""

from neural_hive.aggregates.made import Made, excess
from neural_hive.aggregates.ticket.commands import CompleteElsewhere, RetryNow
from neural_hive.aggregates.ticket.events import (
    TicketCompleted,
    TicketEvent,
    TicketRetryScheduled,
    TicketStarted,
)
from neural_hive.aggregates.ticket.state import Status, Ticket
from neural_hive.aggregates.ticket.words import REASON_CHARS_MAX, attempt_ids, capped, ids, refuse_request
from neural_hive.aggregates.vocabulary import DeliveryMode


def retry_now(ticket: Ticket, command: RetryNow) -> list[TicketEvent]:
    refusal = ""
    if ticket.attempt == 0 or ticket.status not in (Status.PENDING, Status.FAILED, Status.TIMED_OUT):
        refusal = (
            f"the ticket is {ticket.status}, after {ticket.attempt} attempts: there is nothing to try again"
        )
    elif ticket.compensates:
        refusal = "the ticket is being undone: its workflow has failed"
    elif ticket.created.delivery_mode is DeliveryMode.AT_MOST_ONCE:
        refusal = "what is delivered AT_MOST_ONCE is never tried again"
    if refusal:
        return refuse_request(ticket, "RetryTicket", refusal, command.requested_by)
    if ticket.retry_at == command.asked_at:
        return []
    reason = capped(f"{command.requested_by or 'somebody'} asked for it: {command.reason}", REASON_CHARS_MAX)
    return [TicketRetryScheduled(*ids(ticket), ticket.attempt, command.asked_at, reason)]


def complete_elsewhere(ticket: Ticket, command: CompleteElsewhere) -> list[TicketEvent]:
    made = Made(command.outputs)
    if ticket.status is Status.COMPLETED and ticket.made.outputs == command.outputs:
        return []
    refusal = excess(made)
    if ticket.status not in (Status.ASSIGNED, Status.RUNNING):
        refusal = f"the ticket is {ticket.status}: only one that an agent works on can be completed elsewhere"
    elif ticket.compensates:
        refusal = "the ticket is being undone: its workflow has failed"
    if refusal:
        return refuse_request(ticket, "CompleteTicket", refusal, command.requested_by)
    at, begin = command.completed_at, attempt_ids(ticket)
    started: list[TicketEvent] = [TicketStarted(*begin, at)] if ticket.status is Status.ASSIGNED else []
    started_at = min(at if ticket.started_at is None else ticket.started_at, at)
    by, remark = capped(command.requested_by, REASON_CHARS_MAX), capped(command.reason, REASON_CHARS_MAX)
    completed = TicketCompleted(*begin, started_at, at, None, made.outputs, (), by or "somebody", remark)
    return [*started, completed]
