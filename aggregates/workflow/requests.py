"""What people ask of a workflow while it runs."""

from neural_hive.aggregates.decision import DEADLINE_MS_MAX
from neural_hive.aggregates.vocabulary import Priority
from neural_hive.aggregates.workflow.commands import AdjustService, PauseWork, ResumeWork
from neural_hive.aggregates.workflow.events import (
    WorkflowEvent,
    WorkflowPaused,
    WorkflowQosAdjusted,
    WorkflowResumed,
)
from neural_hive.aggregates.workflow.state import OPEN, Status, Workflow
from neural_hive.aggregates.workflow.words import asked, refuse, refused


def pause(workflow: Workflow, command: PauseWork) -> list[WorkflowEvent]:
    if workflow.status is Status.PAUSED:
        return []
    if workflow.status is not Status.RUNNING:
        return refuse(workflow, "PauseWorkflow", "paused", command.requested_by)
    return [WorkflowPaused(*asked(workflow, command), command.paused_at)]


def resume(workflow: Workflow, command: ResumeWork) -> list[WorkflowEvent]:
    if workflow.status is Status.RUNNING:
        return []
    if workflow.status is not Status.PAUSED:
        return refuse(workflow, "ResumeWorkflow", "resumed", command.requested_by)
    return [WorkflowResumed(*asked(workflow, command), command.resumed_at)]


def adjust(workflow: Workflow, command: AdjustService) -> list[WorkflowEvent]:
    by = command.requested_by
    if workflow.status not in OPEN:
        return refuse(workflow, "AdjustQos", "adjusted", by)
    if workflow.overdue:
        return refused(workflow, "AdjustQos", f"{workflow.overdue}: resume or cancel the workflow", by)
    deadline_at = workflow.deadline_at
    if command.deadline_ms:
        deadline_at = workflow.started_at + command.deadline_ms * 1_000
    priority = workflow.priority if command.priority is Priority.UNKNOWN else command.priority
    if (priority, deadline_at) == (workflow.priority, workflow.deadline_at):
        return []
    if not 0 <= command.deadline_ms <= DEADLINE_MS_MAX:
        return refused(
            workflow, "AdjustQos", f"deadline_ms must be at most {DEADLINE_MS_MAX}, and not negative", by
        )
    if deadline_at <= command.adjusted_at:
        return refused(
            workflow, "AdjustQos", "that deadline has passed already: cancel the workflow instead", by
        )
    workflow_id, reason, by = asked(workflow, command)
    return [WorkflowQosAdjusted(workflow_id, priority, deadline_at, reason, by)]
