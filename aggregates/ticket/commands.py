"""What can be wanted of a ticket."""

from neural_hive.aggregates.aggregate import Command
from neural_hive.aggregates.ticket.events import Considered, HoldingFreeze, TicketContent, ViewPosition
from neural_hive.aggregates.vocabulary import Artifact, Outcome


class CreateTicket(TicketContent, Command, frozen=True):
    """Make a ticket of a task."""


class ReadyTicket(Command, frozen=True):
    """All that the ticket depends on is complete."""

    ready_at: int
    place: int = 0  # in the queue for agents, smallest first; 0: in none


class RequeueTicket(Command, frozen=True):
    """A ready ticket shall stand elsewhere in the queue for agents, or (place 0) in none."""

    place: int
    reason: str
    requeued_at: int


class AllocateTicket(Command, frozen=True):
    """An agent was chosen for a ready ticket."""

    agent_id: str
    score: float
    candidates: tuple[Considered, ...]
    allocated_at: int
    views: tuple[ViewPosition, ...] = ()
    exception_id: str = ""


class UnallocateTicket(Command, frozen=True):
    """The agent of an allocation will not take the ticket."""

    agent_id: str
    attempt: int
    allocation: int
    reason: str
    unallocated_at: int


class HoldTicket(Command, frozen=True):
    """Freezes concern a ticket that waits for an agent."""

    service: str
    namespace: str
    freezes: tuple[HoldingFreeze, ...]
    freeze_count: int
    views: tuple[ViewPosition, ...]
    held_at: int


class ReleaseTicket(Command, frozen=True):
    """No freeze concerns the ticket any more, or an exception lets it go."""

    views: tuple[ViewPosition, ...]
    released_at: int
    exception_id: str = ""


class DispatchTicket(Command, frozen=True):
    """Give the ticket to the agent that has a slot for it, with its references filled in."""

    agent_id: str
    command: tuple[str, ...]
    parameters: dict[str, str]
    environment: dict[str, str]
    inputs: tuple[Artifact, ...]
    dispatched_at: int
    webhook_url: str = ""
    deadline_at: int = 0  # 0: that of its creation


class GiveUpTicket(Command, frozen=True):
    """The ticket cannot be given to any agent: what it needs is not there."""

    error: str
    given_up_at: int


class RecordStart(Command, frozen=True):
    """An agent says that it has begun an attempt; `recorded_at` is when the log heard of it."""

    attempt: int
    agent_id: str
    started_at: int
    recorded_at: int


class RecordResult(Command, frozen=True):
    """An agent says how an attempt ended; `recorded_at` is when the log heard of it.

    `deadline_at` is the workflow's by now, in which it may be tried again; 0: the one that the ticket knows.
    """

    attempt: int
    agent_id: str
    outcome: Outcome
    started_at: int
    completed_at: int
    exit_code: int | None
    outputs: dict[str, str]
    artifacts: tuple[Artifact, ...]
    error: str
    recorded_at: int
    deadline_at: int = 0


class TimeOutTicket(Command, frozen=True):
    """Nothing was heard of an attempt for longer than it may take. `deadline_at`: see RecordResult."""

    timed_out_at: int
    deadline_at: int = 0


class CancelTicket(Command, frozen=True):
    """The ticket shall not be executed, or no longer."""

    reason: str
    cancelled_at: int


class PlanCompensation(Command, frozen=True):
    """What the ticket did shall be undone after that of others of its workflow."""

    position: int  # 1 is first


class CompensateTicket(Command, frozen=True):
    """What the ticket did shall be undone by an agent, if one does it before `expires_at`."""

    ready_at: int
    place: int
    expires_at: int


class RetryNow(Command, frozen=True):
    """Somebody asked for another attempt, beyond `max_retries` too."""

    reason: str
    requested_by: str
    asked_at: int


class CompleteElsewhere(Command, frozen=True):
    """Somebody says that the work was done outside."""

    outputs: dict[str, str]
    reason: str
    requested_by: str
    completed_at: int


class RefuseRequest(Command, frozen=True):
    """What somebody asked for is not possible in the ticket's workflow."""

    request: str
    reason: str
    requested_by: str


TicketCommand = (
    CreateTicket
    | ReadyTicket
    | RequeueTicket
    | AllocateTicket
    | UnallocateTicket
    | HoldTicket
    | ReleaseTicket
    | DispatchTicket
    | GiveUpTicket
    | RecordStart
    | RecordResult
    | TimeOutTicket
    | CancelTicket
    | PlanCompensation
    | CompensateTicket
    | RetryNow
    | CompleteElsewhere
    | RefuseRequest
)
