"""A ticket: one task of a workflow on its way to an agent and back.

Protects: no ticket is worked on before what it depends on is complete, or by two attempts at once; none is given to an
agent that has no slot for it; every attempt ends once; what has ended never changes. A result that cannot be true is
put aside, and says why.

A ready ticket stands in a queue until an agent is chosen; it then claims a slot of that agent, and keeps it until the
attempt has ended. An attempt that went wrong is tried again, up to the task's `max_retries`, after a wait
(`backoff.py`) and before the deadline; never if its delivery is AT_MOST_ONCE: nobody knows how far it came. If it is
EXACTLY_ONCE, only an attempt that never began is made again by itself: whoever asks for another must have looked. An
attempt that was not begun in time, or that has begun and is not heard of for its task's time limit and a grace, has
timed out.

What a completed ticket did can be undone once, by its task's `compensation`: that is an attempt like any other, and is
tried up to three times.
"""

from neural_hive.aggregates.aggregate import Aggregate, members
from neural_hive.aggregates.ticket.commands import (
    AllocateTicket,
    CancelTicket,
    CompensateTicket,
    CompleteElsewhere,
    CreateTicket,
    DispatchTicket,
    GiveUpTicket,
    PlanCompensation,
    ReadyTicket,
    RecordResult,
    RecordStart,
    RefuseRequest,
    RequeueTicket,
    RetryNow,
    TicketCommand,
    TimeOutTicket,
    UnallocateTicket,
)
from neural_hive.aggregates.ticket.deciding import (
    decide,
)
from neural_hive.aggregates.ticket.events import (
    Considered,
    OfAllocation,
    OfAttempt,
    OfCompensation,
    OfTicket,
    TicketAllocated,
    TicketCancelled,
    TicketCommandRefused,
    TicketCompensated,
    TicketCompensationFailed,
    TicketCompensationPlanned,
    TicketCompleted,
    TicketContent,
    TicketCreated,
    TicketDispatched,
    TicketEvent,
    TicketFailed,
    TicketReady,
    TicketRequeued,
    TicketResultRefused,
    TicketRetryScheduled,
    TicketStarted,
    TicketTimedOut,
    TicketUnallocated,
    ViewPosition,
)
from neural_hive.aggregates.ticket.state import (
    COMPENSATION_TRIES,
    GRACE_MS,
    PATIENCE_TIMER,
    RETRY_TIMER,
    START_WITHIN_MS,
    TIMEOUT_TIMER,
    TRANSITIONS,
    UNFINISHED,
    Slot,
    Status,
    Ticket,
    can_retry,
    content_hash,
    could_not_be_undone,
    counters,
    evolve,
    is_expired,
    is_finished,
    queues,
    requirement,
    timers,
)

TICKET = Aggregate(
    "ticket", "execution.tickets", Ticket, members(TicketEvent), decide, evolve, timers, counters, queues
)

__all__ = [
    "COMPENSATION_TRIES",
    "GRACE_MS",
    "PATIENCE_TIMER",
    "RETRY_TIMER",
    "START_WITHIN_MS",
    "TICKET",
    "TIMEOUT_TIMER",
    "TRANSITIONS",
    "UNFINISHED",
    "AllocateTicket",
    "CancelTicket",
    "CompensateTicket",
    "CompleteElsewhere",
    "Considered",
    "CreateTicket",
    "DispatchTicket",
    "GiveUpTicket",
    "OfAllocation",
    "OfAttempt",
    "OfCompensation",
    "OfTicket",
    "PlanCompensation",
    "ReadyTicket",
    "RecordResult",
    "RecordStart",
    "RefuseRequest",
    "RequeueTicket",
    "RetryNow",
    "Slot",
    "Status",
    "Ticket",
    "TicketAllocated",
    "TicketCancelled",
    "TicketCommand",
    "TicketCommandRefused",
    "TicketCompensated",
    "TicketCompensationFailed",
    "TicketCompensationPlanned",
    "TicketCompleted",
    "TicketContent",
    "TicketCreated",
    "TicketDispatched",
    "TicketEvent",
    "TicketFailed",
    "TicketReady",
    "TicketRequeued",
    "TicketResultRefused",
    "TicketRetryScheduled",
    "TicketStarted",
    "TicketTimedOut",
    "TicketUnallocated",
    "TimeOutTicket",
    "UnallocateTicket",
    "ViewPosition",
    "can_retry",
    "content_hash",
    "could_not_be_undone",
    "counters",
    "decide",
    "evolve",
    "is_expired",
    "is_finished",
    "queues",
    "requirement",
    "timers",
]
