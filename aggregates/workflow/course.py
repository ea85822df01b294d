"""How a workflow begins, waits for agents, and ends."""

from typing import Final

from neural_hive.aggregates.aggregate import Rejected
from neural_hive.aggregates.decision import (
    DecisionConsolidated,
    content_hash,
    is_identified,
    service_wanted,
    validate,
)
from neural_hive.aggregates.workflow.commands import (
    AdmitWorkflow,
    AwaitAgents,
    FinishWorkflow,
    StartWorkflow,
    StopWorkflow,
)
from neural_hive.aggregates.workflow.events import (
    IntegrityChecked,
    PlanRejected,
    WorkflowAdmitted,
    WorkflowCancelled,
    WorkflowCompensating,
    WorkflowCompleted,
    WorkflowEvent,
    WorkflowFailed,
    WorkflowOverdue,
    WorkflowQueued,
    WorkflowStarted,
    WorkflowWaitEnded,
    WorkflowWaiting,
)
from neural_hive.aggregates.workflow.state import FINDINGS_MAX, OPEN, Status, Workflow, ticket_id_of
from neural_hive.aggregates.workflow.words import REASON_CHARS_MAX, asked, lasted_ms, refuse

ID_CHARS_MAX: Final = 128
TASKS_SHOWN_MAX: Final = 20
LOOK_AGAIN_S_MAX: Final = 15  # agents come and go without a word to the workflow


def start(workflow: Workflow | None, command: StartWorkflow) -> list[WorkflowEvent]:
    decision = command.decision
    if not is_identified(decision):
        raise Rejected(f"no workflow can have the decision's id: {validate(decision)[0]}")
    digest = content_hash(decision)
    if workflow is not None and workflow.decision_sha256 == digest:
        return []
    if workflow is not None and workflow.status is not Status.REJECTED:
        raise Rejected(
            f"decision {decision.decision_id} was accepted before with another content: "
            "a decision never changes; publish this one under an id of its own"
        )
    reasons = validate(decision)
    if reasons:
        return [PlanRejected(decision.decision_id, decision.plan_id[:ID_CHARS_MAX], tuple(reasons), digest)]
    started = _started(decision, command.started_at, digest)
    return [started, *_queued(decision.decision_id, command)]


def _queued(workflow_id: str, command: StartWorkflow) -> list[WorkflowEvent]:
    turn = command.turn
    if not turn.limit or (turn.active_count < turn.limit and not turn.others_wait):
        return []
    counts = (turn.backlog, turn.active_count, turn.limit)
    return [WorkflowQueued(workflow_id, *counts, command.started_at)]


def admit(workflow: Workflow, command: AdmitWorkflow) -> list[WorkflowEvent]:
    if workflow.status is not Status.QUEUED:
        return []
    turn = command.turn
    return [WorkflowAdmitted(workflow.workflow_id, turn.active_count + 1, turn.limit, command.admitted_at)]


def _started(decision: DecisionConsolidated, at: int, digest: str) -> WorkflowStarted:
    workflow_id = decision.decision_id
    return WorkflowStarted(
        workflow_id,
        decision.decision_id,
        decision.plan_id,
        decision.intent_id,
        decision.risk_band,
        decision.priority,
        decision.confidence,
        len(decision.tasks),
        at,
        at + service_wanted(decision).deadline_ms * 1_000,
        tuple(ticket_id_of(workflow_id, task.task_id) for task in decision.tasks if not task.dependencies),
        digest,
        decision.requested_by,
        decision.sla_class,
    )


def finish(workflow: Workflow, command: FinishWorkflow) -> list[WorkflowEvent]:
    if workflow.status in (Status.COMPLETED, Status.FAILED, Status.CANCELLED):
        return []
    _accounted(workflow, command)
    workflow_id, duration_ms = workflow.workflow_id, lasted_ms(workflow, command.finished_at)
    failed, cancelled, undone = command.failed_count, command.cancelled_count, command.compensated_count
    checked = _checked(workflow, command.completed_count, failed, cancelled, undone, command.findings)
    all_done = command.completed_count == workflow.task_count and workflow.status is not Status.COMPENSATING
    if all_done and not command.findings:
        return [checked, WorkflowCompleted(workflow_id, command.completed_count, duration_ms)]
    counted = f"of {workflow.task_count} tasks {failed} failed and {cancelled} were cancelled"
    reason = f"{command.reason}: {counted}" if command.reason else counted
    if command.compensations and workflow.status is Status.COMPENSATING:
        return []
    if command.compensations and workflow.status is Status.PAUSED:
        return _held(workflow, command)
    if command.compensations:
        return [WorkflowCompensating(workflow_id, command.compensations, reason, command.finished_at)]
    reason = (workflow.failure or reason) + _left_behind(command.not_undone)
    if command.findings:
        reason = f"its tickets are not what was counted of them ({command.findings[0]}); {reason}"
    ended = (command.completed_count, failed, cancelled, reason, duration_ms)
    return [checked, WorkflowFailed(workflow_id, *ended, undone)]


def _left_behind(not_undone: tuple[str, ...]) -> str:
    """What a failed workflow has done and could not undo, in words; empty if that is nothing."""
    if not not_undone:
        return ""
    more = ", …" if len(not_undone) > TASKS_SHOWN_MAX else ""
    return f"; {len(not_undone):,} could not be undone: {', '.join(not_undone[:TASKS_SHOWN_MAX])}{more}"


def _held(workflow: Workflow, command: FinishWorkflow) -> list[WorkflowEvent]:
    """What is paused is undone by nobody; its deadline is noticed, and once."""
    if not command.reason or workflow.overdue:
        return []
    return [WorkflowOverdue(workflow.workflow_id, command.reason, command.finished_at)]


def _checked(
    workflow: Workflow,
    completed: int,
    failed: int,
    cancelled: int,
    compensated: int,
    findings: tuple[str, ...],
) -> IntegrityChecked:
    counts = (completed, failed, cancelled, compensated)
    kept = tuple(finding[:REASON_CHARS_MAX] for finding in findings[:FINDINGS_MAX])
    return IntegrityChecked(workflow.workflow_id, workflow.task_count, *counts, not findings, kept)


def stop(workflow: Workflow, command: StopWorkflow) -> list[WorkflowEvent]:
    if workflow.status is Status.CANCELLED:
        return []
    if workflow.status not in OPEN:
        return refuse(workflow, "CancelWorkflow", "stopped", command.requested_by)
    completed, cancelled = command.completed_count, command.cancelled_count
    return [
        _checked(workflow, completed, command.failed_count, cancelled, 0, command.findings),
        WorkflowCancelled(
            *asked(workflow, command),
            completed,
            cancelled,
            lasted_ms(workflow, command.stopped_at),
        ),
    ]


def await_agents(workflow: Workflow, command: AwaitAgents) -> list[WorkflowEvent]:
    if workflow.status not in (*OPEN, Status.COMPENSATING):
        return []
    if workflow.look_again_at > command.now and not command.is_cut_short:
        return []
    since = workflow.waiting_since or command.now
    stranded_since = (workflow.stranded_since or command.now) if command.stranded else 0
    pause_s = min(1 << min(workflow.looks, 10), LOOK_AGAIN_S_MAX)
    look_again_at = command.now + (1 if command.is_cut_short else pause_s * 1_000_000)
    reason = command.reason[:REASON_CHARS_MAX]
    is_served = command.given_count != workflow.given_count
    begins = is_served or command.is_frozen or not workflow.idle_since
    idle_since = command.now if begins else workflow.idle_since
    told = (
        since,
        look_again_at,
        command.ready_count,
        reason,
        stranded_since,
        idle_since,
        command.given_count,
    )
    return [WorkflowWaiting(workflow.workflow_id, *told)]


def end_wait(workflow: Workflow, now: int) -> list[WorkflowEvent]:
    return [WorkflowWaitEnded(workflow.workflow_id, now)] if workflow.look_again_at else []


def _accounted(workflow: Workflow, command: FinishWorkflow) -> None:
    if workflow.status not in (*OPEN, Status.COMPENSATING):
        raise Rejected(f"a workflow that is {workflow.status} has no work to finish")
    ended = command.completed_count + command.failed_count + command.cancelled_count
    if ended != workflow.task_count and not command.findings:
        raise Rejected(f"{ended} of {workflow.task_count} tickets are accounted for")
