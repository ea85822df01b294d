"""What can happen to a ticket. The names are the storage format."""

import msgspec

from neural_hive.aggregates.aggregate import Event
from neural_hive.aggregates.freeze_policy import Scope
from neural_hive.aggregates.vocabulary import (
    Artifact,
    Consistency,
    DeliveryMode,
    Durability,
    Priority,
    RiskBand,
    SecurityLevel,
    Task,
    TaskType,
)


class TicketContent(msgspec.Struct, frozen=True):
    """What a ticket is from its first moment to its last."""

    ticket_id: str
    workflow_id: str
    plan_id: str
    task: Task
    dependencies: tuple[str, ...]
    dependents: tuple[str, ...]
    priority: Priority
    risk_band: RiskBand
    priority_score: float
    deadline_at: int
    delivery_mode: DeliveryMode
    consistency: Consistency
    durability: Durability
    created_at: int


class TicketCreated(TicketContent, Event, frozen=True):
    """A task of a workflow has become a ticket."""


class OfTicket(Event, frozen=True):
    """What all later events of a ticket begin with."""

    ticket_id: str
    workflow_id: str


class OfAttempt(OfTicket, frozen=True):
    """What all events of one attempt begin with."""

    attempt: int
    agent_id: str


class TicketReady(OfTicket, frozen=True):
    """All that a ticket depends on is complete."""

    ready_at: int
    place: int = 0  # in the queue for agents, smallest first, as µs; 0: in none, since its workflow is paused
    compensates: bool = False  # what it did is to be undone
    expires_at: int = 0  # when nobody waits for that any more; 0: its deadline counts


class TicketRequeued(OfTicket, frozen=True):
    """A ticket stands elsewhere in the queue for agents, or (place 0) in none."""

    place: int
    requeued_at: int
    reason: str


class Considered(msgspec.Struct, frozen=True):
    """An agent that could have done a ticket, and what its score was computed from."""

    agent_id: str
    score: float
    health: float
    pheromone: float
    telemetry: float


class ViewPosition(msgspec.Struct, frozen=True):
    """How much of a topic that is read whole a decision was made from."""

    topic: str
    next_offsets: tuple[int, ...]  # of each partition, in their order
    age_ms: int  # since it was last seen to be read to its end


class HoldingFreeze(msgspec.Struct, frozen=True):
    """A freeze that holds a ticket back: by which policy, and whose work it freezes."""

    freeze_id: str
    policy_id: str
    policy_revision: int
    scope: Scope
    subject: str  # the service or namespace; empty: of GLOBAL


class TicketHeld(OfTicket, frozen=True):
    """A deployment waits until freezes end: the decision, with what it was made from."""

    service: str  # that it is for, as its task's parameters say; empty: they do not
    namespace: str
    freezes: tuple[HoldingFreeze, ...]  # the first of them
    freeze_count: int
    views: tuple[ViewPosition, ...]
    held_at: int


class TicketReleased(OfTicket, frozen=True):
    """A deployment is not held any more: no freeze concerns it, or an exception lets it go although it is frozen, or
    (views empty) its workflow is paused.
    """

    views: tuple[ViewPosition, ...]
    released_at: int
    exception_id: str = ""  # by which it goes; empty: it is not frozen


class OfAllocation(OfAttempt, frozen=True):
    """What the events about a claim on a slot begin with; the attempt is the one that the agent shall do."""

    allocation: int


class TicketAllocated(OfAllocation, frozen=True):
    """An agent was chosen for a ticket, and is asked for a slot: the decision, with what it was made from."""

    score: float
    candidates: tuple[Considered, ...]
    allocated_at: int
    views: tuple[ViewPosition, ...] = ()
    exception_id: str = ""  # by which it is deployed although it is frozen; empty: it is not


class TicketUnallocated(OfAllocation, frozen=True):
    """A ticket has no claim on a slot of the agent any more, and was not given to it."""

    reason: str
    unallocated_at: int


class TicketDispatched(OfTicket, frozen=True):
    """A ticket was given to an agent, with all that the agent needs to execute it."""

    plan_id: str
    task_id: str
    task_type: TaskType
    attempt: int
    allocated_agent_id: str
    webhook_url: str
    command: tuple[str, ...]
    parameters: dict[str, str]
    environment: dict[str, str]
    timeout_ms: int
    deadline_at: int
    security_level: SecurityLevel
    inputs: tuple[Artifact, ...]
    dispatched_at: int
    compensates: bool = False
    start_by: int = 0  # the agent must not begin later; 0: no such limit
    delivery_mode: DeliveryMode = DeliveryMode.UNKNOWN


class TicketStarted(OfAttempt, frozen=True):
    """An agent has begun an attempt at a ticket."""

    started_at: int
    expires_at: int = 0  # 0: nobody waits for that


class TicketCompleted(OfAttempt, frozen=True):
    """An attempt at a ticket has done what it should."""

    started_at: int
    completed_at: int
    exit_code: int | None
    outputs: dict[str, str]
    artifacts: tuple[Artifact, ...]
    completed_by: str = ""  # empty: the agent says so
    remark: str = ""


class TicketFailed(OfAttempt, frozen=True):
    """An attempt at a ticket has failed; attempt 0: it could not be given to any agent."""

    started_at: int
    completed_at: int
    exit_code: int | None
    outputs: dict[str, str]
    artifacts: tuple[Artifact, ...]
    error: str


class TicketTimedOut(OfAttempt, frozen=True):
    """An attempt at a ticket took longer than it may."""

    timed_out_at: int
    error: str


class TicketRetryScheduled(OfTicket, frozen=True):
    """An attempt at a ticket went wrong, and the ticket will be tried again."""

    attempt: int
    due_at: int
    reason: str


class TicketCancelled(OfTicket, frozen=True):
    """A ticket will not be executed, or no longer."""

    reason: str
    cancelled_at: int
    attempt: int | None = None  # that was under way, if one was
    agent_id: str | None = None


class TicketResultRefused(OfAttempt, frozen=True):
    """A start or a result that cannot be true of its ticket was put aside."""

    reason: str


class OfCompensation(OfAttempt, frozen=True):
    """What the ends of a compensation begin with."""

    started_at: int
    completed_at: int
    exit_code: int | None
    artifacts: tuple[Artifact, ...]


class TicketCompensationPlanned(OfTicket, frozen=True):
    """What a ticket has done is to be undone, when its turn comes."""

    position: int  # among those of its workflow, 1 is first


class TicketCompensated(OfCompensation, frozen=True):
    """What a ticket had done was undone, since its workflow failed."""


class TicketCompensationFailed(OfCompensation, frozen=True):
    """What a ticket had done could not be undone: it stays completed, unless that is tried again."""

    error: str


class TicketCommandRefused(OfTicket, frozen=True):
    """A ticket was asked for something that its state does not allow."""

    command: str
    reason: str
    requested_by: str


TicketEvent = (
    TicketCreated
    | TicketReady
    | TicketRequeued
    | TicketAllocated
    | TicketUnallocated
    | TicketHeld
    | TicketReleased
    | TicketDispatched
    | TicketStarted
    | TicketCompleted
    | TicketFailed
    | TicketTimedOut
    | TicketRetryScheduled
    | TicketCancelled
    | TicketResultRefused
    | TicketCommandRefused
    | TicketCompensationPlanned
    | TicketCompensated
    | TicketCompensationFailed
)
