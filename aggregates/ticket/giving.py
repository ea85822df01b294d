"""How a ticket comes to be, is given to an agent, and is cancelled or undone."""

from neural_hive.aggregates.aggregate import Rejected
from neural_hive.aggregates.ticket.commands import (
    AllocateTicket,
    CancelTicket,
    CompensateTicket,
    CreateTicket,
    DispatchTicket,
    GiveUpTicket,
    PlanCompensation,
    ReadyTicket,
    RequeueTicket,
    UnallocateTicket,
)
from neural_hive.aggregates.ticket.events import (
    TicketAllocated,
    TicketCancelled,
    TicketCompensationPlanned,
    TicketCreated,
    TicketDispatched,
    TicketEvent,
    TicketFailed,
    TicketReady,
    TicketReleased,
    TicketRequeued,
    TicketUnallocated,
)
from neural_hive.aggregates.ticket.reports import not_undone
from neural_hive.aggregates.ticket.state import START_WITHIN_MS, Slot, Status, Ticket, is_finished
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
    again = (True, ticket.deadline_at) if ticket.compensates else ()
    return [TicketReady(*ids(ticket), command.ready_at, command.place, *again)]


def requeue(ticket: Ticket, command: RequeueTicket) -> list[TicketEvent]:
    if ticket.status is not Status.READY or ticket.place == command.place:
        return []
    at, reason = command.requeued_at, capped(command.reason, REASON_CHARS_MAX)
    requeued = TicketRequeued(*ids(ticket), command.place, at, reason)
    if ticket.held and not command.place:
        return [requeued, TicketReleased(*ids(ticket), (), at)]
    if ticket.slot is None:
        return [requeued]
    return [requeued, _unallocated(ticket, ticket.slot, reason, at)] if not command.place else []


def allocate(ticket: Ticket, command: AllocateTicket) -> list[TicketEvent]:
    if not ticket.is_queued or ticket.held:
        return []
    return [
        TicketAllocated(
            *ids(ticket),
            ticket.attempt + 1,
            command.agent_id,
            ticket.allocations + 1,
            command.score,
            command.candidates,
            command.allocated_at,
            command.views,
            command.exception_id,
        )
    ]


def unallocate(ticket: Ticket, command: UnallocateTicket) -> list[TicketEvent]:
    meant = Slot(command.agent_id, command.attempt, command.allocation)
    if ticket.status is not Status.READY or ticket.slot != meant:
        return []
    return [_unallocated(ticket, meant, capped(command.reason, REASON_CHARS_MAX), command.unallocated_at)]


def _unallocated(ticket: Ticket, slot: Slot, reason: str, at: int) -> TicketEvent:
    return TicketUnallocated(*ids(ticket), slot.attempt, slot.agent_id, slot.allocation, reason, at)


def dispatch(ticket: Ticket, command: DispatchTicket) -> list[TicketEvent]:
    if ticket.status in (Status.ASSIGNED, Status.RUNNING):
        return []
    if ticket.status is not Status.READY:
        raise Rejected(f"a ticket that is {ticket.status} cannot become {Status.ASSIGNED}")
    if ticket.slot is None or ticket.slot.agent_id != command.agent_id:
        raise Rejected(f"no slot of {command.agent_id} was asked for")
    created, task = ticket.created, ticket.created.task
    return [
        TicketDispatched(
            created.ticket_id,
            created.workflow_id,
            created.plan_id,
            task.task_id,
            task.task_type,
            ticket.slot.attempt,
            command.agent_id,
            command.webhook_url,
            command.command,
            command.parameters,
            command.environment,
            task.timeout_ms,
            command.deadline_at or ticket.deadline_at,
            task.security_level,
            command.inputs,
            command.dispatched_at,
            ticket.compensates,
            command.dispatched_at + START_WITHIN_MS * 1_000,
            created.delivery_mode,
        )
    ]


def give_up(ticket: Ticket, command: GiveUpTicket) -> list[TicketEvent]:
    if ticket.status is Status.FAILED:
        return []
    if ticket.status is not Status.READY:
        raise Rejected(f"a ticket that is {ticket.status} is not waiting for an agent")
    at = command.given_up_at
    if ticket.compensates:
        return [not_undone(ticket, at, command.error)]
    return [TicketFailed(*ids(ticket), ticket.attempt, "", at, at, None, {}, (), capped(command.error))]


def plan_compensation(ticket: Ticket, command: PlanCompensation) -> list[TicketEvent]:
    if ticket.undo_position or ticket.compensates:
        return []
    if ticket.status is not Status.COMPLETED:
        raise Rejected(f"a ticket that is {ticket.status} has done nothing that could be undone")
    return [TicketCompensationPlanned(*ids(ticket), command.position)]


def compensate(ticket: Ticket, command: CompensateTicket) -> list[TicketEvent]:
    if ticket.compensates:
        return []
    if ticket.status is not Status.COMPLETED:
        raise Rejected(f"a ticket that is {ticket.status} has done nothing that could be undone")
    return [TicketReady(*ids(ticket), command.ready_at, command.place, True, command.expires_at)]


def cancel(ticket: Ticket, command: CancelTicket) -> list[TicketEvent]:
    if is_finished(ticket) or ticket.compensates:
        return []
    under_way = ticket.status in (Status.ASSIGNED, Status.RUNNING)
    attempt = (ticket.attempt, ticket.agent_id) if under_way else ()
    reason = capped(command.reason, REASON_CHARS_MAX)
    return [TicketCancelled(*ids(ticket), reason, command.cancelled_at, *attempt)]


def _unless_finished(ticket: Ticket, wanted: Status) -> list[TicketEvent]:
    """Nothing to do if the ticket is past the wanted status; refused if it has ended another way."""
    if ticket.status in (Status.FAILED, Status.TIMED_OUT, Status.CANCELLED):
        allowed(ticket, wanted)
    return []
