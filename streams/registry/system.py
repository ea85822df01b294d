"""The registry: agents register, tell that they live, fall silent, leave; their slots are given away one by one;
outcomes leave trails that evaporate.

    registry.commands  → RegisterAgent, Heartbeat, DeregisterAgent → registry.agents
                       → ReserveSlots, ReleaseSlots                → registry.slots, registry.answers
                       → ReinforceTrail, and outcomes of releases  → pheromones.signals
    timer "silence"    → degraded, unhealthy, removed              → registry.agents
    an agent is lost   → who has attempts there is told            → registry.answers
    timer "lease"      → a slot that nobody gave back is free      → registry.slots, registry.answers

All that concerns one agent, its slots and trails included, stands in one partition.
"""

from typing import Final

from neural_hive.aggregates.agent import (
    AGENT,
    USUAL_SILENCE,
    AgentCommand,
    AgentSeen,
    Beat,
    Deregister,
    NoticeSilence,
    Profile,
    Register,
    Silence,
    Telemetry,
)
from neural_hive.aggregates.pheromone import TRAIL, Reinforce, trail_id_of
from neural_hive.aggregates.slot import LEASE_TIMER, SLOT
from neural_hive.streams.kernel.system import System, Unit
from neural_hive.streams.registry import slots as registry_slots
from neural_hive.streams.registry.losses import note_agent
from neural_hive.streams.registry.messages import (
    COMMANDS,
    DeregisterAgent,
    Heartbeat,
    RegisterAgent,
    ReinforceTrail,
    ReleaseSlots,
    ReserveSlots,
)

HEARTBEAT: Final = "heartbeat"  # what is measured: its way from the agent to the log, s
HEALTH_CHECK: Final = "health check"  # what is measured: how long an agent was silent, s
_WAY_S_MAX: Final = 3_600.0  # a sender's clock may say anything


def build(silence: Silence = USUAL_SILENCE) -> System:
    """The system, with the times of silence that agents get when they register."""
    registry = System("registry", (AGENT, TRAIL, SLOT), (__name__,), repartition="registry.repartition")

    @registry.on(COMMANDS, RegisterAgent, route="agent_id")
    def register(unit: Unit, message: RegisterAgent) -> None:
        profile = Profile(
            message.agent_type,
            message.capabilities,
            message.task_types,
            message.capacity,
            message.webhook_url,
        )
        command = Register(message.agent_id, profile, message.requested_by, unit.now, silence)
        _change(unit, message.agent_id, command)

    @registry.on(COMMANDS, Heartbeat, route="agent_id")
    def beat(unit: Unit, message: Heartbeat) -> None:
        told = Telemetry(message.success_rate, message.load, message.latency_ms)
        _change(unit, message.agent_id, Beat(told, unit.now))
        way_s = (unit.now - unit.sent_at) / 1_000_000
        unit.measure(HEARTBEAT, message.agent_id, min(max(way_s, 0.0), _WAY_S_MAX))

    @registry.on(COMMANDS, DeregisterAgent, route="agent_id")
    def deregister(unit: Unit, message: DeregisterAgent) -> None:
        command = Deregister(message.reason, message.requested_by)
        _change(unit, message.agent_id, command)

    @registry.on(COMMANDS, ReserveSlots, route="agent_id")
    def reserve(unit: Unit, message: ReserveSlots) -> None:
        registry_slots.reserve(unit, message)

    @registry.on(COMMANDS, ReleaseSlots, route="agent_id")
    def release(unit: Unit, message: ReleaseSlots) -> None:
        registry_slots.release(unit, message)

    @registry.on(COMMANDS, ReinforceTrail, route="agent_id")
    def reinforce(unit: Unit, message: ReinforceTrail) -> None:
        trail_id = trail_id_of(message.domain, message.agent_id)
        unit.execute(TRAIL, trail_id, Reinforce(message.domain, message.agent_id, message.success, unit.now))

    @registry.on_timer(AGENT, "silence")
    def notice(unit: Unit, agent_id: str) -> None:
        agent = unit.load(AGENT, agent_id)
        _change(unit, agent_id, NoticeSilence(unit.now))
        if agent is not None:
            unit.measure(HEALTH_CHECK, agent_id, (unit.now - agent.seen_at) / 1_000_000)

    @registry.on_timer(SLOT, LEASE_TIMER)
    def end_lease(unit: Unit, slot_id: str) -> None:
        registry_slots.end_lease(unit, slot_id)

    return registry


def _change(unit: Unit, agent_id: str, command: AgentCommand) -> None:
    """Decides about an agent. Signs of life are many, and change nothing for those who wait."""
    before = unit.load(AGENT, agent_id)
    events = unit.execute(AGENT, agent_id, command)
    if not all(isinstance(event, AgentSeen) for event in events):
        registry_slots.settle(unit, agent_id)
        note_agent(unit, before, unit.load(AGENT, agent_id))
