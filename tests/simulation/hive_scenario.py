"""The real systems, side by side: plans become tickets, simulated agents work on them, people interfere.

Whoever is outside reads the committed log and writes messages, as real ones do; late, twice, wrongly or never.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Final

import msgspec

from neural_hive.aggregates.freeze_exception import FREEZE_EXCEPTION
from neural_hive.aggregates.vocabulary import Priority
from neural_hive.aggregates.workflow import ticket_id_of
from neural_hive.schemas.topics import partition_of
from neural_hive.streams.kernel.fold import NEVER
from neural_hive.streams.orchestrator import system as orchestrator
from neural_hive.streams.orchestrator.flow import Limits
from neural_hive.streams.orchestrator.messages import (
    AdjustQos,
    CancelWorkflow,
    CompleteTicket,
    PauseWorkflow,
    ResumeWorkflow,
    RetryTicket,
)
from neural_hive.streams.registry import system as registry
from tests.privacy.memory_keys import hidden
from tests.simulation import hive_freezes, hive_losses, hive_oracle, hive_repeats
from tests.simulation.history import History
from tests.simulation.hive_agents import Agents
from tests.simulation.hive_exceptions import Exceptions
from tests.simulation.hive_freezes import Freezes
from tests.simulation.hive_plans import random_plan
from tests.simulation.scenario import Act, Scenario

if TYPE_CHECKING:
    from neural_hive.aggregates.decision import DecisionConsolidated
    from tests.simulation.world import World

PLANS, COMMANDS = "plans.consensus", "orchestration.commands"
WORKFLOWS_MAX: Final = 6
ABANDONED: Final = 0.1  # how often no agent lives at the end
TALKING_US, BUSY_US, IDLE_US, OVER_US = 100_000, 3_000_000, 20_000_000, 60_000_000
ANN = hidden("ann")


class Hive(Scenario):
    """See above."""

    steps: ClassVar = 600
    clock_shifts: ClassVar = 1  # an hour later every deadline has passed

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.workflows_max = world.chance.choice((0, 0, 1, 2))
        limits = Limits(workflows_max=self.workflows_max)
        self.systems = (orchestrator.build(limits), registry.build())
        self.plans: dict[str, DecisionConsolidated] = {}
        self.is_abandoned = world.chance.random() < ABANDONED
        self.agents = Agents(world)
        self.freezes = Freezes(world)
        said = partial(self.freezes.write, FREEZE_EXCEPTION)
        self.exceptions = Exceptions(world, self.plans, lambda name, event: said(name, name, event))

    def acts(self) -> list[tuple[Act, int]]:
        """See Scenario.acts."""
        return [
            (self._publish, 5),
            (self._ask, 5),
            (self.agents.live, 12),
            (self.agents.work, 30),
            (self._nonsense, 1),
            (self.freezes.turn, 2),
            (self.exceptions.turn, 2),
        ]

    def rest(self) -> int:
        """Somebody who can do everything works off what is left, or nobody does; then all agents leave. No freeze
        lasts.
        """
        self.freezes.end()
        if self._is_anything_unread():
            return TALKING_US
        if self.is_over():
            return OVER_US
        if self._resume():
            return TALKING_US
        if not self.is_abandoned and self.agents.work_off():
            return BUSY_US
        return max(IDLE_US, self._next_due_us())

    def is_over(self) -> bool:
        """See Scenario.is_over."""
        return not any(hive_oracle.is_open(self.world, workflow_id) for workflow_id in self.plans)

    def check(self, history: History) -> None:
        """See hive_oracle, hive_repeats, hive_losses, hive_freezes."""
        hive_oracle.check(self.world, history)
        hive_repeats.check(history)
        hive_oracle.check_turns(history, self.workflows_max)
        hive_losses.check(history)
        hive_freezes.check(history)

    def _resume(self) -> bool:
        """Lets what nothing else would end go on. Whether there was any."""
        held = [name for name in self.plans if hive_oracle.is_held(self.world, name)]
        for workflow_id in held:
            self._say(COMMANDS, ResumeWorkflow(workflow_id, "because", ANN), workflow_id)
        return bool(held)

    def _next_due_us(self) -> int:
        """How long until the orchestrator does something of itself: hours, if its clock was set back."""
        seats = (seat for seat in self.world.seats if seat[0] == "orchestrator")
        due = min(self.world.owner(seat).partitions[seat].fold.next_due for seat in seats)
        return due - self.world.broker.now if due != NEVER else 0

    def _is_anything_unread(self) -> bool:
        for seat in self.world.seats:
            partition = self.world.owner(seat).partitions[seat]
            for topic in self.world.systems[seat[0]].topics:
                if partition.next[topic] < len(self.world.broker.logs.get((topic, seat[1]), [])):
                    return True
        return False

    # What people do

    def _publish(self) -> None:
        chance = self.world.chance
        if self.plans and chance.random() < 0.2:
            self._publish_again(chance.choice(list(self.plans.values())))
        elif len(self.plans) < WORKFLOWS_MAX:
            plan = random_plan(chance, f"decision-{len(self.plans)}", may_undo=not self.is_abandoned)
            self.plans[plan.decision_id] = plan
            message_id = self._say(PLANS, plan, plan.decision_id)
            if chance.random() < 0.1:
                self._say(PLANS, plan, plan.decision_id, message_id)

    def _publish_again(self, plan: DecisionConsolidated) -> None:
        if self.world.chance.random() < 0.5:
            plan = msgspec.structs.replace(plan, plan_id="another")
        self._say(PLANS, plan, plan.decision_id)

    def _ask(self) -> None:
        chance = self.world.chance
        if not self.plans:
            return
        plan = chance.choice(list(self.plans.values()))
        workflow_id, why, who = plan.decision_id, "because", ANN
        ticket_id = ticket_id_of(workflow_id, chance.choice(plan.tasks).task_id)
        asked: list[tuple[Callable[[], Any], int]] = [
            (partial(PauseWorkflow, workflow_id, why, who), 3),
            (partial(ResumeWorkflow, workflow_id, why, who), 4),
            (partial(CancelWorkflow, workflow_id, why, who), 1),
            (partial(self._adjustment, workflow_id), 2),
            (partial(RetryTicket, workflow_id, ticket_id, why, who), 4),
            (partial(CompleteTicket, workflow_id, ticket_id, why, {"x": "2"}, who), 2),
            (partial(RetryTicket, "decision-0", ticket_id, why, who), 1),
        ]
        make = chance.choices([m for m, _ in asked], [w for _, w in asked])[0]
        message = make()
        message_id = self._say(COMMANDS, message, message.workflow_id)
        if chance.random() < 0.1:
            self._say(COMMANDS, message, message.workflow_id, message_id)

    def _adjustment(self, workflow_id: str) -> AdjustQos:
        chance = self.world.chance
        priority = chance.choice((Priority.UNKNOWN, Priority.LOW, Priority.CRITICAL))
        return AdjustQos(workflow_id, "because", priority, chance.choice((0, 0, 1, 300_000, 1_200_000)), ANN)

    def _nonsense(self) -> None:
        chance = self.world.chance
        topic = chance.choice((PLANS, COMMANDS, "execution.results", "registry.commands"))
        self.world.broker.append((topic, chance.randrange(2)), b"k", chance.randbytes(9))

    def _say(self, topic: str, message: Any, key: str, message_id: str = "") -> str:
        astray = self.world.chance.random() < 0.05
        at = 1 - partition_of(key.encode(), 2) if astray else None
        payload = msgspec.to_builtins(message, builtin_types=(bytes,))
        return self.world.send(topic, type(message).__name__, key, payload, message_id, at)
