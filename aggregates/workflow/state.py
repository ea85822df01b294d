"""Where a workflow stands, and what its events make of it."""

from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Any, Final, assert_never

import msgspec

from neural_hive.aggregates import tally
from neural_hive.aggregates.fairness import place
from neural_hive.aggregates.identity import derived_id
from neural_hive.aggregates.risk import priority_score
from neural_hive.aggregates.vocabulary import Priority, RiskBand
from neural_hive.aggregates.workflow.events import (
    IntegrityChecked,
    PlanRejected,
    WorkflowAdmitted,
    WorkflowCancelled,
    WorkflowCommandRefused,
    WorkflowCompensating,
    WorkflowCompleted,
    WorkflowEvent,
    WorkflowFailed,
    WorkflowOverdue,
    WorkflowPaused,
    WorkflowQosAdjusted,
    WorkflowQueued,
    WorkflowResumed,
    WorkflowStarted,
    WorkflowWaitEnded,
    WorkflowWaiting,
)

DEADLINE_TIMER: Final = "deadline"
WAIT_TIMER: Final = "wait"
FINDINGS_MAX: Final = 20  # of an integrity check


class Status(StrEnum):
    """Where a workflow stands."""

    REJECTED = "REJECTED"
    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    PAUSED = "PAUSED"
    COMPENSATING = "COMPENSATING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"


OPEN: Final = frozenset({Status.QUEUED, Status.RUNNING, Status.PAUSED})
ACTIVE: Final = frozenset({Status.RUNNING, Status.PAUSED, Status.COMPENSATING})
STEP_US: Final = 60_000_000  # behind another of the same plan, when many wait for their turn


class Workflow(msgspec.Struct, frozen=True):
    """What the events so far make of a workflow. Its tickets are aggregates of their own, and stand in its queues: so
    what is written with each of its events does not grow with them.
    """

    workflow_id: str
    plan_id: str
    status: Status
    decision_sha256: str
    task_count: int = 0
    started_at: int = 0
    deadline_at: int = 0
    priority: Priority = Priority.UNKNOWN
    failure: str = ""
    last_refusal: WorkflowCommandRefused | None = None
    risk_band: RiskBand = RiskBand.UNKNOWN
    waiting_since: int = 0  # 0: it waits for no agent
    stranded_since: int = 0
    look_again_at: int = 0
    looks: int = 0  # since it waits
    idle_since: int = 0  # none of its tickets was given to an agent since then; 0: it does not wait
    given_count: int = 0  # as the last look counted
    queued_at: int = 0
    backlog: int = 0  # of its plan that waited for their turn before it
    overdue: str = ""  # why it fails once it goes on: its deadline has passed in a pause


def ticket_id_of(workflow_id: str, task_id: str) -> str:
    """The id of the ticket of one task."""
    return derived_id(workflow_id, task_id)


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
                event.priority,
                risk_band=event.risk_band,
            )
        case WorkflowQueued():
            waits = {"queued_at": event.queued_at, "backlog": event.backlog}
            return _changed(workflow, status=Status.QUEUED, **waits)
        case WorkflowAdmitted():
            return _changed(workflow, status=Status.RUNNING)
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
            return _changed(workflow, status=Status.COMPENSATING, failure=event.reason)
        case WorkflowOverdue():
            return _changed(workflow, overdue=event.reason)
        case WorkflowCommandRefused():
            return _changed(workflow, last_refusal=event)
        case WorkflowWaiting():
            waits = {"waiting_since": event.since, "stranded_since": event.stranded_since}
            waits |= {"idle_since": event.idle_since, "given_count": event.given_count}
            looks = workflow.looks + 1 if workflow is not None else 1
            return _changed(workflow, look_again_at=event.look_again_at, looks=looks, **waits)
        case WorkflowWaitEnded():
            return _at_rest(workflow)
        case IntegrityChecked():
            return _changed(workflow)
        case _:
            assert_never(event)


def _at_rest(workflow: Workflow | None) -> Workflow:
    since = {"waiting_since": 0, "stranded_since": 0, "idle_since": 0}
    return _changed(workflow, look_again_at=0, looks=0, **since)


def _changed(workflow: Workflow | None, **changes: Any) -> Workflow:
    assert workflow is not None, "the history of a workflow begins with WorkflowStarted"
    return msgspec.structs.replace(workflow, **changes)


def timers(workflow: Workflow) -> Mapping[str, int]:
    """When the workflow must be looked at again (µs): `deadline`, unless it has ended or that was noticed in a pause;
    `wait`, while it waits.
    """
    has_time = workflow.status in OPEN and not workflow.overdue
    due = {DEADLINE_TIMER: workflow.deadline_at} if has_time else {}
    return {**due, WAIT_TIMER: workflow.look_again_at} if workflow.look_again_at else due


def counters(event: WorkflowEvent, before: Workflow | None, after: Workflow) -> Iterator[tuple[str, int]]:
    """How many go on in the partition, and how many of each plan wait for their turn."""
    was = before.status if before is not None else None
    if change := (after.status in ACTIVE) - (was in ACTIVE):
        yield tally.ACTIVE_WORKFLOWS, change
    if change := (after.status is Status.QUEUED) - (was is Status.QUEUED):
        yield tally.queued_workflows(after.plan_id), change


def queues(workflow: Workflow) -> Mapping[str, str]:
    """Who goes on stands in one queue; who waits for its turn in another, in the order of fairness."""
    if workflow.status in ACTIVE:
        return {tally.ACTIVE_WORKFLOWS: ""}
    if workflow.status is not Status.QUEUED:
        return {}
    score = priority_score(workflow.risk_band, workflow.priority, 1.0)
    return {tally.WORKFLOW_QUEUE: f"{place(workflow.queued_at, workflow.backlog, score, STEP_US):020d}"}
