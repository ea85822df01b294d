"""What the orchestrator would have committed, event by event, with the states before and after each."""

from typing import Any

from neural_hive.aggregates.aggregate import Aggregate
from neural_hive.aggregates.ticket import (
    TICKET,
    TicketAllocated,
    TicketCancelled,
    TicketCompleted,
    TicketCreated,
    TicketDispatched,
    TicketFailed,
    TicketReady,
    TicketRetryScheduled,
    TicketStarted,
    TicketUnallocated,
)
from neural_hive.aggregates.ticketing import tickets_of
from neural_hive.aggregates.workflow import (
    WORKFLOW,
    PlanRejected,
    WorkflowCompensating,
    WorkflowCompleted,
    WorkflowFailed,
    WorkflowStarted,
    ticket_id_of,
)
from neural_hive.streams.kernel.system import Committed, Measured, Observed
from tests.aggregates.making import AGENT, decision, task

SECOND = 1_000_000
BEGAN = 1_700_000_000 * SECOND
HOUR_S = 3_600


class History:
    """One partition's log. Times are seconds since it began."""

    def __init__(self, partition: int = 0) -> None:
        self.partition = partition
        self.states: dict[tuple[str, str], Any] = {}
        self.decision = decision(task("a", estimated_duration_ms=1_500), task("b", "a"))
        self.workflow = self.decision.decision_id
        self.a = ticket_id_of(self.workflow, "a")
        self.b = ticket_id_of(self.workflow, "b")

    def commit(self, at_s: float, *events: Any, measured: tuple[Measured, ...] = ()) -> Committed:
        """A transaction whose cause the log heard of at a time."""
        at = BEGAN + round(at_s * SECOND)
        return Committed(self.partition, tuple(self._observed(event, at) for event in events), measured)

    def _observed(self, event: Any, at: int) -> Observed:
        is_ticket = hasattr(event, "ticket_id")
        aggregate: Aggregate[Any] = TICKET if is_ticket else WORKFLOW
        aggregate_id = event.ticket_id if is_ticket else getattr(event, "workflow_id", self.workflow)
        before = self.states.get((aggregate.name, aggregate_id))
        after = self.states[aggregate.name, aggregate_id] = aggregate.evolve(before, event)
        return Observed(aggregate.name, aggregate_id, event, before, after, at)

    def begun(self, deadline_s: float = 4 * HOUR_S) -> Committed:
        """The plan is accepted: two tickets, of which the first is ready."""
        given = self.decision
        roots = (self.a,)
        started = WorkflowStarted(
            self.workflow,
            given.decision_id,
            given.plan_id,
            given.intent_id,
            given.risk_band,
            given.priority,
            given.confidence,
            2,
            BEGAN,
            BEGAN + round(deadline_s * SECOND),
            roots,
            "0" * 64,
            "ann",
        )
        tickets = [
            TicketCreated(**{name: getattr(ticket, name) for name in TicketCreated.__struct_fields__})
            for ticket in tickets_of(given, BEGAN)
        ]
        measured = (Measured("C1", self.workflow, 0.002), Measured("C2", self.workflow, 0.004))
        return self.commit(0, started, *tickets, self.ready(self.a, 0), measured=measured)

    def rejected(self) -> Committed:
        """The plan is refused."""
        event = PlanRejected(self.workflow, "p-1", ("it has a cycle",), "0" * 64)
        return self.commit(0, event, measured=(Measured("C1", self.workflow, 0.001),))

    def ready(self, ticket: str, at_s: float) -> TicketReady:
        return TicketReady(ticket_id=ticket, workflow_id=self.workflow, ready_at=_at(at_s), place=_at(at_s))

    def allocated(self, ticket: str, at_s: float, allocation: int = 1) -> TicketAllocated:
        return TicketAllocated(
            ticket_id=ticket,
            workflow_id=self.workflow,
            attempt=1,
            agent_id=AGENT,
            allocation=allocation,
            score=0.9,
            candidates=(),
            allocated_at=_at(at_s),
        )

    def unallocated(self, ticket: str, at_s: float, allocation: int = 1) -> TicketUnallocated:
        return TicketUnallocated(
            ticket_id=ticket,
            workflow_id=self.workflow,
            attempt=1,
            agent_id=AGENT,
            allocation=allocation,
            reason="it is full",
            unallocated_at=_at(at_s),
        )

    def dispatched(self, ticket: str, at_s: float, attempt: int = 1) -> TicketDispatched:
        created = self.states["ticket", ticket].created
        return TicketDispatched(
            ticket_id=ticket,
            workflow_id=self.workflow,
            plan_id=created.plan_id,
            task_id=created.task.task_id,
            task_type=created.task.task_type,
            attempt=attempt,
            allocated_agent_id=AGENT,
            webhook_url="",
            command=("true",),
            parameters={},
            environment={},
            timeout_ms=1_000,
            deadline_at=created.deadline_at,
            security_level=created.task.security_level,
            inputs=(),
            dispatched_at=_at(at_s),
        )

    def started(self, ticket: str, at_s: float, attempt: int = 1) -> TicketStarted:
        return TicketStarted(
            ticket_id=ticket,
            workflow_id=self.workflow,
            attempt=attempt,
            agent_id=AGENT,
            started_at=_at(at_s),
        )

    def completed(self, ticket: str, from_s: float, to_s: float, attempt: int = 1) -> TicketCompleted:
        return TicketCompleted(**self._result(ticket, from_s, to_s, attempt))

    def failed(self, ticket: str, from_s: float, to_s: float, attempt: int = 1) -> TicketFailed:
        return TicketFailed(**self._result(ticket, from_s, to_s, attempt), error="it broke")

    def _result(self, ticket: str, from_s: float, to_s: float, attempt: int) -> dict[str, Any]:
        return {
            "ticket_id": ticket,
            "workflow_id": self.workflow,
            "attempt": attempt,
            "agent_id": AGENT,
            "started_at": _at(from_s),
            "completed_at": _at(to_s),
            "exit_code": 0,
            "outputs": {},
            "artifacts": (),
        }

    def retry(self, ticket: str, due_s: float, attempt: int = 1) -> TicketRetryScheduled:
        return TicketRetryScheduled(
            ticket_id=ticket, workflow_id=self.workflow, attempt=attempt, due_at=_at(due_s), reason="it broke"
        )

    def cancelled(self, ticket: str, at_s: float) -> TicketCancelled:
        return TicketCancelled(
            ticket_id=ticket, workflow_id=self.workflow, reason="no more", cancelled_at=_at(at_s)
        )

    def workflow_completed(self, duration_s: float) -> WorkflowCompleted:
        return WorkflowCompleted(self.workflow, 2, round(duration_s * 1_000))

    def compensating(self, at_s: float) -> WorkflowCompensating:
        return WorkflowCompensating(self.workflow, (self.a,), "of 2 tasks 1 failed", _at(at_s))

    def workflow_failed(self, duration_s: float) -> WorkflowFailed:
        return WorkflowFailed(self.workflow, 1, 1, 0, "of 2 tasks 1 failed", round(duration_s * 1_000))


def _at(at_s: float) -> int:
    return BEGAN + round(at_s * SECOND)
