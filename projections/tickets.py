"""Tickets: each unit of work as it stands, with its attempt, agent, times and result."""

from typing import Final

from neural_hive.projections.archive import EVENTS
from neural_hive.projections.projection import TIME, WORD, Column, Projection, by_type
from neural_hive.projections.sli_events import SLI_TICKETS

STATUS_AFTER: Final = {
    "TicketCreated": "PENDING",
    "TicketReady": "READY",
    "TicketDispatched": "ASSIGNED",
    "TicketStarted": "RUNNING",
    "TicketCompleted": "COMPLETED",
    "TicketFailed": "FAILED",
    "TicketTimedOut": "TIMED_OUT",
    "TicketRetryScheduled": "PENDING",
    "TicketCancelled": "CANCELLED",
    "TicketCompensated": "COMPENSATED",
    "TicketCompensationFailed": "COMPLETED",
}
HOLDS: Final = ("TicketHeld", "TicketReleased")  # a ticket that is held is READY still
_ENDS: Final = ("TicketCompleted", "TicketFailed")  # they say all of a result, also that there is none
ARTIFACTS: Final = "Array(Tuple(name String, uri String, sha256 String, size_bytes Int64))"
HOLDING: Final = (
    "Array(Tuple(freeze_id String, policy_id String, policy_revision Int32, scope String, subject String))"
)

TICKETS: Final = Projection(
    name="tickets",
    source=EVENTS,
    types=(*STATUS_AFTER, *HOLDS),
    key=(Column("ticket_id"),),
    columns=(
        Column("status", WORD, sql=by_type(STATUS_AFTER)),
        Column("workflow_id"),
        Column("plan_id"),
        Column("task_id", paths=("task.task_id", "task_id")),
        Column("task_type", WORD, paths=("task.task_type", "task_type")),
        Column("description", paths=("task.description",)),
        Column("service", paths=("task.parameters.service",)),
        Column("namespace", paths=("task.parameters.namespace",)),
        Column("priority", WORD),
        Column("risk_band", WORD),
        Column("priority_score", "Float64"),
        Column("dependencies", "Array(String)"),
        Column("attempt", "UInt32"),
        Column("retry_at", TIME, paths=("due_at",), told_by=("TicketReady", "TicketDispatched")),
        Column("agent_id", paths=("allocated_agent_id", "agent_id")),
        Column("deadline_at", TIME),
        Column("created_at", TIME),
        Column("ready_at", TIME),
        Column("dispatched_at", TIME),
        Column("started_at", TIME, told_by=("TicketRetryScheduled",)),
        Column("expires_at", TIME),
        Column(
            "finished_at",
            TIME,
            paths=("completed_at", "timed_out_at", "cancelled_at"),
            told_by=("TicketRetryScheduled",),
        ),
        Column("exit_code", "Int32", told_by=(*_ENDS, "TicketTimedOut")),
        Column("outputs", "Map(String, String)", told_by=_ENDS),
        Column("completed_by"),
        Column("held_by", HOLDING, paths=("freezes",), told_by=("TicketReleased", "TicketCancelled")),
        Column("artifacts", ARTIFACTS, told_by=_ENDS),
        Column("error", paths=("error", "reason"), told_by=("TicketCompleted", "TicketCompensated")),
    ),
    rollups=(("sli_tickets", SLI_TICKETS),),
)
