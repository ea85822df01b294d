"""How a ticket comes to be, is given to an agent, and is cancelled or undone."""

from neural_hive.aggregates.aggregate import Rejected
from neural_hive.aggregates.ticket.commands import (
    CancelTicket,
    CompensateTicket,
    CreateTicket,
    DispatchTicket,
    GiveUpTicket,
    ReadyTicket,
)
from neural_hive.aggregates.ticket.events import (
    TicketCancelled,
    TicketCreated,
    TicketDispatched,
    TicketEvent,
    TicketFailed,
    TicketReady,
)
from neural_hive.aggregates.ticket.reports import not_undone
from neural_hive.aggregates.ticket.state import Status, Ticket, is_finished
from neural_hive.aggregates.ticket.words import REASON_CHARS_MAX, allowed, capped, ids


def create(ticket: Ticket | None, command: CreateTicket) -> list[TicketEvent]:
    created = TicketCreated(**{name: getattr(command, name) for name in command.__struct_fields__})
    if ticket is None:
        return [created]
    if ticket.created == created:
        return []
    raise Rejected(f"ticket {command.ticket_id} exists with another content")


def make_ready(ticket: Ticket, command: ReadyTicket) -> list[TicketEvent]:
    if ticket.status is not Status.PENDING:
        return _unless_finished(ticket, Status.READY)
    return [TicketReady(*ids(ticket), command.ready_at)]


def dispatch(ticket: Ticket, command: DispatchTicket) -> list[TicketEvent]:
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


def give_up(ticket: Ticket, command: GiveUpTicket) -> list[TicketEvent]:
    if ticket.status is Status.FAILED:
        return []
    if ticket.status is not Status.READY:
        raise Rejected(f"a ticket that is {ticket.status} is not waiting for an agent")
    at = command.given_up_at
    error = capped(command.error)
    return [TicketFailed(*ids(ticket), ticket.attempt, "", at, at, None, {}, (), error)]


def compensate(ticket: Ticket, command: CompensateTicket) -> list[TicketEvent]:
    if ticket.compensates:
        return []
    if ticket.status is not Status.COMPLETED:
        raise Rejected(f"a ticket that is {ticket.status} has done nothing that could be undone")
    at, created, task = command.dispatched_at, ticket.created, ticket.created.task
    if command.missing:
        return [not_undone(ticket, at, command.missing)]
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


def cancel(ticket: Ticket, command: CancelTicket) -> list[TicketEvent]:
    if is_finished(ticket) or ticket.compensates:
        return []
    return [TicketCancelled(*ids(ticket), capped(command.reason, REASON_CHARS_MAX), command.cancelled_at)]


def _unless_finished(ticket: Ticket, wanted: Status) -> list[TicketEvent]:
    """Nothing to do if the ticket is past the wanted status; refused if it has ended another way."""
    if ticket.status in (Status.FAILED, Status.TIMED_OUT, Status.CANCELLED):
        allowed(ticket, wanted)
    return []
