"""Results: each attempt at a ticket, by whom and for how long, and what came of it.

Attempt 0 is none in particular: the ticket was cancelled before it was begun, or could be given to nobody. An attempt
without an outcome is at work.
"""

from typing import Final

from neural_hive.projections.archive import EVENTS
from neural_hive.projections.projection import TIME, WORD, Column, Projection, by_type
from neural_hive.projections.tickets import ARTIFACTS

OUTCOME_OF: Final = {
    "TicketCompleted": "COMPLETED",
    "TicketFailed": "FAILED",
    "TicketTimedOut": "TIMED_OUT",
    "TicketCancelled": "CANCELLED",
    "TicketCompensated": "COMPENSATED",
    "TicketCompensationFailed": "COMPENSATION_FAILED",
}

RESULTS: Final = Projection(
    name="results",
    source=EVENTS,
    types=("TicketStarted", *OUTCOME_OF),
    key=(Column("ticket_id"), Column("attempt", "UInt32")),
    columns=(
        Column("workflow_id"),
        Column("agent_id"),
        Column("outcome", WORD, sql=by_type(OUTCOME_OF)),
        Column("started_at", TIME),
        Column("completed_at", TIME, paths=("completed_at", "timed_out_at", "cancelled_at")),
        Column("exit_code", "Int32"),
        Column("outputs", "Map(String, String)"),
        Column("artifacts", ARTIFACTS),
        Column("error", paths=("error", "reason")),
        Column("completed_by"),
    ),
    computed=(("duration_ms", "dateDiff('millisecond', started_at, completed_at)"),),
)
