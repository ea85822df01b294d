"""The registry: agents register, tell that they live, fall silent, leave; outcomes leave trails that evaporate.

    registry.commands  → RegisterAgent, Heartbeat, DeregisterAgent → registry.agents
                       → ReinforceTrail                            → pheromones.signals
    silence            → degraded, unhealthy, removed              → registry.agents

All that concerns one agent, its trails included, stands in one partition.
"""

from neural_hive.aggregates.agent import (
    AGENT,
    Beat,
    Deregister,
    NoticeSilence,
    Profile,
    Register,
    Telemetry,
)
from neural_hive.aggregates.pheromone import TRAIL, Reinforce, trail_id_of
from neural_hive.streams.kernel.system import System, Unit
from neural_hive.streams.registry_messages import (
    COMMANDS,
    DeregisterAgent,
    Heartbeat,
    RegisterAgent,
    ReinforceTrail,
)


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
