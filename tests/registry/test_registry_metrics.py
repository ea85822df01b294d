"""What the registry tells Prometheus, as differences: the numbers are a process's, and other tests count too."""

from collections.abc import Callable, Iterator

import pytest
from prometheus_client import REGISTRY

from neural_hive.aggregates.agent import AgentType, Silence
from neural_hive.streams.kernel.standing import StateView
from neural_hive.streams.registry import metrics as registry_metrics
from neural_hive.streams.registry.messages import (
    DeregisterAgent,
    Heartbeat,
    RegisterAgent,
    ReserveSlots,
    SlotRequest,
)
from neural_hive.streams.registry.system import build
from tests.privacy.memory_keys import hidden
from tests.registry.kernel_unit import SECOND, KernelUnit


@pytest.fixture
def unit() -> Iterator[KernelUnit]:
    made = KernelUnit(build(Silence(3_000, 9_000, 18_000, 60_000)))
    registry_metrics.watch(made.system)
    yield made
    for close in made.system.closed:
        close(0)
    made.close()


@pytest.fixture
def grown(unit: KernelUnit) -> Callable[..., float]:
    """By how much a number has grown since the test began."""
    before = {(s.name, *sorted(s.labels.items())): s.value for m in REGISTRY.collect() for s in m.samples}

    def since(name: str, **labels: str) -> float:
        return (REGISTRY.get_sample_value(name, labels) or 0.0) - before.get(
            (name, *sorted(labels.items())), 0.0
        )

    return since


def register(agent_id: str, kind: AgentType = AgentType.WORKER) -> RegisterAgent:
    return RegisterAgent(agent_id, kind, (), (), 1, hidden("ann"))


def test_agents_are_counted_as_they_come_fall_silent_and_go(
    unit: KernelUnit, grown: Callable[..., float]
) -> None:
    for name in ("a", "b", "c"):
        unit.handle(register(name))
    unit.handle(RegisterAgent("a", AgentType.WORKER, ("gpu",), (), 1, hidden("ann")))
    unit.handle(register("s", AgentType.SCOUT))
    assert grown("agents_registered_total") == 4
    assert grown("agents_active", type="WORKER", status="HEALTHY") == 3
    assert grown("agents_active", type="SCOUT", status="HEALTHY") == 1
    unit.handle(DeregisterAgent("c", "done", hidden("ann")))
    assert grown("agents_deregistered_total") == 1
    unit.pass_time(8)
    unit.handle(Heartbeat("b", 1.0, 0.0, 0))
    unit.handle(Heartbeat("s", 1.0, 0.0, 0))
    unit.pass_time(3)
    assert grown("agents_active", type="WORKER", status="DEGRADED") == 1
    unit.pass_time(5)
    unit.handle(Heartbeat("b", 1.0, 0.0, 0))
    unit.handle(Heartbeat("s", 1.0, 0.0, 0))
    unit.pass_time(3)
    assert grown("agents_active", type="WORKER", status="UNHEALTHY") == 1
    assert grown("agents_active", type="WORKER", status="HEALTHY") == 1
    assert grown("agents_marked_unhealthy_total") == 1
    unit.pass_time(60)
    assert grown("agents_removed_total") == 3
    assert sum(grown("agents_active", type="WORKER", status=s) for s in ("HEALTHY", "DEGRADED")) == 0
    assert grown("agents_registered_total") == 4
    assert grown("health_checks_total") == 9, "three steps of three agents"
    assert grown("heartbeats_received_total") == 4


def test_active_agents_are_right_when_a_partition_opens_and_gone_when_it_closes(
    unit: KernelUnit, grown: Callable[..., float]
) -> None:
    unit.handle(register("a"))
    unit.handle(register("b"))
    unit.handle(DeregisterAgent("b", "done", hidden("ann")))
    assert grown("agents_active", type="WORKER", status="HEALTHY") == 1
    (opened,), (closed,) = unit.system.opened, unit.system.closed
    for _ in range(2):  # after a doubt it is told again
        opened(0, StateView(unit.fold))
        assert grown("agents_active", type="WORKER", status="HEALTHY") == 1
    closed(0)
    assert grown("agents_active", type="WORKER", status="HEALTHY") == 0
    opened(0, StateView(unit.fold))
    unit.pass_time(9)
    assert grown("agents_active", type="WORKER", status="HEALTHY") == 0
    assert grown("agents_active", type="WORKER", status="DEGRADED") == 1


def test_the_way_of_heartbeats_and_the_fate_of_requests(
    unit: KernelUnit, grown: Callable[..., float]
) -> None:
    unit.handle(register("a"))
    unit.handle(Heartbeat("a", 1.0, 0.0, 0), sent_at=unit.now - SECOND // 2)
    assert grown("heartbeat_latency_seconds_sum") == 0.5
    lease = unit.now + SECOND
    unit.handle(ReserveSlots("a", "w", (SlotRequest("t", 1, 0, lease), SlotRequest("u", 1, 0, lease - 1))))
    unit.pass_time(1)
    outcomes = {
        outcome: grown("agent_slots_total", outcome=outcome) for outcome in ("granted", "denied", "expired")
    }
    assert outcomes == {"granted": 1, "denied": 1, "expired": 1}
