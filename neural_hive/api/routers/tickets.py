"""Tickets: as they stand, what happened to them, made outside a plan, tried again."""

from typing import Annotated, Any, Final

import msgspec
from anyio.to_thread import run_sync
from fastapi import APIRouter, Path, Query, Request
from pydantic import Field
from starlette.responses import Response

from neural_hive.aggregates.vocabulary import Priority, RiskBand
from neural_hive.aggregates.workflow import ticket_id_of
from neural_hive.api.answers import answered, problem, told, told_written
from neural_hive.api.message_keys import MessageKeyOf
from neural_hive.api.pending import WaitS
from neural_hive.api.problems import not_found
from neural_hive.api.reading import ID_CHARS_MAX, Cursor, Limit, reading_router
from neural_hive.api.routers.plans import decision_of
from neural_hive.api.services import IdentityOf, Services, ServicesOf
from neural_hive.api.views import TicketStep
from neural_hive.api.writing import Asked, Text, publish
from neural_hive.listing.pages import one, page
from neural_hive.listing.things import TICKETS
from neural_hive.plans import Plan, PlanTask
from neural_hive.sdk.sender import COMMANDS, PLANS
from neural_hive.sdk.views import Page, TicketInfo, rows_as, select
from neural_hive.streams.orchestrator.messages import RetryTicket

router = reading_router("tickets")
writing = APIRouter(tags=["tickets"])
TicketId = Annotated[str, Path(max_length=ID_CHARS_MAX)]
Filter = Annotated[str, Query(max_length=ID_CHARS_MAX)]
NO_TICKET: Final = problem(404, "There is no such ticket")
_OF_PLAN: Final = ("plan_id", "intent_id", "priority", "risk_band", "deadline_ms")


class TicketHistory(msgspec.Struct, frozen=True):
    """Steps in their order. `next`: the `after` of the page that follows; null: that was all."""

    items: tuple[TicketStep, ...]
    next: int | None


class NewTicket(PlanTask):
    """A task without a plan: it is made the only one of a plan of its own."""

    task_id: Text = "task"
    plan_id: Text = "ticket"
    intent_id: Text = ""
    priority: Priority = Priority.NORMAL
    risk_band: RiskBand = RiskBand.MEDIUM
    deadline_ms: Annotated[int, Field(ge=0)] = 0


@router.get("/api/v1/tickets", responses=told(Page[TicketInfo]))
def list_tickets(
    request: Request,
    services: ServicesOf,
    plan_id: Filter = "",
    intent_id: Filter = "",
    workflow_id: Filter = "",
    status: Filter = "",
    priority: Filter = "",
    agent_id: Filter = "",
    task_type: Filter = "",
    limit: Limit = 100,
    cursor: Cursor = "",
) -> Response:
    """Tickets, the newest first; all filters must hold."""
    filters = {
        "plan_id": plan_id,
        "intent_id": intent_id,
        "workflow_id": workflow_id,
        "status": status,
        "priority": priority,
        "agent_id": agent_id,
        "task_type": task_type,
    }
    return answered(request, page(services.tables, TICKETS, TicketInfo, filters, limit, cursor))


@router.get("/api/v1/tickets/{ticket_id}", responses=told(TicketInfo) | NO_TICKET)
def get_ticket(request: Request, ticket_id: TicketId, services: ServicesOf) -> Response:
    """A ticket as it stands."""
    return answered(request, ticket_of(services, ticket_id))


@router.get("/api/v1/tickets/{ticket_id}/history", responses=told(TicketHistory) | NO_TICKET)
def get_history(
    request: Request,
    ticket_id: TicketId,
    services: ServicesOf,
    after: Annotated[int, Query(ge=0, le=2**62, description="Only versions behind this one")] = 0,
    limit: Limit = 100,
) -> Response:
    """Every step of a ticket, in order, with its cause."""
    ticket_of(services, ticket_id)
    rest = "WHERE ticket_id = {id:String} AND version > {after:UInt64} ORDER BY version LIMIT {count:UInt32}"
    params = {"id": ticket_id, "after": after, "count": limit + 1}
    rows = services.tables.rows(select(TicketStep, "ticket_history", rest), params)
    found = rows_as(TicketStep, rows)
    following = found[limit - 1].version if len(found) > limit else None
    return answered(request, TicketHistory(found[:limit], following))


@writing.post(
    "/api/v1/tickets", responses=told_written(200, 201) | problem(422, "It could not be carried out")
)
async def make_ticket(
    asked: NewTicket, services: ServicesOf, identity: IdentityOf, key: MessageKeyOf, wait_s: WaitS
) -> Response:
    """Makes a ticket outside a plan: a plan with this one task is published, and its workflow begins."""
    whole: dict[str, Any] = asked.model_dump(exclude_unset=True)
    of_plan = {name: whole.pop(name) for name in _OF_PLAN if name in whole}
    task = {"task_id": asked.task_id} | whole
    plan = Plan.model_validate({"plan_id": asked.plan_id} | of_plan | {"tasks": (task,)})
    decision = decision_of(plan, identity, key)
    where = f"/api/v1/tickets/{ticket_id_of(decision.decision_id, asked.task_id)}"
    return await publish(services, PLANS, decision, key, decision.decision_id, wait_s, where, created=True)


@writing.post("/api/v1/tickets/{ticket_id}/retry", responses=told_written(200) | NO_TICKET)
async def retry_ticket(
    ticket_id: TicketId,
    asked: Asked,
    services: ServicesOf,
    identity: IdentityOf,
    key: MessageKeyOf,
    wait_s: WaitS,
) -> Response:
    """Tries a ticket again, now: one that failed or timed out, or waits for its next attempt."""
    found = await run_sync(ticket_of, services, ticket_id)
    wanted = RetryTicket(found.workflow_id, ticket_id, asked.reason, identity.name)
    where = f"/api/v1/tickets/{ticket_id}"
    return await publish(services, COMMANDS, wanted, key, found.workflow_id, wait_s, where)


def ticket_of(services: Services, ticket_id: str) -> TicketInfo:
    """A ticket as it stands. Raises Problem: there is none; ClickHouseError."""
    found = one(services.tables, TICKETS, TicketInfo, ticket_id)
    if found is None:
        raise not_found(f"ticket {ticket_id}")
    return found
