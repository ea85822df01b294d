"""What is said to the registry, and what it answers."""

import msgspec

from neural_hive.aggregates.agent import AgentType
from neural_hive.aggregates.slot import SlotOutcome
from neural_hive.aggregates.vocabulary import TaskType

COMMANDS = "registry.commands"
ANSWERS = "registry.answers"


class RegisterAgent(msgspec.Struct, frozen=True):
    """An agent wants to be known, or tells that it can do something else now."""

    agent_id: str
    agent_type: AgentType
    capabilities: tuple[str, ...]
    task_types: tuple[TaskType, ...]
    capacity: int
    requested_by: str = ""
    webhook_url: str = ""


class Heartbeat(msgspec.Struct, frozen=True):
    """An agent lives, and tells how it is doing."""

    agent_id: str
    success_rate: float
    load: float
    latency_ms: int


class DeregisterAgent(msgspec.Struct, frozen=True):
    """An agent shall not be known any more."""

    agent_id: str
    reason: str
    requested_by: str = ""


class ReinforceTrail(msgspec.Struct, frozen=True):
    """An agent did well or badly in a domain."""

    agent_id: str
    domain: str
    success: bool


class SlotRequest(msgspec.Struct, frozen=True):
    """One attempt that an agent shall do."""

    ticket_id: str
    attempt: int
    place: int  # smallest first among those that wait for the agent
    lease_ends_at: int  # µs
    allocation: int = 0


class ReserveSlots(msgspec.Struct, frozen=True):
    """Somebody asks for slots of an agent."""

    agent_id: str
    workflow_id: str
    requests: tuple[SlotRequest, ...]


class SlotRelease(msgspec.Struct, frozen=True):
    """One attempt that needs its slot, or its place in the queue, no more."""

    ticket_id: str
    attempt: int
    outcome: SlotOutcome
    domain: str = ""  # the trail that the outcome strengthens; empty: none
    allocation: int = 0


class ReleaseSlots(msgspec.Struct, frozen=True):
    """Somebody gives slots of an agent back, or takes requests back."""

    agent_id: str
    workflow_id: str
    releases: tuple[SlotRelease, ...]


class SlotRef(msgspec.Struct, frozen=True):
    """One attempt, in an answer about its slot."""

    ticket_id: str
    attempt: int
    allocation: int = 0  # that of the request which is answered


class SlotsGranted(msgspec.Struct, frozen=True):
    """The registry gives slots of an agent to attempts."""

    agent_id: str
    workflow_id: str
    slots: tuple[SlotRef, ...]


class AttemptsLost(msgspec.Struct, frozen=True):
    """An agent that has attempts of a workflow is silent or has left: nobody can tell how they go on."""

    agent_id: str
    workflow_id: str
    slots: tuple[SlotRef, ...]
    reason: str


class AttemptsSettled(msgspec.Struct, frozen=True):
    """A lost agent is heard again, or has no attempt of the workflow any more."""

    agent_id: str
    workflow_id: str
    reason: str


class SlotsDenied(msgspec.Struct, frozen=True):
    """The registry gives no slots of an agent to attempts; they may ask elsewhere, or again later."""

    agent_id: str
    workflow_id: str
    slots: tuple[SlotRef, ...]
    reason: str
