"""What can happen to a workflow. The names are the storage format."""

from neural_hive.aggregates.aggregate import Event
from neural_hive.aggregates.vocabulary import Priority, RiskBand


class WorkflowStarted(Event, frozen=True):
    """A plan was found valid and its work has begun, or begins when its turn comes (WorkflowQueued)."""

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
    sla_class: str = ""


class WorkflowQueued(Event, frozen=True):
    """A workflow was accepted, and waits for its turn: as many of its partition go on as may at once."""

    workflow_id: str
    backlog: int  # of the same plan that waited already
    active_count: int
    limit: int
    queued_at: int


class WorkflowAdmitted(Event, frozen=True):
    """The turn of a workflow has come: its work begins."""

    workflow_id: str
    active_count: int  # with this one
    limit: int  # 0: none
    admitted_at: int


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


class WorkflowOverdue(Event, frozen=True):
    """The deadline of a workflow has passed while it is paused: what it has done is undone once it goes on."""

    workflow_id: str
    reason: str
    passed_at: int


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
    """Tickets of a workflow are ready, and no agent takes them now: none is chosen, or those that are have no slot."""

    workflow_id: str
    since: int
    look_again_at: int
    ready_count: int
    reason: str
    stranded_since: int = (
        0  # since when some need what no registered, healthy agent can do; 0: agents are only busy
    )
    idle_since: int = 0  # since when none was given to an agent, as far as was looked
    given_count: int = 0  # attempts that were given to agents until now


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
    | WorkflowQueued
    | WorkflowAdmitted
    | PlanRejected
    | WorkflowCompleted
    | WorkflowFailed
    | WorkflowCancelled
    | WorkflowPaused
    | WorkflowResumed
    | WorkflowQosAdjusted
    | WorkflowCommandRefused
    | WorkflowCompensating
    | WorkflowOverdue
    | WorkflowWaiting
    | WorkflowWaitEnded
    | IntegrityChecked
)
