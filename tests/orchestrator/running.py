"""A workflow being executed in memory: publishes a plan, answers dispatches as an agent would."""

from typing import Any

from neural_hive.aggregates.decision import DecisionConsolidated
from neural_hive.aggregates.ticket import RETRY_TIMER, Status, Ticket, TicketDispatched
from neural_hive.aggregates.vocabulary import Outcome
from neural_hive.aggregates.workflow import WAIT_TIMER, Workflow, ticket_id_of
from neural_hive.streams.orchestrator.messages import CancelWorkflow, ReportResult, ReportStart
from tests.aggregates.making import AGENT
from tests.orchestrator.memory_unit import MemoryUnit, Timer
from tests.orchestrator.pair import Pair

PLANS, RESULTS, COMMANDS = "plans.consensus", "execution.results", "orchestration.commands"


class Run:
    """One decision, and all that follows from it."""

    def __init__(
        self, decision: DecisionConsolidated, capacity: int = 10_000, pair: Pair | None = None
    ) -> None:
        self.decision = decision
        self.pair = pair or Pair(AGENT, capacity)
        self.waiting: list[TicketDispatched] = []  # given to the agent, and not answered yet
        self.dispatched: list[str] = []  # task ids, in order

    @property
    def unit(self) -> MemoryUnit:
        """The orchestrator."""
        return self.pair.orchestrator

    def publish(self, message_id: str = "plan") -> list[Any]:
        return self._handle(PLANS, self.decision, message_id)

    def start(self, dispatch: TicketDispatched) -> list[Any]:
        agent_id, now = dispatch.allocated_agent_id, self.unit.now
        report = ReportStart(dispatch.workflow_id, dispatch.ticket_id, dispatch.attempt, agent_id, now)
        return self._handle(RESULTS, report, f"{dispatch.ticket_id} {dispatch.attempt} start")

    def answer(
        self, dispatch: TicketDispatched, outcome: Outcome = Outcome.COMPLETED, **changes: Any
    ) -> list[Any]:
        """The agent's result. The same attempt has the same message id, as the agent's own."""
        if dispatch in self.waiting:
            self.waiting.remove(dispatch)
        now = self.unit.now
        ids = (dispatch.workflow_id, dispatch.ticket_id, dispatch.attempt, dispatch.allocated_agent_id)
        message_id = changes.pop("message_id", f"{dispatch.ticket_id} {dispatch.attempt} result")
        return self._handle(RESULTS, ReportResult(*ids, outcome, now, now + 1, **changes), message_id)

    def stop(self, reason: str = "changed our mind", message_id: str = "stop") -> list[Any]:
        return self._handle(COMMANDS, CancelWorkflow(self.decision.decision_id, reason, "ann"), message_id)

    def ask(self, message: Any, message_id: str = "asked") -> list[Any]:
        """What somebody wants of the workflow or a ticket."""
        return self._handle(COMMANDS, message, message_id)

    def finish(self, *failing: str) -> None:
        """Answers everything that is dispatched, the first first, and lets time pass; some tasks always fail."""
        while self.waiting or (timers := [*self.retries(), *self.waits()]):
            if not self.waiting:
                self.fire(timers[0])
                continue
            dispatch = self.waiting[0]
            self.answer(dispatch, Outcome.FAILED if dispatch.task_id in failing else Outcome.COMPLETED)

    def retries(self) -> list[Timer]:
        """Tickets that wait for their next attempt, the earliest first."""
        return [timer for timer in self.unit.timers() if timer.name == RETRY_TIMER]

    def waits(self) -> list[Timer]:
        """Workflows that wait for agents."""
        return [timer for timer in self.unit.timers() if timer.name == WAIT_TIMER]

    def fire(self, timer: Timer) -> list[Any]:
        """Lets time pass until a timer is due."""
        return self._noted(self.unit.fire(timer) + self.pair.pump())

    def dispatch_of(self, task_id: str) -> TicketDispatched:
        return next(dispatch for dispatch in self.waiting if dispatch.task_id == task_id)

    def _handle(self, topic: str, message: Any, message_id: str) -> list[Any]:
        return self._noted(self.unit.handle(topic, message, message_id) + self.pair.pump())

    def _noted(self, events: list[Any]) -> list[Any]:
        for event in events:
            if isinstance(event, TicketDispatched):
                self.waiting.append(event)
                self.dispatched.append(event.task_id)
        return events

    @property
    def workflow(self) -> Workflow:
        return self.unit.states["workflow", self.decision.decision_id]

    def ticket(self, task_id: str) -> Ticket:
        return self.unit.states["ticket", ticket_id_of(self.decision.decision_id, task_id)]

    @property
    def statuses(self) -> dict[str, Status]:
        return {task.task_id: self.ticket(task.task_id).status for task in self.decision.tasks}
