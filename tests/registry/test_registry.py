"""The registry's messages on the real fold and codec: signs of life, trails, and what is measured of them."""

from collections.abc import Iterator
from typing import Any

import pytest

from neural_hive.aggregates.agent import AgentRegistered, AgentSeen, AgentType, Silence
from neural_hive.aggregates.aggregate import Rejected
from neural_hive.aggregates.pheromone import TRAIL, TrailReinforced
from neural_hive.streams.kernel.system import Committed, Measured
from neural_hive.streams.registry.messages import (
    DeregisterAgent,
    Heartbeat,
    RegisterAgent,
    ReinforceTrail,
)
from neural_hive.streams.registry.system import HEALTH_CHECK, HEARTBEAT, build
from tests.privacy.memory_keys import hidden
from tests.registry.kernel_unit import SECOND, KernelUnit

REGISTER = RegisterAgent("a", AgentType.WORKER, ("python",), (), 2, hidden("ann"))
QUICK = Silence(3_000, 9_000, 18_000, 60_000)


@pytest.fixture
def unit() -> Iterator[KernelUnit]:
    made = KernelUnit(build(QUICK))
    yield made
    made.close()


def kinds(events: list[Any]) -> list[type]:
    return [type(event) for event in events]


def test_a_repeated_message_yields_nothing(unit: KernelUnit) -> None:
    assert kinds(unit.handle(REGISTER, "one")) == [AgentRegistered]
    unit.now += 6 * SECOND
    assert unit.handle(REGISTER, "one") == []
    outcome = ReinforceTrail("a", "python", True)
    assert kinds(unit.handle(outcome, "two")) == [TrailReinforced]
    assert unit.handle(outcome, "two") == []
    assert kinds(unit.handle(outcome, "three")) == [TrailReinforced]
    assert unit.state(TRAIL, "a/python").success_level > 1


def test_the_state_is_the_fold_of_the_log(unit: KernelUnit) -> None:
    unit.handle(REGISTER)
    unit.now += 6 * SECOND
    assert kinds(unit.handle(Heartbeat("a", 0.9, 0.5, 20))) == [AgentSeen]
    unit.handle(ReinforceTrail("a", "python", False))
    unit.handle(DeregisterAgent("a", "done", hidden("ann")))
    with pytest.raises(Rejected, match="register it first"):
        unit.handle(Heartbeat("nobody", 1.0, 0.0, 0))
    assert unit.refolded_rows() == unit.rows()


def test_signs_of_life_and_looks_at_silence_are_measured(unit: KernelUnit) -> None:
    told: list[Measured] = []
    unit.system.observers.append(lambda committed: told.extend(_measured(committed)))
    unit.handle(REGISTER)
    unit.handle(Heartbeat("a", 1.0, 0.0, 0), sent_at=unit.now - SECOND // 4)
    unit.handle(Heartbeat("a", 1.0, 0.0, 0), sent_at=unit.now + SECOND)
    unit.handle(Heartbeat("a", 1.0, 0.0, 0), sent_at=-(2**62))
    unit.pass_time(10)
    seconds = [(one.name, one.seconds) for one in told]
    assert seconds == [(HEARTBEAT, 0.25), (HEARTBEAT, 0.0), (HEARTBEAT, 3_600.0), (HEALTH_CHECK, 9.0)]


def _measured(committed: Committed) -> tuple[Measured, ...]:
    return committed.measured
