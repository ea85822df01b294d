"""Workflows: each accepted plan's execution as it stands, and each refused plan with its reasons."""

from typing import Final

from neural_hive.projections.archive import EVENTS
from neural_hive.projections.projection import TIME, WORD, Column, Projection, by_type

STATUS_AFTER: Final = {
    "PlanRejected": "REJECTED",
    "WorkflowStarted": "RUNNING",
    "WorkflowCompleted": "COMPLETED",
    "WorkflowFailed": "FAILED",
    "WorkflowCancelled": "CANCELLED",
    "WorkflowPaused": "PAUSED",
    "WorkflowResumed": "RUNNING",
    "WorkflowCompensating": "COMPENSATING",
}
_OPEN = ("WorkflowStarted", "WorkflowPaused", "WorkflowResumed", "WorkflowCompensating")
_ENDS = ", ".join(f"'{name}'" for name in STATUS_AFTER if name not in _OPEN)

WORKFLOWS: Final = Projection(
    name="workflows",
    source=EVENTS,
    types=(*STATUS_AFTER, "WorkflowQosAdjusted"),
    key=(Column("workflow_id", sql="aggregate_id"),),
    columns=(
        Column("status", WORD, sql=by_type(STATUS_AFTER)),
        Column("decision_id"),
        Column("plan_id"),
        Column("intent_id"),
        Column("risk_band", WORD),
        Column("priority", WORD),
        Column("confidence", "Float64"),
        Column("requested_by"),
        Column("task_count", "UInt32"),
        Column("completed_count", "UInt32"),
        Column("failed_count", "UInt32"),
        Column("cancelled_count", "UInt32"),
        Column("compensated_count", "UInt32"),
        Column("started_at", TIME),
        Column("deadline_at", TIME),
        Column("finished_at", TIME, sql=f"if(event_type IN ({_ENDS}), occurred_at, NULL)"),
        Column("duration_ms", "Int64"),
        Column("reason"),
        Column("reasons", "Array(String)"),
    ),
)
