"""Parts that the decisions on workflows share."""

from typing import Final

from neural_hive.aggregates.workflow.commands import AdjustService, PauseWork, ResumeWork, StopWorkflow
from neural_hive.aggregates.workflow.events import WorkflowCommandRefused, WorkflowEvent
from neural_hive.aggregates.workflow.state import Workflow

REASON_CHARS_MAX: Final = 4_096


def asked(
    workflow: Workflow, command: StopWorkflow | PauseWork | ResumeWork | AdjustService
) -> tuple[str, str, str]:
    """What the event of somebody's request begins with: the workflow's id, why, and who."""
    return workflow.workflow_id, command.reason[:REASON_CHARS_MAX], command.requested_by[:REASON_CHARS_MAX]


def refuse(workflow: Workflow, command: str, wanted: str, by: str) -> list[WorkflowEvent]:
    """The event that says that the workflow's status does not allow what is wanted."""
    return refused(workflow, command, f"a workflow that is {workflow.status} cannot be {wanted}", by)


def refused(workflow: Workflow, command: str, reason: str, by: str) -> list[WorkflowEvent]:
    """The event that says why a request is not possible; nothing, if the last one said the same."""
    refused = WorkflowCommandRefused(workflow.workflow_id, command, reason, by[:REASON_CHARS_MAX])
    return [] if workflow.last_refusal == refused else [refused]


def lasted_ms(workflow: Workflow, until: int) -> int:
    """How long the workflow has taken until a time (µs)."""
    return max(until - workflow.started_at, 0) // 1_000
