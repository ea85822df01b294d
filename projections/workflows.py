"""Workflows: each accepted plan's execution as it stands, and each refused plan with its reasons.

While tickets are ready and no agent takes them, `waiting_…` says since when, how many and why.
"""

from typing import Final

from neural_hive.projections.archive import EVENTS
from neural_hive.projections.avro_types import quoted
from neural_hive.projections.projection import TIME, WORD, Column, Projection, by_type
from neural_hive.projections.sli_events import SLI_WORKFLOWS

STATUS_AFTER: Final = {
    "PlanRejected": "REJECTED",
    "WorkflowStarted": "RUNNING",
    "WorkflowQueued": "QUEUED",
    "WorkflowAdmitted": "RUNNING",
    "WorkflowCompleted": "COMPLETED",
    "WorkflowFailed": "FAILED",
    "WorkflowCancelled": "CANCELLED",
    "WorkflowPaused": "PAUSED",
    "WorkflowResumed": "RUNNING",
    "WorkflowCompensating": "COMPENSATING",
}
_OPEN: Final = (
    "WorkflowStarted",
    "WorkflowQueued",
    "WorkflowAdmitted",
    "WorkflowPaused",
    "WorkflowResumed",
    "WorkflowCompensating",
)
_ENDINGS: Final = tuple(name for name in STATUS_AFTER if name not in _OPEN)
_ENDS: Final = ", ".join(map(quoted, _ENDINGS))
_NO_MORE: Final = ("WorkflowWaitEnded", *_ENDINGS)
_REASON: Final = "JSONExtract(payload, 'reason', 'Nullable(String)')"

WORKFLOWS: Final = Projection(
    name="workflows",
    source=EVENTS,
    types=(
        *STATUS_AFTER,
        "WorkflowQosAdjusted",
        "WorkflowOverdue",
        "WorkflowWaiting",
        "WorkflowWaitEnded",
        "IntegrityChecked",
    ),
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
        Column("sla_class"),
        Column("task_count", "UInt32"),
        Column("completed_count", "UInt32"),
        Column("failed_count", "UInt32"),
        Column("cancelled_count", "UInt32"),
        Column("compensated_count", "UInt32"),
        Column("started_at", TIME),
        Column("deadline_at", TIME),
        Column("finished_at", TIME, sql=f"if(event_type IN ({_ENDS}), occurred_at, NULL)"),
        Column("duration_ms", "Int64"),
        Column("reason", sql=f"if(event_type = 'WorkflowWaiting', NULL, {_REASON})"),
        Column("reasons", "Array(String)"),
        Column("waiting_since", TIME, paths=("since",), told_by=_NO_MORE),
        Column("waiting_count", "UInt32", paths=("ready_count",), told_by=_NO_MORE),
        Column(
            "waiting_reason", sql=f"if(event_type = 'WorkflowWaiting', {_REASON}, NULL)", told_by=_NO_MORE
        ),
        Column("sound", "Bool"),
        Column("findings", "Array(String)"),
    ),
    rollups=(("sli_workflows", SLI_WORKFLOWS),),
)
