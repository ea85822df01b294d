"""What became of workflows and tickets, from their events: the same for a history and for a run.

Folded with the aggregates' own `evolve`. Times are those of the events' causes, so what brokers and processors take
does not count in either.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator
from hashlib import sha256
from typing import Any, Final

import msgspec

from neural_hive.aggregates.aggregate import Aggregate, event_of
from neural_hive.aggregates.incident import INCIDENT
from neural_hive.aggregates.ticket import TICKET, Ticket
from neural_hive.aggregates.ticket import Status as TicketStatus
from neural_hive.aggregates.workflow import WORKFLOW, Workflow
from neural_hive.connectors.kafka_log import Record
from neural_hive.schemas.codec import decode
from neural_hive.schemas.envelope import Envelope

TOPICS: Final = (WORKFLOW.topic, TICKET.topic, INCIDENT.topic)
_WITH_AGENT: Final = (TicketStatus.ASSIGNED, TicketStatus.RUNNING)
_NOT_DECIDED: Final = "views"  # how far a view was read says nothing of what was decided


class Span(msgspec.Struct, frozen=True):
    """A stretch of time, µs; `agent_id` empty: the ticket waited for one."""

    begun_at: int
    ended_at: int
    agent_id: str = ""

    @property
    def ms(self) -> int:
        """How long it was."""
        return (self.ended_at - self.begun_at) // 1_000


class Step(msgspec.Struct, frozen=True):
    """One event, as far as it says what was decided."""

    at: int  # µs
    kind: str
    what: str  # agent, attempt, score, reason …
    digest: str  # of all that it says


class TicketOutcome(msgspec.Struct):
    """What became of one ticket."""

    workflow_id: str
    ticket_id: str
    task_id: str
    task_type: str
    status: str = ""
    attempts: int = 0
    agent_id: str = ""  # that of the last attempt
    spans: list[Span] = []
    steps: list[Step] = []

    @property
    def waited_ms(self) -> int:
        """How long it waited for agents, in all."""
        return sum(span.ms for span in self.spans if not span.agent_id)

    @property
    def ran_ms(self) -> int:
        """How long it was with agents, in all."""
        return sum(span.ms for span in self.spans if span.agent_id)


class WorkflowOutcome(msgspec.Struct):
    """What became of one workflow."""

    workflow_id: str
    plan_id: str = ""
    status: str = ""
    begun_at: int = 0  # µs
    ended_at: int = 0  # 0: it has not
    incidents: list[str] = []
    steps: list[Step] = []

    @property
    def duration_ms(self) -> int | None:
        """From its acceptance to its end; None: it has not ended."""
        return (self.ended_at - self.begun_at) // 1_000 if self.ended_at else None


class Outcome(msgspec.Struct):
    """What became of all of them, by their ids."""

    workflows: dict[str, WorkflowOutcome] = {}
    tickets: dict[str, TicketOutcome] = {}


def outcome_of(records: Iterable[Record], workflows: Collection[str], until: int) -> Outcome:
    """Folds events, each partition in its order; `until` is when one looks, µs. Only these workflows count.

    Raises LookupError, BadRecord: an event is not one of this build.
    """
    found = Outcome()
    states: dict[tuple[str, str], Any] = {}
    since: dict[str, int] = {}
    aggregates = {aggregate.name: aggregate for aggregate in (WORKFLOW, TICKET, INCIDENT)}
    for record in records:
        decoded = decode(record.value or b"", "event")
        head = decoded.head
        assert isinstance(head, Envelope)
        aggregate = aggregates.get(head.aggregate_type)
        workflow_id = (record.key or b"").decode()
        if aggregate is None or workflow_id not in workflows:
            continue
        key = head.aggregate_type, head.aggregate_id
        before = states.get(key)
        after = states[key] = _after(aggregate, before, head, decoded.payload)
        step = _step(head, decoded.payload)
        if aggregate is TICKET:
            _note_ticket(found.tickets, since, before, after, step)
        elif aggregate is WORKFLOW:
            _note_workflow(found.workflows, workflow_id, after, step)
        elif head.event_type == "IncidentOpened":
            _workflow(found.workflows, workflow_id).incidents.append(str(decoded.payload["kind"]))
    for ticket_id, at in since.items():
        _close(found.tickets[ticket_id], states[TICKET.name, ticket_id], at, until)
    return found


def _after(aggregate: Aggregate[Any], before: Any, head: Envelope, payload: dict[str, Any]) -> Any:
    return aggregate.evolve(before, event_of(aggregate, head.event_type, payload))


def _step(head: Envelope, payload: dict[str, Any]) -> Step:
    said = {name: value for name, value in payload.items() if name != _NOT_DECIDED}
    packed = msgspec.json.encode((head.event_type, head.occurred_at, said), order="deterministic")
    what = (f"{name} {payload[name]}" for name in _SHOWN if payload.get(name) not in (None, "", 0))
    return Step(head.occurred_at, head.event_type, ", ".join(what), sha256(packed).hexdigest()[:16])


_SHOWN: Final = ("attempt", "agent_id", "allocated_agent_id", "score", "place", "reason")


def _note_ticket(
    tickets: dict[str, TicketOutcome], since: dict[str, int], before: Ticket | None, after: Ticket, step: Step
) -> None:
    created = after.created
    ticket = tickets.get(created.ticket_id)
    if ticket is None:
        about = (created.workflow_id, created.ticket_id, created.task.task_id, created.task.task_type.value)
        ticket = tickets[created.ticket_id] = TicketOutcome(*about)
    ticket.steps.append(step)
    if before is None or _place(before) != _place(after):
        if before is not None and created.ticket_id in since:
            _close(ticket, before, since.pop(created.ticket_id), step.at)
        if _place(after):
            since[created.ticket_id] = step.at
    ticket.status, ticket.attempts, ticket.agent_id = after.status.value, after.attempt, after.agent_id


def _place(ticket: Ticket) -> str:
    """Where a ticket's time goes: it waits, it is with an agent, or neither."""
    if ticket.status is TicketStatus.READY:
        return "waits"
    return f"{ticket.attempt} with {ticket.agent_id}" if ticket.status in _WITH_AGENT else ""


def _close(ticket: TicketOutcome, state: Ticket, begun_at: int, ended_at: int) -> None:
    agent_id = state.agent_id if state.status in _WITH_AGENT else ""
    ticket.spans.append(Span(begun_at, max(ended_at, begun_at), agent_id))


def _workflow(workflows: dict[str, WorkflowOutcome], workflow_id: str) -> WorkflowOutcome:
    return workflows.setdefault(workflow_id, WorkflowOutcome(workflow_id))


_ENDED: Final = ("WorkflowCompleted", "WorkflowFailed", "WorkflowCancelled", "PlanRejected")


def _note_workflow(
    workflows: dict[str, WorkflowOutcome], workflow_id: str, after: Workflow, step: Step
) -> None:
    workflow = _workflow(workflows, workflow_id)
    workflow.steps.append(step)
    workflow.status, workflow.plan_id = after.status.value, after.plan_id
    workflow.begun_at = workflow.begun_at or step.at
    if step.kind in _ENDED:
        workflow.ended_at = workflow.ended_at or step.at


class Totals(msgspec.Struct, frozen=True):
    """An outcome in numbers."""

    workflows: dict[str, int]  # by status
    tickets: dict[str, int]
    attempts: int
    incidents: dict[str, int]  # by kind
    workflow_ms_median: int | None  # of those that have ended
    workflow_ms_max: int | None
    waited_ms: int  # of all tickets, for agents
    waited_ms_max: int
    agents_ms: int  # how long tickets were with agents, in all: what the work costs
    agents: dict[str, int]  # the same for each agent
    took_ms: int  # from the first beginning to the last end


def totals(outcome: Outcome) -> Totals:
    """Counts and sums."""
    workflows, tickets = outcome.workflows.values(), outcome.tickets.values()
    durations = sorted(w.duration_ms for w in workflows if w.duration_ms is not None)
    agents: defaultdict[str, int] = defaultdict(int)
    for ticket in tickets:
        for span in ticket.spans:
            if span.agent_id:
                agents[span.agent_id] += span.ms
    begun = min((w.begun_at for w in workflows), default=0)
    ended = max((w.ended_at for w in workflows if w.ended_at), default=begun)
    return Totals(
        _counted(workflow.status for workflow in workflows),
        _counted(ticket.status for ticket in tickets),
        sum(ticket.attempts for ticket in tickets),
        _counted(kind for workflow in workflows for kind in workflow.incidents),
        durations[(len(durations) - 1) // 2] if durations else None,
        durations[-1] if durations else None,
        sum(ticket.waited_ms for ticket in tickets),
        max((ticket.waited_ms for ticket in tickets), default=0),
        sum(agents.values()),
        dict(sorted(agents.items())),
        (ended - begun) // 1_000,
    )


def _counted(names: Iterator[str]) -> dict[str, int]:
    return dict(sorted(Counter(names).items()))
