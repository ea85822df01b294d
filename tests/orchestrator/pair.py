"""Orchestrator and registry in memory, each with the real handlers, and the messages that pass between them."""

from collections import deque
from typing import Any

from neural_hive.aggregates.agent import AgentType, Presence
from neural_hive.aggregates.slot import held_key
from neural_hive.aggregates.vocabulary import TaskType
from neural_hive.streams.exceptions_view import Exceptions, Frozen
from neural_hive.streams.freezes_view import Freezes
from neural_hive.streams.orchestrator.flow import USUAL_LIMITS, Limits
from neural_hive.streams.orchestrator.system import build
from neural_hive.streams.registry import system as registry
from neural_hive.streams.registry.messages import COMMANDS, DeregisterAgent, RegisterAgent
from tests.orchestrator.memory_unit import MemoryUnit, Sent


class Pair:
    """The two systems. `capacity` 0: no agent is registered."""

    def __init__(self, agent_id: str, capacity: int, limits: Limits = USUAL_LIMITS) -> None:
        self.orchestrator, self.registry = MemoryUnit(build(limits)), MemoryUnit(registry.build())
        self.orchestrator.views = {
            "agents": lambda: self._states("agent"),
            "trails": lambda: self._states("trail"),
            "freezes": lambda: Frozen(self.freezes, self.exceptions),
        }
        self.freezes: Freezes = {}
        self.exceptions: Exceptions = {}
        self._on_its_way: deque[Sent] = deque()
        self._registered = 0
        self._views: dict[str, dict[str, Any]] = {"agent": {}, "trail": {}}
        self._viewed = 0  # how much of the registry's log is in them
        self.views_are_stale = False  # nothing more of it comes
        if capacity:
            self.register(agent_id, capacity)

    def _states(self, name: str) -> dict[str, Any]:
        """What a view of the registry's events holds: agents that are registered, or trails."""
        log = self.registry.log
        if self.views_are_stale:
            return self._views[name]
        for written in log[self._viewed :]:
            if written.aggregate in self._views:
                state = self.registry.states[written.aggregate, written.aggregate_id]
                view = self._views[written.aggregate]
                view.pop(written.aggregate_id, None)
                if getattr(state, "presence", Presence.REGISTERED) is Presence.REGISTERED:
                    view[written.aggregate_id] = state
        self._viewed = len(log)
        return self._views[name]

    def register(self, agent_id: str, capacity: int, *capabilities: str) -> None:
        """Makes an agent known to the registry."""
        types = tuple(task_type for task_type in TaskType if task_type is not TaskType.UNKNOWN)
        self._registered += 1
        message = RegisterAgent(agent_id, AgentType.WORKER, capabilities, types, capacity)
        self._tell(message)

    def deregister(self, agent_id: str) -> None:
        """Takes an agent away; what it works on goes on."""
        self._registered += 1
        self._tell(DeregisterAgent(agent_id, "it leaves"))

    def _tell(self, message: RegisterAgent | DeregisterAgent) -> None:
        self.registry.now = self.orchestrator.now
        self.registry.handle(COMMANDS, message, f"registry {self._registered}", 0)
        self.pump()

    def pump(self) -> list[Any]:
        """Delivers messages until none is left; the orchestrator's events that follow from them."""
        events: list[Any] = []
        while self.step(events):
            pass
        return events

    def step(self, events: list[Any]) -> bool:
        """Delivers one message, if there is one."""
        for unit in (self.orchestrator, self.registry):
            self._on_its_way += unit.sent
            unit.sent.clear()
        if not self._on_its_way:
            return False
        sent = self._on_its_way.popleft()
        if sent.topic == COMMANDS:
            self.registry.now = max(self.registry.now, self.orchestrator.now)
            self.registry.receive(sent)
        else:
            events += self.orchestrator.receive(sent)
        return True

    def held(self, agent_id: str) -> int:
        """How many slots of an agent the registry has given away."""
        return self.registry.counters[held_key(agent_id)]
