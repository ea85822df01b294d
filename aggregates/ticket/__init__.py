"""A ticket: one task of a workflow on its way to an agent and back.

Protects: no ticket is worked on before what it depends on is complete, or by two attempts at once; every attempt
ends once; what has ended never changes. A result that cannot be true is put aside, and says why.

An attempt that went wrong is tried again, up to the task's `max_retries`, after a wait (`backoff.py`) and before the
deadline; never if its delivery is AT_MOST_ONCE: nobody knows how far it came. An attempt that has begun and is not
heard of for its task's time limit and a grace has timed out.

What a completed ticket did can be undone once, by its task's `compensation`: that is an attempt like any other.
"""

from neural_hive.aggregates.aggregate import Aggregate, members
from neural_hive.aggregates.ticket.commands import (
    CancelTicket,
    CompensateTicket,
    CompleteElsewhere,
    CreateTicket,
    DispatchTicket,
    GiveUpTicket,
    ReadyTicket,
    RecordResult,
    RecordStart,
    RefuseRequest,
    RetryNow,
    TicketCommand,
    TimeOutTicket,
)
from neural_hive.aggregates.ticket.deciding import (
    decide,
)
from neural_hive.aggregates.ticket.events import (
    OfAttempt,
    OfCompensation,
    OfTicket,
    TicketCancelled,
    TicketCommandRefused,
    TicketCompensated,
    TicketCompensationFailed,
    TicketCompleted,
    TicketContent,
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
from neural_hive.aggregates.ticket.state import (
    GRACE_MS,
    RETRY_TIMER,
    TIMEOUT_TIMER,
    TRANSITIONS,
    UNFINISHED,
    Status,
    Ticket,
    can_retry,
    content_hash,
    counters,
    evolve,
    is_expired,
    is_finished,
    timers,
)

TICKET = Aggregate(
    "ticket", "execution.tickets", Ticket, members(TicketEvent), decide, evolve, timers, counters
)

__all__ = [
    "GRACE_MS",
    "RETRY_TIMER",
    "TICKET",
    "TIMEOUT_TIMER",
    "TRANSITIONS",
    "UNFINISHED",
    "CancelTicket",
    "CompensateTicket",
    "CompleteElsewhere",
    "CreateTicket",
    "DispatchTicket",
    "GiveUpTicket",
    "OfAttempt",
    "OfCompensation",
    "OfTicket",
    "ReadyTicket",
    "RecordResult",
    "RecordStart",
    "RefuseRequest",
    "RetryNow",
    "Status",
    "Ticket",
    "TicketCancelled",
    "TicketCommand",
    "TicketCommandRefused",
    "TicketCompensated",
    "TicketCompensationFailed",
    "TicketCompleted",
    "TicketContent",
    "TicketCreated",
    "TicketDispatched",
    "TicketEvent",
    "TicketFailed",
    "TicketReady",
    "TicketResultRefused",
    "TicketRetryScheduled",
    "TicketStarted",
    "TicketTimedOut",
    "TimeOutTicket",
    "can_retry",
    "content_hash",
    "counters",
    "decide",
    "evolve",
    "is_expired",
    "is_finished",
    "timers",
]
