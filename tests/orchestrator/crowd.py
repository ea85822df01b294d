"""Several workflows on the same agents, in memory."""

from typing import Any

from neural_hive.aggregates.decision import DecisionConsolidated
from neural_hive.aggregates.ticket import TicketDispatched
from neural_hive.aggregates.vocabulary import Outcome
from neural_hive.streams.orchestrator.flow import USUAL_LIMITS, Limits
from neural_hive.streams.orchestrator.messages import ReportResult, ReportStart
from tests.aggregates.making import decision, task
from tests.orchestrator.memory_unit import MemoryUnit
from tests.orchestrator.pair import Pair
from tests.orchestrator.running import PLANS, RESULTS


class Crowd:
    """Several workflows on the same agents."""

    def __init__(self, *agents: tuple[str, int], limits: Limits = USUAL_LIMITS) -> None:
        self.pair = Pair("", 0, limits)
        for agent_id, capacity in agents:
            self.pair.register(agent_id, capacity)
        self.waiting: list[TicketDispatched] = []
        self.order: list[TicketDispatched] = []
        self._seen = 0

    @property
    def unit(self) -> MemoryUnit:
        return self.pair.orchestrator

    def tell(self, topic: str, message: Any, message_id: str, deliver: bool = True) -> None:
        self.unit.handle(topic, message, message_id)
        if deliver:
            self.pair.pump()
        self.note()

    def publish(self, plan: DecisionConsolidated, deliver: bool = True) -> None:
        self.tell(PLANS, plan, f"plan {plan.decision_id}", deliver)

    def answer(
        self, given_out: TicketDispatched, outcome: Outcome = Outcome.COMPLETED, deliver: bool = True
    ) -> None:
        self.waiting.remove(given_out)
        ids = (given_out.workflow_id, given_out.ticket_id, given_out.attempt, given_out.allocated_agent_id)
        now = self.unit.now
        result = ReportResult(*ids, outcome, now, now + 1, outputs={"x": "1"})
        self.tell(RESULTS, result, f"{given_out.ticket_id} {given_out.attempt} result", deliver)

    def start(self, given_out: TicketDispatched, deliver: bool = True) -> None:
        ids = (given_out.workflow_id, given_out.ticket_id, given_out.attempt, given_out.allocated_agent_id)
        message_id = f"{given_out.ticket_id} {given_out.attempt} start"
        self.tell(RESULTS, ReportStart(*ids, self.unit.now), message_id, deliver)

    def note(self) -> None:
        for written in self.unit.log[self._seen :]:
            if isinstance(written.event, TicketDispatched):
                self.waiting.append(written.event)
                self.order.append(written.event)
        self._seen = len(self.unit.log)

    def end(self) -> None:
        """Answers and lets time pass until all has ended."""
        self.pair.pump()
        self.note()
        while self.waiting or self.unit.timers():
            if self.waiting:
                self.answer(self.waiting[0])
            else:
                self.unit.fire(self.unit.timers()[0])
                self.pair.pump()
                self.note()


def plan(name: str, size: int, **changes: Any) -> DecisionConsolidated:
    return decision(*(task(f"t{n}") for n in range(size)), decision_id=name, **changes)


def events_of(unit: MemoryUnit, *types: type[Any]) -> list[Any]:
    return [written.event for written in unit.log if isinstance(written.event, types)]
