"""What follows from a command."""

from typing import assert_never

from neural_hive.aggregates.aggregate import Rejected
from neural_hive.aggregates.ticket.commands import (
    AllocateTicket,
    CancelTicket,
    CompensateTicket,
    CompleteElsewhere,
    CreateTicket,
    DispatchTicket,
    GiveUpTicket,
    HoldTicket,
    PlanCompensation,
    ReadyTicket,
    RecordResult,
    RecordStart,
    RefuseRequest,
    ReleaseTicket,
    RequeueTicket,
    RetryNow,
    TicketCommand,
    TimeOutTicket,
    UnallocateTicket,
)
from neural_hive.aggregates.ticket.events import TicketEvent
from neural_hive.aggregates.ticket.giving import (
    allocate,
    cancel,
    compensate,
    create,
    dispatch,
    give_up,
    make_ready,
    plan_compensation,
    requeue,
    unallocate,
)
from neural_hive.aggregates.ticket.holding import hold, release
from neural_hive.aggregates.ticket.reports import record_result, record_start, time_out
from neural_hive.aggregates.ticket.requests import complete_elsewhere, retry_now
from neural_hive.aggregates.ticket.state import Ticket
from neural_hive.aggregates.ticket.words import refuse_request


def decide(ticket: Ticket | None, command: TicketCommand) -> list[TicketEvent]:
    """The events that follow from a command. Raises Rejected: the command makes no sense of this ticket."""
    match command:
        case CreateTicket():
            return create(ticket, command)
        case ReadyTicket():
            return make_ready(_existing(ticket), command)
        case RequeueTicket():
            return requeue(_existing(ticket), command)
        case AllocateTicket():
            return allocate(_existing(ticket), command)
        case UnallocateTicket():
            return unallocate(_existing(ticket), command)
        case HoldTicket():
            return hold(_existing(ticket), command)
        case ReleaseTicket():
            return release(_existing(ticket), command)
        case DispatchTicket():
            return dispatch(_existing(ticket), command)
        case GiveUpTicket():
            return give_up(_existing(ticket), command)
        case RecordStart():
            return record_start(_existing(ticket), command)
        case RecordResult():
            return record_result(_existing(ticket), command)
        case TimeOutTicket():
            return time_out(_existing(ticket), command)
        case CancelTicket():
            return cancel(_existing(ticket), command)
        case PlanCompensation():
            return plan_compensation(_existing(ticket), command)
        case CompensateTicket():
            return compensate(_existing(ticket), command)
        case RetryNow():
            return retry_now(_existing(ticket), command)
        case CompleteElsewhere():
            return complete_elsewhere(_existing(ticket), command)
        case RefuseRequest():
            return refuse_request(_existing(ticket), command.request, command.reason, command.requested_by)
        case _:
            assert_never(command)


def _existing(ticket: Ticket | None) -> Ticket:
    if ticket is None:
        raise Rejected(
            "there is no such ticket: check the ticket id and that the routing id is its workflow's"
        )
    return ticket
