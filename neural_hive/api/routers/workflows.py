"""Workflows: what has become of accepted plans, and of refused ones."""

from typing import Annotated, Final

from fastapi import Path, Query, Request
from starlette.responses import Response

from neural_hive.api.answers import answered, problem, told
from neural_hive.api.lists import Listing, page
from neural_hive.api.problems import not_found
from neural_hive.api.reading import ID_CHARS_MAX, Cursor, Limit, reading_router
from neural_hive.api.services import ServicesOf
from neural_hive.sdk.views import Page, WorkflowInfo, rows_as, select

router = reading_router("workflows")
WorkflowId = Annotated[str, Path(max_length=ID_CHARS_MAX)]
_WORKFLOWS: Final = Listing(
    WorkflowInfo,
    "workflows",
    "workflow_id",
    "SELECT workflow_id, toUnixTimestamp64Micro(assumeNotNull(coalesce(started_at, finished_at, "
    "toDateTime64(0, 6, 'UTC')))) AS at FROM workflows WHERE {where}",
)


@router.get("/api/v1/workflows", responses=told(Page[WorkflowInfo]))
def list_workflows(
    request: Request,
    services: ServicesOf,
    status: Annotated[str, Query(max_length=64, description="RUNNING, COMPLETED, FAILED, …")] = "",
    plan_id: Annotated[str, Query(max_length=ID_CHARS_MAX)] = "",
    intent_id: Annotated[str, Query(max_length=ID_CHARS_MAX)] = "",
    priority: Annotated[str, Query(max_length=64)] = "",
    limit: Limit = 100,
    cursor: Cursor = "",
) -> Response:
    """Workflows, the newest first; all filters must hold."""
    filters = {"status": status, "plan_id": plan_id, "intent_id": intent_id, "priority": priority}
    return answered(request, page(services.tables, _WORKFLOWS, filters, limit, cursor))


@router.get(
    "/api/v1/workflows/{workflow_id}",
    responses=told(WorkflowInfo) | problem(404, "There is no such workflow"),
)
def get_workflow(request: Request, workflow_id: WorkflowId, services: ServicesOf) -> Response:
    """A workflow as it stands."""
    rest = "WHERE workflow_id = {wanted:String} LIMIT 1"
    rows = services.tables.rows(select(WorkflowInfo, "workflows", rest), {"wanted": workflow_id})
    if not rows:
        raise not_found(f"workflow {workflow_id}")
    return answered(request, rows_as(WorkflowInfo, rows)[0])
