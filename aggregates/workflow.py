"""A workflow: one decision being carried out.

Protects: no work begins before its plan was found valid; a decision is carried out once; the end is said once,
when every ticket is accounted for, and never taken back; before it, what was counted is compared with the tickets. What
somebody asks for and the state does not allow leaves an event that says why.

While tickets are ready and no agent takes them the workflow waits: it is looked at again and again, ever less often.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final, assert_never

import msgspec

from neural_hive.aggregates.aggregate import Aggregate, Command, Event, Rejected, members
from neural_hive.aggregates.decision import (
    DEADLINE_MS_MAX,
    DEFAULT_DEADLINE_MS,
    DecisionConsolidated,
    content_hash,
    is_identified,
    validate,
)
from neural_hive.aggregates.identity import derived_id
from neural_hive.aggregates.vocabulary import Priority, RiskBand

REASON_CHARS_MAX: Final = 4_096
ID_CHARS_MAX: Final = 128
DEADLINE_TIMER: Final = "deadline"
WAIT_TIMER: Final = "wait"
LOOK_AGAIN_S_MAX: Final = 15  # agents come and go without a word to the workflow
FINDINGS_MAX: Final = 20


class StartWorkflow(Command, frozen=True):
    """Carry out a decision, if its plan is valid."""

    decision: DecisionConsolidated
    started_at: int


class FinishWorkflow(Command, frozen=True):
    """No ticket is unfinished: say how the workflow ended."""

    completed_count: int
    failed_count: int
    cancelled_count: int
    finished_at: int
    reason: str = ""  # why its tickets did not end by themselves
    compensated_count: int = 0
    compensations: tuple[str, ...] = ()  # tickets to be undone if it has failed, in this order
    findings: tuple[str, ...] = ()  # what its tickets and what was counted of them do not agree on


class StopWorkflow(Command, frozen=True):
    """Somebody asked to stop it, and its tickets were cancelled."""

    reason: str
    requested_by: str
    completed_count: int
    cancelled_count: int
    stopped_at: int
    failed_count: int = 0
    findings: tuple[str, ...] = ()


class PauseWork(Command, frozen=True):
    """Somebody asked that nothing more of it begins."""

    reason: str
    requested_by: str
    paused_at: int


class ResumeWork(Command, frozen=True):
    """Somebody asked that it goes on."""

    reason: str
    requested_by: str
    resumed_at: int


class AdjustService(Command, frozen=True):
    """Somebody asked for another priority (UNKNOWN: the same), or deadline (ms from acceptance; 0: the same)."""

    priority: Priority
    deadline_ms: int
    reason: str
    requested_by: str
    adjusted_at: int


class AwaitAgents(Command, frozen=True):
    """Tickets are ready, and no agent takes them now."""

    ready_count: int
    reason: str
    stranded: bool  # some need what no registered, healthy agent can do
    now: int


class EndWait(Command, frozen=True):
    """No ticket waits for an agent any more."""

    now: int


WorkflowCommand = (
    StartWorkflow
    | FinishWorkflow
    | StopWorkflow
    | PauseWork
    | ResumeWork
    | AdjustService
    | AwaitAgents
    | EndWait
)


class WorkflowStarted(Event, frozen=True):
    """A plan was found valid and its work has begun."""

    workflow_id: str
    decision_id: str
    plan_id: str
    intent_id: str
    risk_band: RiskBand
    priority: Priority
    confidence: float
    task_count: int
    started_at: int
    deadline_at: int
    roots: tuple[str, ...]
    decision_sha256: str
    requested_by: str


class PlanRejected(Event, frozen=True):
    """A plan was found invalid and will not be carried out."""

    decision_id: str
    plan_id: str
    reasons: tuple[str, ...]
    decision_sha256: str


class WorkflowCompleted(Event, frozen=True):
    """Every task of a workflow was completed."""

    workflow_id: str
    completed_count: int
    duration_ms: int


class WorkflowFailed(Event, frozen=True):
    """A workflow has ended with tasks that failed or were cancelled."""

    workflow_id: str
    completed_count: int
    failed_count: int
    cancelled_count: int
    reason: str
    duration_ms: int
    compensated_count: int = 0


class WorkflowCompensating(Event, frozen=True):
    """A workflow has failed, and what its tickets had completed is being undone."""

    workflow_id: str
    ticket_ids: tuple[str, ...]
    reason: str
    begun_at: int


class WorkflowCancelled(Event, frozen=True):
    """A workflow was stopped because somebody asked for it."""

    workflow_id: str
    reason: str
    requested_by: str
    completed_count: int
    cancelled_count: int
    duration_ms: int


class WorkflowPaused(Event, frozen=True):
    """Nothing more of a workflow is given to agents until it is resumed."""

    workflow_id: str
    reason: str
    requested_by: str
    paused_at: int


class WorkflowResumed(Event, frozen=True):
    """A paused workflow goes on."""

    workflow_id: str
    reason: str
    requested_by: str
    resumed_at: int


class WorkflowQosAdjusted(Event, frozen=True):
    """Priority or deadline of a workflow were changed."""

    workflow_id: str
    priority: Priority
    deadline_at: int
    reason: str
    requested_by: str


class WorkflowCommandRefused(Event, frozen=True):
    """A workflow was asked for something that its state does not allow."""

    workflow_id: str
    command: str
    reason: str
    requested_by: str


class WorkflowWaiting(Event, frozen=True):
    """Tickets of a workflow are ready, and no agent takes them now."""

    workflow_id: str
    since: int
    look_again_at: int
    ready_count: int
    reason: str
    stranded_since: int = (
        0  # since when some need what no registered, healthy agent can do; 0: agents are only busy
    )


class WorkflowWaitEnded(Event, frozen=True):
    """No ticket of a workflow waits for an agent any more."""

    workflow_id: str
    ended_at: int


class IntegrityChecked(Event, frozen=True):
    """At its end, a workflow's tickets were compared with what was counted of them."""

    workflow_id: str
    task_count: int
    completed: int
    failed: int
    cancelled: int
    compensated: int  # of the completed ones
    sound: bool
    findings: tuple[str, ...]


WorkflowEvent = (
    WorkflowStarted
    | PlanRejected
    | WorkflowCompleted
    | WorkflowFailed
    | WorkflowCancelled
    | WorkflowPaused
    | WorkflowResumed
    | WorkflowQosAdjusted
    | WorkflowCommandRefused
    | WorkflowCompensating
    | WorkflowWaiting
    | WorkflowWaitEnded
    | IntegrityChecked
)


class Status(StrEnum):
    """Where a workflow stands."""

    REJECTED = "REJECTED"
    RUNNING = "RUNNING"
    PAUSED = "PAUSED"
    COMPENSATING = "COMPENSATING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"


OPEN: Final = frozenset({Status.RUNNING, Status.PAUSED})


class Workflow(msgspec.Struct, frozen=True):
    """What the events so far make of a workflow. Its tickets are aggregates of their own: only the first are named."""

    workflow_id: str
    plan_id: str
    status: Status
    decision_sha256: str
    task_count: int = 0
    started_at: int = 0
    deadline_at: int = 0
    roots: tuple[str, ...] = ()
    priority: Priority = Priority.UNKNOWN
    compensations: tuple[str, ...] = ()
    failure: str = ""
    last_refusal: WorkflowCommandRefused | None = None
    risk_band: RiskBand = RiskBand.UNKNOWN
    waiting_since: int = 0  # 0: it waits for no agent
    stranded_since: int = 0
    look_again_at: int = 0
    looks: int = 0  # since it waits


def ticket_id_of(workflow_id: str, task_id: str) -> str:
    """The id of the ticket of one task."""
    return derived_id(workflow_id, task_id)


def decide(workflow: Workflow | None, command: WorkflowCommand) -> list[WorkflowEvent]:
    """The events that follow from a command. Raises Rejected: the command makes no sense of this workflow."""
    match command:
        case StartWorkflow():
            return _start(workflow, command)
        case FinishWorkflow():
            return _finish(_existing(workflow), command)
        case StopWorkflow():
            return _stop(_existing(workflow), command)
        case PauseWork():
            return _pause(_existing(workflow), command)
        case ResumeWork():
            return _resume(_existing(workflow), command)
        case AdjustService():
            return _adjust(_existing(workflow), command)
        case AwaitAgents():
            return _await(_existing(workflow), command)
        case EndWait():
            return _end_wait(_existing(workflow), command.now)
        case _:
            assert_never(command)


def _existing(workflow: Workflow | None) -> Workflow:
    if workflow is None:
        raise Rejected("there is no such workflow: its id is the decision's id; check it and the routing id")
    return workflow


def _start(workflow: Workflow | None, command: StartWorkflow) -> list[WorkflowEvent]:
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
    return [_started(decision, command.started_at, digest)]


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
        at + (decision.deadline_ms or DEFAULT_DEADLINE_MS) * 1_000,
        tuple(ticket_id_of(workflow_id, task.task_id) for task in decision.tasks if not task.dependencies),
        digest,
        decision.requested_by,
    )


def _finish(workflow: Workflow, command: FinishWorkflow) -> list[WorkflowEvent]:
    if workflow.status in (Status.COMPLETED, Status.FAILED, Status.CANCELLED):
        return []
    _accounted(workflow, command)
    workflow_id, duration_ms = workflow.workflow_id, _duration_ms(workflow, command.finished_at)
    failed, cancelled, undone = command.failed_count, command.cancelled_count, command.compensated_count
    checked = _checked(workflow, command.completed_count, failed, cancelled, undone, command.findings)
    all_done = command.completed_count == workflow.task_count and workflow.status is not Status.COMPENSATING
    if all_done and not command.findings:
        return [checked, WorkflowCompleted(workflow_id, command.completed_count, duration_ms)]
    counted = f"of {workflow.task_count} tasks {failed} failed and {cancelled} were cancelled"
    reason = f"{command.reason}: {counted}" if command.reason else counted
    if command.compensations and workflow.status is Status.COMPENSATING:
        return []
    if command.compensations:
        return [WorkflowCompensating(workflow_id, command.compensations, reason, command.finished_at)]
    reason = workflow.failure or reason
    if command.findings:
        reason = f"its tickets are not what was counted of them ({command.findings[0]}); {reason}"
    ended = (command.completed_count, failed, cancelled, reason, duration_ms)
    return [checked, WorkflowFailed(workflow_id, *ended, undone)]


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


def _stop(workflow: Workflow, command: StopWorkflow) -> list[WorkflowEvent]:
    if workflow.status is Status.CANCELLED:
        return []
    if workflow.status not in OPEN:
        return _refuse(workflow, "CancelWorkflow", "stopped", command.requested_by)
    completed, cancelled = command.completed_count, command.cancelled_count
    return [
        _checked(workflow, completed, command.failed_count, cancelled, 0, command.findings),
        WorkflowCancelled(
            *_asked(workflow, command),
            completed,
            cancelled,
            _duration_ms(workflow, command.stopped_at),
        ),
    ]


def _pause(workflow: Workflow, command: PauseWork) -> list[WorkflowEvent]:
    if workflow.status is Status.PAUSED:
        return []
    if workflow.status is not Status.RUNNING:
        return _refuse(workflow, "PauseWorkflow", "paused", command.requested_by)
    return [WorkflowPaused(*_asked(workflow, command), command.paused_at)]


def _resume(workflow: Workflow, command: ResumeWork) -> list[WorkflowEvent]:
    if workflow.status is Status.RUNNING:
        return []
    if workflow.status is not Status.PAUSED:
        return _refuse(workflow, "ResumeWorkflow", "resumed", command.requested_by)
    return [WorkflowResumed(*_asked(workflow, command), command.resumed_at)]


def _adjust(workflow: Workflow, command: AdjustService) -> list[WorkflowEvent]:
    by = command.requested_by
    if workflow.status not in OPEN:
        return _refuse(workflow, "AdjustQos", "adjusted", by)
    deadline_at = workflow.deadline_at
    if command.deadline_ms:
        deadline_at = workflow.started_at + command.deadline_ms * 1_000
    priority = workflow.priority if command.priority is Priority.UNKNOWN else command.priority
    if (priority, deadline_at) == (workflow.priority, workflow.deadline_at):
        return []
    if not 0 <= command.deadline_ms <= DEADLINE_MS_MAX:
        return _refused(
            workflow, "AdjustQos", f"deadline_ms must be at most {DEADLINE_MS_MAX}, and not negative", by
        )
    if deadline_at <= command.adjusted_at:
        return _refused(
            workflow, "AdjustQos", "that deadline has passed already: cancel the workflow instead", by
        )
    workflow_id, reason, by = _asked(workflow, command)
    return [WorkflowQosAdjusted(workflow_id, priority, deadline_at, reason, by)]


def _await(workflow: Workflow, command: AwaitAgents) -> list[WorkflowEvent]:
    if workflow.look_again_at > command.now or workflow.status not in (*OPEN, Status.COMPENSATING):
        return []
    since = workflow.waiting_since or command.now
    stranded_since = (workflow.stranded_since or command.now) if command.stranded else 0
    look_again_at = command.now + min(1 << min(workflow.looks, 10), LOOK_AGAIN_S_MAX) * 1_000_000
    reason = command.reason[:REASON_CHARS_MAX]
    told = (since, look_again_at, command.ready_count, reason, stranded_since)
    return [WorkflowWaiting(workflow.workflow_id, *told)]


def _end_wait(workflow: Workflow, now: int) -> list[WorkflowEvent]:
    return [WorkflowWaitEnded(workflow.workflow_id, now)] if workflow.look_again_at else []


def _asked(
    workflow: Workflow, command: StopWorkflow | PauseWork | ResumeWork | AdjustService
) -> tuple[str, str, str]:
    return workflow.workflow_id, command.reason[:REASON_CHARS_MAX], command.requested_by[:REASON_CHARS_MAX]


def _refuse(workflow: Workflow, command: str, wanted: str, by: str) -> list[WorkflowEvent]:
    return _refused(workflow, command, f"a workflow that is {workflow.status} cannot be {wanted}", by)


def _refused(workflow: Workflow, command: str, reason: str, by: str) -> list[WorkflowEvent]:
    refused = WorkflowCommandRefused(workflow.workflow_id, command, reason, by[:REASON_CHARS_MAX])
    return [] if workflow.last_refusal == refused else [refused]


def _accounted(workflow: Workflow, command: FinishWorkflow) -> None:
    if workflow.status not in (*OPEN, Status.COMPENSATING):
        raise Rejected(f"a workflow that is {workflow.status} has no work to finish")
    ended = command.completed_count + command.failed_count + command.cancelled_count
    if ended != workflow.task_count and not command.findings:
        raise Rejected(f"{ended} of {workflow.task_count} tickets are accounted for")


def _duration_ms(workflow: Workflow, until: int) -> int:
    return max(until - workflow.started_at, 0) // 1_000


def evolve(workflow: Workflow | None, event: WorkflowEvent) -> Workflow:
    """What an event makes of the workflow."""
    match event:
        case WorkflowStarted():
            return Workflow(
                event.workflow_id,
                event.plan_id,
                Status.RUNNING,
                event.decision_sha256,
                event.task_count,
                event.started_at,
                event.deadline_at,
                event.roots,
                event.priority,
                risk_band=event.risk_band,
            )
        case PlanRejected():
            return Workflow(event.decision_id, event.plan_id, Status.REJECTED, event.decision_sha256)
        case WorkflowCompleted():
            return _changed(_at_rest(workflow), status=Status.COMPLETED)
        case WorkflowFailed():
            return _changed(_at_rest(workflow), status=Status.FAILED)
        case WorkflowCancelled():
            return _changed(_at_rest(workflow), status=Status.CANCELLED)
        case WorkflowPaused():
            return _changed(workflow, status=Status.PAUSED)
        case WorkflowResumed():
            return _changed(workflow, status=Status.RUNNING)
        case WorkflowQosAdjusted():
            return _changed(workflow, priority=event.priority, deadline_at=event.deadline_at)
        case WorkflowCompensating():
            undone = {"compensations": event.ticket_ids, "failure": event.reason}
            return _changed(workflow, status=Status.COMPENSATING, **undone)
        case WorkflowCommandRefused():
            return _changed(workflow, last_refusal=event)
        case WorkflowWaiting():
            waits = {"waiting_since": event.since, "stranded_since": event.stranded_since}
            looks = workflow.looks + 1 if workflow is not None else 1
            return _changed(workflow, look_again_at=event.look_again_at, looks=looks, **waits)
        case WorkflowWaitEnded():
            return _at_rest(workflow)
        case IntegrityChecked():
            return _changed(workflow)
        case _:
            assert_never(event)


def _at_rest(workflow: Workflow | None) -> Workflow:
    return _changed(workflow, waiting_since=0, stranded_since=0, look_again_at=0, looks=0)


def _changed(workflow: Workflow | None, **changes: Any) -> Workflow:
    assert workflow is not None, "the history of a workflow begins with WorkflowStarted"
    return msgspec.structs.replace(workflow, **changes)


def timers(workflow: Workflow) -> Mapping[str, int]:
    """When the workflow must be looked at again (µs): `deadline`, unless it has ended; `wait`, while it waits."""
    due = {DEADLINE_TIMER: workflow.deadline_at} if workflow.status in OPEN else {}
    return {**due, WAIT_TIMER: workflow.look_again_at} if workflow.look_again_at else due


WORKFLOW = Aggregate(
    "workflow", "orchestration.workflows", Workflow, members(WorkflowEvent), decide, evolve, timers
)
