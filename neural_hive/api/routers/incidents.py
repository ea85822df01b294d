"""Incidents: what needs somebody's attention."""

from typing import Annotated

from fastapi import Path, Query, Request
from starlette.responses import Response

from neural_hive.api.answers import answered, problem, told
from neural_hive.api.problems import not_found
from neural_hive.api.reading import ID_CHARS_MAX, Cursor, Limit, reading_router
from neural_hive.api.services import ServicesOf
from neural_hive.api.views import IncidentInfo
from neural_hive.listing.pages import one, page
from neural_hive.listing.things import INCIDENTS
from neural_hive.sdk.views import Page

router = reading_router("incidents")
Filter = Annotated[str, Query(max_length=ID_CHARS_MAX)]


@router.get("/api/v1/incidents", responses=told(Page[IncidentInfo]))
def list_incidents(
    request: Request,
    services: ServicesOf,
    status: Annotated[str, Query(max_length=64, description="OPEN or RESOLVED")] = "",
    kind: Filter = "",
    severity: Filter = "",
    workflow_id: Filter = "",
    limit: Limit = 100,
    cursor: Cursor = "",
) -> Response:
    """Incidents, those that were first opened last before the others; all filters must hold."""
    filters = {"status": status, "kind": kind, "severity": severity, "workflow_id": workflow_id}
    return answered(request, page(services.tables, INCIDENTS, IncidentInfo, filters, limit, cursor))


@router.get(
    "/api/v1/incidents/{incident_id}",
    responses=told(IncidentInfo) | problem(404, "There is no such incident"),
)
def get_incident(
    request: Request, incident_id: Annotated[str, Path(max_length=ID_CHARS_MAX)], services: ServicesOf
) -> Response:
    """An incident as it stands."""
    found = one(services.tables, INCIDENTS, IncidentInfo, incident_id)
    if found is None:
        raise not_found(f"incident {incident_id}")
    return answered(request, found)
