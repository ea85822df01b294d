"""What can be wanted of a workflow."""

import msgspec

from neural_hive.aggregates.aggregate import Command
from neural_hive.aggregates.decision import DecisionConsolidated
from neural_hive.aggregates.vocabulary import Priority


class Turn(msgspec.Struct, frozen=True):
    """How many workflows of the partition go on and may, and who waits for that."""

    active_count: int = 0
    limit: int = 0  # 0: none
    backlog: int = 0  # of the same plan that wait
    others_wait: bool = False


class StartWorkflow(Command, frozen=True):
    """Carry out a decision, if its plan is valid: now, or when its turn comes."""

    decision: DecisionConsolidated
    started_at: int
    turn: Turn = Turn()


class AdmitWorkflow(Command, frozen=True):
    """The turn of a workflow has come."""

    turn: Turn
    admitted_at: int


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
    not_undone: tuple[str, ...] = ()  # tasks whose compensation failed


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
    given_count: int = 0  # attempts at its tickets that were given to agents so far
    is_cut_short: bool = False  # agents take more of them: to be looked at again as soon as can be
    is_frozen: bool = False  # freezes hold all of them: nobody need take one


class EndWait(Command, frozen=True):
    """No ticket waits for an agent any more."""

    now: int


WorkflowCommand = (
    StartWorkflow
    | AdmitWorkflow
    | FinishWorkflow
    | StopWorkflow
    | PauseWork
    | ResumeWork
    | AdjustService
    | AwaitAgents
    | EndWait
)
