"""The registry's messages in memory: the real handlers, decisions and folds."""

from typing import Any

import pytest

from neural_hive.aggregates.agent import AgentRegistered, AgentSeen, AgentType
from neural_hive.aggregates.aggregate import Rejected
from neural_hive.aggregates.pheromone import TrailReinforced
from neural_hive.streams.registry import build
from neural_hive.streams.registry_messages import (
    COMMANDS,
    DeregisterAgent,
    Heartbeat,
    RegisterAgent,
    ReinforceTrail,
)
from tests.orchestrator.memory_unit import MemoryUnit

REGISTER = RegisterAgent("a", AgentType.WORKER, ("python",), (), 2, "ann")


class Registry:
    """The system, and messages with an id each."""

    def __init__(self) -> None:
        self.unit = MemoryUnit(build())
        self._count = 0

    def take(self, message: Any, message_id: str = "") -> list[type]:
        self._count += 1
        events = self.unit.handle(COMMANDS, message, message_id or f"message {self._count}")
        return [type(event) for event in events]


def test_a_repeated_message_yields_nothing() -> None:
    registry = Registry()
    assert registry.take(REGISTER, "one") == [AgentRegistered]
    registry.unit.now += 60_000_000
    assert registry.take(REGISTER, "one") == []
    outcome = ReinforceTrail("a", "python", True)
    assert registry.take(outcome, "two") == [TrailReinforced]
    assert registry.take(outcome, "two") == []
    assert registry.take(outcome, "three") == [TrailReinforced]
    assert registry.unit.states["trail", "a/python"].success_level > 1


def test_the_state_is_the_fold_of_the_log() -> None:
    registry = Registry()
    registry.take(REGISTER)
    registry.unit.now += 60_000_000
    assert registry.take(Heartbeat("a", 0.9, 0.5, 20)) == [AgentSeen]
    registry.take(ReinforceTrail("a", "python", False))
    registry.take(DeregisterAgent("a", "done", "ann"))
    with pytest.raises(Rejected, match="register it first"):
        registry.take(Heartbeat("nobody", 1.0, 0.0, 0))
    assert registry.unit.folded() == registry.unit.states
