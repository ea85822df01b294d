"""Ticket history: every step of every ticket, in order, with its cause."""

from typing import Final

from neural_hive.projections.archive import EVENTS
from neural_hive.projections.projection import TIME, WORD, Column, Projection, by_type
from neural_hive.projections.tickets import HOLDING, HOLDS, STATUS_AFTER

_WITHOUT_STATUS: Final = (
    "TicketAllocated",
    "TicketUnallocated",
    "TicketRequeued",
    "TicketResultRefused",
    "TicketCommandRefused",
)

TICKET_HISTORY: Final = Projection(
    name="ticket_history",
    source=EVENTS,
    types=(*STATUS_AFTER, *HOLDS, *_WITHOUT_STATUS),
    key=(Column("ticket_id"),),
    columns=(
        Column("workflow_id"),
        Column("status", WORD, sql=by_type(STATUS_AFTER)),
        Column("occurred_at", TIME, sql="occurred_at"),
        Column("attempt", "UInt32"),
        Column("agent_id", paths=("allocated_agent_id", "agent_id")),
        Column("exit_code", "Int32"),
        Column("held_by", HOLDING, paths=("freezes",)),
        Column("error", paths=("error", "reason")),
        Column("requested_by", paths=("requested_by", "completed_by")),
        Column("event_id", sql="event_id"),
        Column("causation_id", sql="causation_id"),
        Column("trace_id", sql="trace_id"),
    ),
    folded=False,
)
