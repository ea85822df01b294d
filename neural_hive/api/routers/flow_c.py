"""Flow C: how the way from accepted plans to done work does, and how one plan's way went."""

from typing import Annotated, Final

from fastapi import Path, Query, Request
from starlette.responses import Response

from neural_hive.api.answers import answered, problem, told
from neural_hive.api.problems import not_found
from neural_hive.api.reading import ID_CHARS_MAX, reading_router
from neural_hive.api.services import ServicesOf
from neural_hive.flow_c import FlowCStatus, flow_c_status
from neural_hive.listing.pages import one
from neural_hive.listing.things import WORKFLOWS
from neural_hive.sdk.views import Flow, FlowStep, WorkflowInfo, flow_of, rows_as, select

router = reading_router("flow c")
STEPS_MAX: Final = 10_000


@router.get("/api/v1/flow-c/status", responses=told(FlowCStatus))
def get_status(
    request: Request,
    services: ServicesOf,
    hours: Annotated[
        float, Query(ge=0, le=1e6, description="Of ended plans those of the last hours; 0: all")
    ] = 0,
) -> Response:
    """Rates, times, and whether the objectives are kept."""
    return answered(request, flow_c_status(services.tables, hours))


@router.get(
    "/api/v1/flow-c/workflows/{workflow_id}", responses=told(Flow) | problem(404, "There is no such workflow")
)
def get_flow(
    request: Request, workflow_id: Annotated[str, Path(max_length=ID_CHARS_MAX)], services: ServicesOf
) -> Response:
    """A plan's whole way: its context, the steps that were measured so far, the result once it has ended."""
    workflow = one(services.tables, WORKFLOWS, WorkflowInfo, workflow_id)
    if workflow is None:
        raise not_found(f"workflow {workflow_id}")
    rest = f"WHERE workflow_id = {{id:String}} ORDER BY at, step LIMIT {STEPS_MAX}"
    rows = services.tables.rows(select(FlowStep, "telemetry", rest), {"id": workflow_id})
    return answered(request, flow_of(workflow, rows_as(FlowStep, rows)))
