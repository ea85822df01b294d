"""Walks over all tickets of a workflow: what is to be undone and in which order, and whether all are accounted for."""

from collections import Counter
from heapq import heapify, heappop, heappush
from typing import Final

import msgspec

from neural_hive.aggregates import tally
from neural_hive.aggregates.decision import TASKS_MAX
from neural_hive.aggregates.incident import TICKETS_MAX
from neural_hive.aggregates.ticket import UNFINISHED, Status, Ticket, could_not_be_undone
from neural_hive.aggregates.workflow import FINDINGS_MAX, Workflow
from neural_hive.streams.orchestrator.flow import Flow

_DONE: Final = (Status.COMPLETED, Status.COMPENSATED)


class Audit(msgspec.Struct, frozen=True):
    """What was found at a workflow's end."""

    findings: tuple[str, ...]  # what does not fit
    troubled: tuple[str, ...]  # the first tickets that failed or timed out
    not_undone: tuple[str, ...]  # tasks whose compensation failed


NOTHING_FOUND: Final = Audit((), (), ())


def audit(flow: Flow, workflow: Workflow) -> Audit:
    """Compares every ticket with what was counted of it. The cost is that of the tickets and their dependencies."""
    tickets = all_tickets(flow, workflow)
    findings = [*_of_counts(flow, workflow, tickets), *_of_tickets(tickets)]
    troubled = [t for t, ticket in tickets.items() if ticket.status in (Status.FAILED, Status.TIMED_OUT)]
    not_undone = (t.created.task.task_id for t in tickets.values() if could_not_be_undone(t))
    return Audit(tuple(findings[:FINDINGS_MAX]), tuple(troubled[:TICKETS_MAX]), tuple(not_undone))


def roots(flow: Flow, workflow_id: str) -> list[str]:
    """The tickets of a workflow that depend on nothing."""
    return flow.unit.first(tally.roots(workflow_id), TASKS_MAX)


def all_tickets(flow: Flow, workflow: Workflow) -> dict[str, Ticket]:
    """Every ticket of a workflow: all are reached from the roots."""
    found: dict[str, Ticket] = {}
    waiting = roots(flow, workflow.workflow_id)
    seen = set(waiting)
    while waiting:
        ticket_id = waiting.pop()
        found[ticket_id] = ticket = flow.ticket(ticket_id)
        waiting += [dependent for dependent in ticket.created.dependents if dependent not in seen]
        seen.update(ticket.created.dependents)
    return found


def _of_counts(flow: Flow, workflow: Workflow, tickets: dict[str, Ticket]) -> list[str]:
    workflow_id, count = workflow.workflow_id, flow.unit.count
    ended = Counter(ticket.status for ticket in tickets.values())
    wanted = {
        "tickets": (workflow.task_count, len(tickets)),
        "completed": (count(tally.completed(workflow_id)), sum(ended[status] for status in _DONE)),
        "failed": (count(tally.failed(workflow_id)), ended[Status.FAILED] + ended[Status.TIMED_OUT]),
        "cancelled": (count(tally.cancelled(workflow_id)), ended[Status.CANCELLED]),
        "compensated": (count(tally.compensated(workflow_id)), ended[Status.COMPENSATED]),
        "unfinished": (count(tally.unfinished(workflow_id)), 0),
    }
    return [
        f"{name}: {counted} were counted, {found} are there"
        for name, (counted, found) in wanted.items()
        if counted != found
    ]


def _of_tickets(tickets: dict[str, Ticket]) -> list[str]:
    findings = []
    for ticket_id, ticket in tickets.items():
        if ticket.status in UNFINISHED:
            findings.append(f"ticket {ticket_id} is {ticket.status} at the end")
        elif ticket.slot is not None:
            findings.append(f"ticket {ticket_id} is {ticket.status} and has a slot of {ticket.slot.agent_id}")
        elif ticket.status in _DONE:
            needed = [
                n for n in ticket.created.dependencies if n not in tickets or tickets[n].status not in _DONE
            ]
            findings += [f"ticket {ticket_id} was done before {n}, which it depends on" for n in needed]
    return findings


def compensation_order(flow: Flow, workflow: Workflow) -> tuple[str, ...]:
    """Completed tickets that can be undone: the last completed first, and always before what they depended on."""
    completed = _done(flow, workflow)
    open_dependents = {
        ticket_id: sum(dependent in completed for dependent in ticket.created.dependents)
        for ticket_id, ticket in completed.items()
    }
    order: list[str] = []
    free = [(-(completed[t].completed_at or 0), t) for t, count in open_dependents.items() if not count]
    heapify(free)
    while free:
        _, ticket_id = heappop(free)
        if completed[ticket_id].created.task.compensation:
            order.append(ticket_id)
        for needed in completed[ticket_id].created.dependencies:
            open_dependents[needed] -= 1
            if not open_dependents[needed]:
                heappush(free, (-(completed[needed].completed_at or 0), needed))
    return tuple(order)


def unplanned(flow: Flow, workflow: Workflow) -> tuple[str, ...]:
    """What is to be undone and is neither planned nor tried, in its order."""
    order = ((ticket_id, flow.ticket(ticket_id)) for ticket_id in compensation_order(flow, workflow))
    return tuple(t for t, ticket in order if not (ticket.undo_position or ticket.compensates))


def _done(flow: Flow, workflow: Workflow) -> dict[str, Ticket]:
    """The tickets that were completed: what one depends on was too, back to the roots."""
    found, waiting = {}, roots(flow, workflow.workflow_id)
    while waiting:
        ticket_id = waiting.pop()
        if ticket_id in found or (ticket := flow.ticket(ticket_id)).status not in _DONE:
            continue
        found[ticket_id] = ticket
        waiting += ticket.created.dependents
    return found
