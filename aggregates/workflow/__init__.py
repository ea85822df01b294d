"""A workflow: one decision being carried out.

Protects: no work begins before its plan was found valid; a decision is carried out once; the end is said once,
when every ticket is accounted for, and never taken back; before it, what was counted is compared with the tickets. What
somebody asks for and the state does not allow leaves an event that says why.

While tickets are ready and no agent takes them the workflow waits: it is looked at again and again, ever less often.
"""

from neural_hive.aggregates.aggregate import Aggregate, members
from neural_hive.aggregates.workflow.commands import (
    AdjustService,
    AwaitAgents,
    EndWait,
    FinishWorkflow,
    PauseWork,
    ResumeWork,
    StartWorkflow,
    StopWorkflow,
    WorkflowCommand,
)
from neural_hive.aggregates.workflow.deciding import (
    decide,
)
from neural_hive.aggregates.workflow.events import (
    IntegrityChecked,
    PlanRejected,
    WorkflowCancelled,
    WorkflowCommandRefused,
    WorkflowCompensating,
    WorkflowCompleted,
    WorkflowEvent,
    WorkflowFailed,
    WorkflowOverdue,
    WorkflowPaused,
    WorkflowQosAdjusted,
    WorkflowResumed,
    WorkflowStarted,
    WorkflowWaitEnded,
    WorkflowWaiting,
)
from neural_hive.aggregates.workflow.state import (
    DEADLINE_TIMER,
    FINDINGS_MAX,
    OPEN,
    WAIT_TIMER,
    Status,
    Workflow,
    evolve,
    ticket_id_of,
    timers,
)

WORKFLOW = Aggregate(
    "workflow", "orchestration.workflows", Workflow, members(WorkflowEvent), decide, evolve, timers
)

__all__ = [
    "DEADLINE_TIMER",
    "FINDINGS_MAX",
    "OPEN",
    "WAIT_TIMER",
    "WORKFLOW",
    "AdjustService",
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
    "Workflow",
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
    "WorkflowResumed",
    "WorkflowStarted",
    "WorkflowWaitEnded",
    "WorkflowWaiting",
    "decide",
    "evolve",
    "ticket_id_of",
    "timers",
]
