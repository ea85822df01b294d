"""The registry: agents register, tell that they live, fall silent, leave; outcomes leave trails that evaporate.

    registry.commands  → RegisterAgent, Heartbeat, DeregisterAgent → registry.agents
                       → ReinforceTrail                            → pheromones.signals
    silence            → degraded, unhealthy, removed              → registry.agents

All that concerns one agent, its trails included, stands in one partition.
"""

import msgspec

from neural_hive.aggregates.agent import (
    AGENT,
    AgentType,
    Beat,
    Deregister,
    NoticeSilence,
    Profile,
    Register,
    Telemetry,
)
from neural_hive.aggregates.pheromone import TRAIL, Reinforce, trail_id_of
from neural_hive.aggregates.vocabulary import TaskType
from neural_hive.streams.kernel.system import System, Unit

COMMANDS = "registry.commands"


class RegisterAgent(msgspec.Struct, frozen=True):
    """An agent wants to be known, or tells that it can do something else now."""

    agent_id: str
    agent_type: AgentType
    capabilities: tuple[str, ...]
    task_types: tuple[TaskType, ...]
    capacity: int
    requested_by: str = ""


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


def build() -> System:
    """The system."""
    registry = System("registry", (AGENT, TRAIL), (__name__,), repartition="registry.repartition")

    @registry.on(COMMANDS, RegisterAgent, route="agent_id")
    def register(unit: Unit, message: RegisterAgent) -> None:
        profile = Profile(message.agent_type, message.capabilities, message.task_types, message.capacity)
        unit.execute(
            AGENT, message.agent_id, Register(message.agent_id, profile, message.requested_by, unit.now)
        )

    @registry.on(COMMANDS, Heartbeat, route="agent_id")
    def beat(unit: Unit, message: Heartbeat) -> None:
        told = Telemetry(message.success_rate, message.load, message.latency_ms)
        unit.execute(AGENT, message.agent_id, Beat(told, unit.now))

    @registry.on(COMMANDS, DeregisterAgent, route="agent_id")
    def deregister(unit: Unit, message: DeregisterAgent) -> None:
        unit.execute(AGENT, message.agent_id, Deregister(message.reason, message.requested_by))

    @registry.on(COMMANDS, ReinforceTrail, route="agent_id")
    def reinforce(unit: Unit, message: ReinforceTrail) -> None:
        trail_id = trail_id_of(message.domain, message.agent_id)
        unit.execute(TRAIL, trail_id, Reinforce(message.domain, message.agent_id, message.success, unit.now))

    @registry.on_timer(AGENT, "silence")
    def notice(unit: Unit, agent_id: str) -> None:
        unit.execute(AGENT, agent_id, NoticeSilence(unit.now))

    return registry
