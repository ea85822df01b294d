"""What the registry tells Prometheus: agents that come, live, fall silent and go, and how they are found.

Counted from what was committed, so nothing counts that a transaction took back. How many agents there are is read from
the state when a partition opens, and is right after a restart too; each process tells of its own partitions.
"""

from collections import Counter as Counts
from typing import Final

from prometheus_client import Counter, Gauge, Histogram

from neural_hive.aggregates.agent import (
    AGENT,
    Agent,
    AgentDeregistered,
    AgentHealthChanged,
    AgentRegistered,
    AgentRemoved,
    Health,
    Presence,
)
from neural_hive.aggregates.slot import SlotDenied, SlotExpired, SlotGranted
from neural_hive.streams.kernel.system import Committed, Measured, Observed, Standing, System
from neural_hive.streams.registry.system import HEALTH_CHECK, HEARTBEAT

_REGISTERED = Counter("agents_registered_total", "Agents that became known, or known again")
_DEREGISTERED = Counter("agents_deregistered_total", "Agents that somebody took out")
_REMOVED = Counter(
    "agents_removed_total", "Agents that were silent for so long that they are not known any more"
)
_UNHEALTHY = Counter("agents_marked_unhealthy_total", "Agents that became unhealthy by their silence")
_ACTIVE = Gauge("agents_active", "Agents that are registered", ("type", "status"))
_HEARTBEATS = Counter("heartbeats_received_total", "Heartbeats that were accepted, noted or not")
_LATENCY = Histogram(
    "heartbeat_latency_seconds",
    "From an agent's sending of a heartbeat, by its own clock, to the log",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60, 600),
)
_CHECKS = Counter("health_checks_total", "Looks at an agent whose time of silence had come")
_SLOTS = Counter("agent_slots_total", "What became of requests for slots of agents", ("outcome",))
_SLOT_OUTCOMES: Final = {SlotGranted: "granted", SlotDenied: "denied", SlotExpired: "expired"}

Kind = tuple[str, str]  # type and status of an agent


class ActiveAgents:
    """How many agents of each kind the partitions of this process have."""

    def __init__(self) -> None:
        self._by_partition: dict[int, Counts[Kind]] = {}

    def opened(self, partition: int, standing: Standing) -> None:
        """Counts anew. Who is registered has a timer: silence may come."""
        self.closed(partition)
        for aggregate, agent_id, _ in standing.timers():
            if aggregate == AGENT.name and (kind := _kind(standing.load(AGENT, agent_id))):
                self._add(partition, kind, 1)

    def closed(self, partition: int) -> None:
        """Others have the partition now."""
        for kind, count in self._by_partition.pop(partition, Counts()).items():
            _ACTIVE.labels(*kind).dec(count)

    def moved(self, partition: int, before: Agent | None, after: Agent | None) -> None:
        """One agent has changed."""
        old, new = _kind(before), _kind(after)
        if old != new:
            if old:
                self._add(partition, old, -1)
            if new:
                self._add(partition, new, 1)

    def _add(self, partition: int, kind: Kind, change: int) -> None:
        self._by_partition.setdefault(partition, Counts())[kind] += change
        _ACTIVE.labels(*kind).inc(change)


def _kind(agent: Agent | None) -> Kind | None:
    if agent is None or agent.presence is not Presence.REGISTERED:
        return None
    return agent.profile.agent_type, agent.health


class RegistryMetrics:
    """Observes a registry."""

    def __init__(self) -> None:
        self.active = ActiveAgents()

    def observe(self, committed: Committed) -> None:
        """Counts what one transaction brought."""
        for observed in committed.events:
            if observed.aggregate == AGENT.name:
                self.active.moved(committed.partition, observed.before, observed.after)
                _count_agent(observed)
            elif outcome := _SLOT_OUTCOMES.get(type(observed.event)):
                _SLOTS.labels(outcome).inc()
        for measured in committed.measured:
            _count_measured(measured)


def _count_agent(observed: Observed) -> None:
    match observed.event:
        case AgentRegistered():
            if _kind(observed.before) is None:
                _REGISTERED.inc()
        case AgentDeregistered():
            _DEREGISTERED.inc()
        case AgentRemoved():
            _REMOVED.inc()
        case AgentHealthChanged(to_health=Health.UNHEALTHY):
            _UNHEALTHY.inc()


def _count_measured(measured: Measured) -> None:
    if measured.name == HEARTBEAT:
        _HEARTBEATS.inc()
        _LATENCY.observe(measured.seconds)
    elif measured.name == HEALTH_CHECK:
        _CHECKS.inc()


def watch(system: System) -> None:
    """Adds the metrics to a registry."""
    metrics = RegistryMetrics()
    system.observers.append(metrics.observe)
    system.opened.append(metrics.active.opened)
    system.closed.append(metrics.active.closed)
