"""Workflows: what has become of accepted plans, and of refused ones."""

from typing import Annotated, Any, Final

import msgspec
from fastapi import Path, Query, Request
from starlette.responses import Response

from neural_hive.api.answers import answered, problem, told
from neural_hive.api.problems import not_found
from neural_hive.api.reading import ID_CHARS_MAX, Cursor, Limit, reading_router
from neural_hive.api.services import ServicesOf
from neural_hive.api.views import TimelineEvent
from neural_hive.listing.pages import one, page
from neural_hive.listing.things import TICKETS, WORKFLOWS
from neural_hive.sdk.views import Page, TicketInfo, WorkflowInfo, rows_as

router = reading_router("workflows")
WorkflowId = Annotated[str, Path(max_length=ID_CHARS_MAX)]
Filter = Annotated[str, Query(max_length=ID_CHARS_MAX)]
_NONE: Final = problem(404, "There is no such workflow")
_BEGINNING: Final = (
    "SELECT partition, min(offset), toUnixTimestamp64Milli(min(valid_from)) FROM workflows_versions "
    "WHERE workflow_id = {id:String} GROUP BY partition LIMIT 1"
)
_CLOCK_STEP_MS: Final = 60_000  # the broker's clock may be set back between two of its events
_TIMELINE: Final = (
    "SELECT {columns} FROM events WHERE partition = {{partition:UInt32}} AND key = {{id:String}} AND ("
    "(topic = 'orchestration.workflows' AND offset >= {{first:UInt64}}) OR "
    "(topic IN ('execution.tickets', 'orchestration.incidents') AND "
    "timestamp >= fromUnixTimestamp64Milli({{since:Int64}}, 'UTC'))) "
    "AND sequence > {{after:Int64}} ORDER BY sequence LIMIT {{count:UInt32}}"
).format(columns=", ".join(TimelineEvent.__struct_fields__))


class Timeline(msgspec.Struct, frozen=True):
    """Events in their order. `next`: the `after` of the page that follows; null: that was all."""

    items: tuple[TimelineEvent, ...]
    next: int | None


@router.get("/api/v1/workflows", responses=told(Page[WorkflowInfo]))
def list_workflows(
    request: Request,
    services: ServicesOf,
    status: Annotated[str, Query(max_length=64, description="RUNNING, COMPLETED, FAILED, …")] = "",
    plan_id: Filter = "",
    intent_id: Filter = "",
    priority: Filter = "",
    limit: Limit = 100,
    cursor: Cursor = "",
) -> Response:
    """Workflows, the newest first; all filters must hold."""
    filters = {"status": status, "plan_id": plan_id, "intent_id": intent_id, "priority": priority}
    return answered(request, page(services.tables, WORKFLOWS, WorkflowInfo, filters, limit, cursor))


@router.get("/api/v1/workflows/{workflow_id}", responses=told(WorkflowInfo) | _NONE)
def get_workflow(request: Request, workflow_id: WorkflowId, services: ServicesOf) -> Response:
    """A workflow as it stands."""
    found = one(services.tables, WORKFLOWS, WorkflowInfo, workflow_id)
    if found is None:
        raise not_found(f"workflow {workflow_id}")
    return answered(request, found)


@router.get("/api/v1/workflows/{workflow_id}/tickets", responses=told(Page[TicketInfo]) | _NONE)
def list_workflow_tickets(
    request: Request,
    workflow_id: WorkflowId,
    services: ServicesOf,
    status: Filter = "",
    limit: Limit = 100,
    cursor: Cursor = "",
) -> Response:
    """The tickets of a workflow, the newest first."""
    _beginning(services, workflow_id)
    filters = {"workflow_id": workflow_id, "status": status}
    return answered(request, page(services.tables, TICKETS, TicketInfo, filters, limit, cursor))


@router.get("/api/v1/workflows/{workflow_id}/timeline", responses=told(Timeline) | _NONE)
def get_timeline(
    request: Request,
    workflow_id: WorkflowId,
    services: ServicesOf,
    after: Annotated[int, Query(ge=-1, le=2**62, description="`next` of the page before")] = -1,
    limit: Limit = 100,
) -> Response:
    """All that happened to a workflow, its tickets and its incidents, in the order of the log."""
    params = _beginning(services, workflow_id) | {"id": workflow_id, "after": after, "count": limit + 1}
    found = rows_as(TimelineEvent, services.tables.rows(_TIMELINE, params))
    following = found[limit - 1].sequence if len(found) > limit else None
    return answered(request, Timeline(found[:limit], following))


def _beginning(services: ServicesOf, workflow_id: str) -> dict[str, Any]:
    """Where a workflow's events begin. Raises Problem: there is no such workflow."""
    rows = services.tables.rows(_BEGINNING, {"id": workflow_id})
    if not rows:
        raise not_found(f"workflow {workflow_id}")
    partition, first, since = rows[0]
    return {"partition": partition, "first": first, "since": since - _CLOCK_STEP_MS}
