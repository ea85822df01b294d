"""Holding deployments back while they are frozen, and letting them go when no freeze concerns them any more, or an
exception lets them.

What is held stands in a queue of its own, those that the same freezes hold together: whether these still hold is asked
once for all of them. It is asked whenever agents are chosen, and a workflow that waits does so every few seconds.
"""

from neural_hive.aggregates import tally
from neural_hive.aggregates.freeze_exception import Scope as Excepted
from neural_hive.aggregates.incident import Kind
from neural_hive.aggregates.ticket import (
    TICKET,
    HoldTicket,
    ReleaseTicket,
    Ticket,
    ViewPosition,
    held_kind,
)
from neural_hive.streams.orchestrator.course import tell
from neural_hive.streams.orchestrator.flow import FREEZES, Flow
from neural_hive.streams.orchestrator.freezes import Holding, exceptions_of, frozen_by, holding_of
from neural_hive.streams.orchestrator.market import ALLOCATED_MAX, looked_at, views_of


def hold(flow: Flow, ticket: Ticket, holding: Holding, views: tuple[ViewPosition, ...]) -> None:
    """Lets a ticket wait until it is not frozen any more, and says so; not again, if it says the same."""
    created, why = ticket.created, (holding.freezes, holding.count)
    hold = HoldTicket(holding.service, holding.namespace, *why, views, flow.now)
    if flow.on_ticket(created.ticket_id, hold):
        workflow = flow.workflow(created.workflow_id)
        summary = f"task {created.task.task_id} waits: {frozen_by(*why)}"
        tell(flow, workflow, Kind.DEPLOY_FROZEN, summary, (created.ticket_id,), about=created.ticket_id)


def look_at_held(flow: Flow) -> int:
    """Lets those go that no freeze concerns any more, or that are excepted, and notes which others hold them instead;
    how many that were.

    Nothing changes while what is known of freezes is old.
    """
    is_old = flow.unit.view(FREEZES).age_s > flow.limits.deploy_view_age_s
    if is_old or not flow.unit.first(tally.HELD_QUEUE):
        return 0
    views = views_of(flow)
    moved = _let_named_go(flow, views)
    for first in looked_at(flow, tally.HELD_QUEUE, held_kind):
        if moved == ALLOCATED_MAX:
            break
        holding, kind = holding_of(flow, first), held_kind(first)
        if holding.holds and (holding.freezes, holding.count) == (first.held, first.held_count):
            continue
        for ticket_id in flow.unit.first(tally.HELD_QUEUE, ALLOCATED_MAX - moved, kind):
            ticket = flow.ticket(ticket_id)
            if held_kind(ticket) != kind:
                break
            if holding.holds:
                hold(flow, ticket, holding, views)
            else:
                flow.on_ticket(ticket_id, ReleaseTicket(views, flow.now, holding.exception_id))
            moved += 1
    return moved


def _let_named_go(flow: Flow, views: tuple[ViewPosition, ...]) -> int:
    """Lets those go that exceptions name, or whose workflow they name: the others that the same freezes hold stay."""
    moved = 0
    for scope, subject in exceptions_of(flow):
        for ticket_id in _named(flow, scope, subject, ALLOCATED_MAX - moved):
            holding = holding_of(flow, flow.ticket(ticket_id))
            if holding.exception_id:
                flow.on_ticket(ticket_id, ReleaseTicket(views, flow.now, holding.exception_id))
                moved += 1
    return moved


def _named(flow: Flow, scope: Excepted, subject: str, count: int) -> list[str]:
    """The first held tickets of this partition that an exception names."""
    match scope:
        case Excepted.TICKET if count:
            ticket = flow.unit.load(TICKET, subject)
            return [subject] if ticket is not None and ticket.is_queued and ticket.held else []
        case Excepted.WORKFLOW if count:
            return flow.unit.first(tally.held_queue(subject), count)
        case _:
            return []
