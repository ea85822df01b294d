"""How a workflow goes on when one of its tickets has moved, and how it ends."""

from collections.abc import Iterable, Sequence
from time import perf_counter
from typing import Final

from neural_hive.aggregates import tally
from neural_hive.aggregates.aggregate import Event
from neural_hive.aggregates.incident import INCIDENT, Kind, OpenIncident, incident_id_of
from neural_hive.aggregates.risk import rescored, severity_of
from neural_hive.aggregates.ticket import (
    CancelTicket,
    CompensateTicket,
    PlanCompensation,
    ReadyTicket,
    Ticket,
    TicketCommandRefused,
    TicketCompensated,
    TicketCompensationFailed,
    TicketResultRefused,
    TicketRetryScheduled,
    is_finished,
)
from neural_hive.aggregates.ticket import Status as TicketStatus
from neural_hive.aggregates.workflow import (
    OPEN,
    FinishWorkflow,
    Workflow,
    WorkflowCompensating,
    WorkflowFailed,
)
from neural_hive.aggregates.workflow import Status as WorkflowStatus
from neural_hive.streams.orchestrator.audit import (
    NOTHING_FOUND,
    Audit,
    audit,
    compensation_order,
    roots,
    unplanned,
)
from neural_hive.streams.orchestrator.flow import Flow

COMPENSATION_MS: Final = 4 * 3_600_000  # how long one may wait for its agent
_CHANGES_NOTHING: Final = (TicketResultRefused, TicketRetryScheduled, TicketCommandRefused)


def go_on(flow: Flow, ticket_id: str, events: Sequence[Event]) -> None:
    """What events of a ticket mean to the others, and to the workflow."""
    if events and isinstance(last := events[-1], TicketCompensated | TicketCompensationFailed):
        workflow = flow.workflow(flow.ticket(ticket_id).created.workflow_id)
        if isinstance(last, TicketCompensationFailed):
            _tell_what_is_left(flow, workflow, ticket_id, last.error)
        _undo_next(flow, workflow)
    elif events and not isinstance(events[-1], _CHANGES_NOTHING):
        _follow(flow, ticket_id)
        finish(flow, flow.ticket(ticket_id).created.workflow_id)


def _follow(flow: Flow, ticket_id: str) -> None:
    """What the end of a ticket means to those that wait for it."""
    ticket = flow.ticket(ticket_id)
    if ticket.status is TicketStatus.COMPLETED:
        waiting = ticket.created.dependents
        make_ready(flow, (t for t in waiting if flow.unit.count(tally.open_dependencies(t)) == 0))
    else:
        reason = f"task {ticket.created.task.task_id}, which it depends on, is {ticket.status}"
        _cancel_all(flow, ticket.created.dependents, reason)


def make_ready(flow: Flow, ticket_ids: Iterable[str]) -> None:
    """Lets tickets of one workflow wait for agents, the most urgent first; if it is paused, until it is resumed."""
    tickets = [ticket for ticket_id in ticket_ids if not is_finished(ticket := flow.ticket(ticket_id))]
    if not tickets:
        return
    workflow = flow.workflow(tickets[0].created.workflow_id)
    for ticket in sorted(tickets, key=lambda ticket: -ticket.created.priority_score):
        at = 0 if workflow.status is WorkflowStatus.PAUSED else next_place(flow, workflow, ticket)
        flow.on_ticket(ticket.created.ticket_id, ReadyTicket(flow.now, at))


def next_place(flow: Flow, workflow: Workflow, ticket: Ticket) -> int:
    """Where a ticket stands in the queue for agents that becomes ready now."""
    backlog = flow.unit.count(tally.queued(workflow.workflow_id))
    return flow.place(flow.now, backlog, score_of(ticket, workflow))


def score_of(ticket: Ticket, workflow: Workflow) -> float:
    """A ticket's score, with the priority that its workflow has by now."""
    return rescored(ticket.created.priority_score, ticket.created.priority, workflow.priority)


def _cancel_all(flow: Flow, first: Iterable[str], reason: str) -> None:
    """Cancels tickets and all that depend on them. A ticket that was cancelled before is not followed again."""
    waiting = list(first)
    while waiting:
        ticket_id = waiting.pop()
        if flow.on_ticket(ticket_id, CancelTicket(reason, flow.now)):
            waiting += flow.ticket(ticket_id).created.dependents


def cancel_unfinished(flow: Flow, workflow_id: str, reason: str) -> None:
    """Cancels every ticket that has not ended: all are reached from the roots."""
    waiting = roots(flow, workflow_id)
    seen = set(waiting)
    while waiting:
        ticket_id = waiting.pop()
        flow.on_ticket(ticket_id, CancelTicket(reason, flow.now))
        for dependent in flow.ticket(ticket_id).created.dependents:
            if dependent not in seen:
                seen.add(dependent)
                waiting.append(dependent)


def finish(flow: Flow, workflow_id: str, reason: str = "") -> None:
    """Says how the workflow ended, once no ticket is unfinished and, if it failed, what was done is undone."""
    if flow.unit.count(tally.unfinished(workflow_id)):
        return
    workflow = flow.workflow(workflow_id)
    failed = flow.unit.count(tally.completed(workflow_id)) < workflow.task_count
    undo = compensation_order(flow, workflow) if failed and workflow.status in OPEN else ()
    if not undo:
        _say_the_end(flow, workflow, reason)
        return
    events = flow.on_workflow(workflow_id, _end(flow, workflow_id, reason, undo))
    if events and isinstance(events[0], WorkflowCompensating):
        _plan(flow, undo)
        _undo_next(flow, flow.workflow(workflow_id))


def _say_the_end(flow: Flow, workflow: Workflow, reason: str = "") -> None:
    if workflow.status not in (*OPEN, WorkflowStatus.COMPENSATING):
        return
    started, workflow_id = perf_counter(), workflow.workflow_id
    found = audit(flow, workflow)
    events = flow.on_workflow(workflow_id, _end(flow, workflow_id, reason, found=found))
    for event in events:
        if isinstance(event, WorkflowFailed):
            _tell_failure(flow, workflow, event, found.troubled)
    if found.findings:
        tell(flow, workflow, Kind.INTEGRITY, found.findings[0], found.troubled)
    flow.unit.measure("C6", workflow_id, perf_counter() - started)


def _end(
    flow: Flow,
    workflow_id: str,
    reason: str,
    undo: tuple[str, ...] = (),
    found: Audit = NOTHING_FOUND,
) -> FinishWorkflow:
    count = flow.unit.count
    ended = (count(tally.completed(workflow_id)), count(tally.failed(workflow_id)))
    cancelled, undone = count(tally.cancelled(workflow_id)), count(tally.compensated(workflow_id))
    looked_at = (found.findings, found.not_undone)
    return FinishWorkflow(*ended, cancelled, flow.now, reason, undone, undo, *looked_at)


def _tell_failure(flow: Flow, workflow: Workflow, failed: WorkflowFailed, troubled: tuple[str, ...]) -> None:
    late = flow.unit.load(INCIDENT, incident_id_of(workflow.workflow_id, Kind.DEADLINE_PASSED))
    if late is None:
        tell(flow, workflow, Kind.WORKFLOW_FAILED, failed.reason, troubled)


def _tell_what_is_left(flow: Flow, workflow: Workflow, ticket_id: str, error: str) -> None:
    ticket = flow.ticket(ticket_id)
    tries = f"after {ticket.undo_tries} tries" if ticket.undo_tries else "and was not tried"
    summary = f"task {ticket.created.task.task_id} could not be undone, {tries}: {error}"
    tell(flow, workflow, Kind.NOT_UNDONE, summary, (ticket_id,), about=ticket_id)


def tell(
    flow: Flow, workflow: Workflow, kind: Kind, summary: str, ticket_ids: tuple[str, ...], about: str = ""
) -> None:
    """Opens an incident of a workflow, or of one ticket (`about`), as severe as the workflow's risk or priority."""
    severity = severity_of(workflow.risk_band, workflow.priority)
    flow.open_incident(
        OpenIncident(workflow.workflow_id, kind, severity, summary, ticket_ids, flow.now, about)
    )


def _plan(flow: Flow, undo: tuple[str, ...]) -> None:
    for position, ticket_id in enumerate(undo, 1):
        flow.on_ticket(ticket_id, PlanCompensation(position))


def _undo_next(flow: Flow, workflow: Workflow) -> None:
    """Lets the next ticket that is to be undone wait for an agent; after the last one the workflow has failed."""
    following = _next_to_undo(flow, workflow)
    if not following:
        _say_the_end(flow, workflow)
        return
    expires_at = flow.now + COMPENSATION_MS * 1_000
    at = next_place(flow, workflow, flow.ticket(following[0]))
    flow.on_ticket(following[0], CompensateTicket(flow.now, at, expires_at))


def _next_to_undo(flow: Flow, workflow: Workflow) -> list[str]:
    """The first in the queue, if there is one. Builds before this one have planned nothing: what they left is planned
    now.
    """
    queue = tally.to_undo(workflow.workflow_id)
    if following := flow.unit.first(queue, 1):
        return following
    _plan(flow, unplanned(flow, workflow))
    return flow.unit.first(queue, 1)


def ready_tickets(flow: Flow, workflow_id: str, count: int) -> list[Ticket]:
    """The tickets of a workflow that are ready, in the order of their places."""
    ids = flow.unit.first(tally.ready_queue(workflow_id), count)
    return sorted((flow.ticket(ticket_id) for ticket_id in ids), key=lambda t: (t.place, t.created.ticket_id))
