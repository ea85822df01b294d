"""Holding deployments back while they are frozen, and letting them go when no freeze concerns them any more.

What is held stands in a queue of its own, those that the same freezes hold together: whether these still hold is asked
once for all of them. It is asked whenever agents are chosen, and a workflow that waits does so every few seconds.
"""

from neural_hive.aggregates import tally
from neural_hive.aggregates.incident import Kind
from neural_hive.aggregates.ticket import HoldTicket, ReleaseTicket, Ticket, ViewPosition, held_kind
from neural_hive.streams.orchestrator_course import tell
from neural_hive.streams.orchestrator_flow import FREEZES, Flow
from neural_hive.streams.orchestrator_freezes import Holding, frozen_by, holding_of
from neural_hive.streams.orchestrator_market import ALLOCATED_MAX, looked_at, views_of


def hold(flow: Flow, ticket: Ticket, holding: Holding, views: tuple[ViewPosition, ...]) -> None:
    """Lets a ticket wait until it is not frozen any more, and says so; not again, if it says the same."""
    created, why = ticket.created, (holding.freezes, holding.count)
    hold = HoldTicket(holding.service, holding.namespace, *why, views, flow.now)
    if flow.on_ticket(created.ticket_id, hold):
        workflow = flow.workflow(created.workflow_id)
        summary = f"task {created.task.task_id} waits: {frozen_by(*why)}"
        tell(flow, workflow, Kind.DEPLOY_FROZEN, summary, (created.ticket_id,), about=created.ticket_id)


def look_at_held(flow: Flow) -> int:
    """Lets those go that no freeze concerns any more, and notes which others hold them instead; how many that were.

    Nothing changes while what is known of freezes is old.
    """
    if not (kinds := looked_at(flow, tally.HELD_QUEUE, held_kind)):
        return 0
    moved, views = 0, views_of(flow)
    for first in kinds:
        if moved == ALLOCATED_MAX or flow.unit.view(FREEZES).age_s > flow.limits.deploy_view_age_s:
            break
        holding, kind = holding_of(flow, first), held_kind(first)
        if (holding.freezes, holding.count) == (first.held, first.held_count):
            continue
        for ticket_id in flow.unit.first(tally.HELD_QUEUE, ALLOCATED_MAX - moved, kind):
            ticket = flow.ticket(ticket_id)
            if held_kind(ticket) != kind:
                break
            if holding.freezes:
                hold(flow, ticket, holding, views)
            else:
                flow.on_ticket(ticket_id, ReleaseTicket(views, flow.now))
            moved += 1
    return moved
