"""A workflow: one decision being carried out.

Protects: no work begins before its plan was found valid; a decision is carried out once; the end is said once,
when every ticket is accounted for, and never taken back; before it, what was counted is compared with the tickets. What
somebody asks for and the state does not allow leaves an event that says why.

While tickets are ready and no agent takes them the workflow waits: it is looked at again and again, ever less often. If
no more of its partition may go on at once than do, it is QUEUED first, until its turn comes.
"""

from neural_hive.aggregates.aggregate import Aggregate, members
from neural_hive.aggregates.workflow.commands import (
    AdjustService,
    AdmitWorkflow,
    AwaitAgents,
    EndWait,
    FinishWorkflow,
    PauseWork,
    ResumeWork,
    StartWorkflow,
    StopWorkflow,
    Turn,
    WorkflowCommand,
)
from neural_hive.aggregates.workflow.deciding import (
    decide,
)
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
from neural_hive.aggregates.workflow.state import (
    ACTIVE,
    DEADLINE_TIMER,
    FINDINGS_MAX,
    OPEN,
    WAIT_TIMER,
    Status,
    Workflow,
    counters,
    evolve,
    queues,
    ticket_id_of,
    timers,
)

WORKFLOW = Aggregate(
    "workflow",
    "orchestration.workflows",
    Workflow,
    members(WorkflowEvent),
    decide,
    evolve,
    timers,
    counters,
    queues,
)

__all__ = [
    "ACTIVE",
    "DEADLINE_TIMER",
    "FINDINGS_MAX",
    "OPEN",
    "WAIT_TIMER",
    "WORKFLOW",
    "AdjustService",
    "AdmitWorkflow",
    "AwaitAgents",
    "EndWait",
    "FinishWorkflow",
    "IntegrityChecked",
    "PauseWork",
    "PlanRejected",
    "ResumeWork",
    "StartWorkflow",
    "Status",
    "StopWorkflow",
    "Turn",
    "Workflow",
    "WorkflowAdmitted",
    "WorkflowCancelled",
    "WorkflowCommand",
    "WorkflowCommandRefused",
    "WorkflowCompensating",
    "WorkflowCompleted",
    "WorkflowEvent",
    "WorkflowFailed",
    "WorkflowOverdue",
    "WorkflowPaused",
    "WorkflowQosAdjusted",
    "WorkflowQueued",
    "WorkflowResumed",
    "WorkflowStarted",
    "WorkflowWaitEnded",
    "WorkflowWaiting",
    "counters",
    "decide",
    "evolve",
    "queues",
    "ticket_id_of",
    "timers",
]
