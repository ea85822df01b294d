"""Violations: SLOs whose budget is used up or burns too fast."""

from typing import Annotated

from fastapi import Path, Query, Request
from starlette.responses import Response

from neural_hive.api.answers import answered, problem, told
from neural_hive.api.problems import not_found
from neural_hive.api.reading import ID_CHARS_MAX, Cursor, Limit, reading_router
from neural_hive.api.routers.slos import Filter
from neural_hive.api.services import ServicesOf
from neural_hive.listing.pages import one, page
from neural_hive.listing.sla_things import VIOLATIONS
from neural_hive.sdk.views import Page
from neural_hive.slo_views import ViolationInfo

router = reading_router("violations")


@router.get("/api/v1/violations", responses=told(Page[ViolationInfo]))
def list_violations(
    request: Request,
    services: ServicesOf,
    slo_id: Filter = "",
    service_name: Filter = "",
    status: Annotated[str, Query(max_length=64, description="OPEN or CLOSED")] = "",
    kind: Filter = "",
    severity: Filter = "",
    limit: Limit = 100,
    cursor: Cursor = "",
) -> Response:
    """Violations, those that were first opened last before the others; all filters must hold."""
    filters = {
        "slo_id": slo_id,
        "service_name": service_name,
        "status": status,
        "kind": kind,
        "severity": severity,
    }
    return answered(request, page(services.tables, VIOLATIONS, ViolationInfo, filters, limit, cursor))


@router.get(
    "/api/v1/violations/{violation_id}",
    responses=told(ViolationInfo) | problem(404, "There is no such violation"),
)
def get_violation(
    request: Request, violation_id: Annotated[str, Path(max_length=ID_CHARS_MAX)], services: ServicesOf
) -> Response:
    """A violation as it stands."""
    found = one(services.tables, VIOLATIONS, ViolationInfo, violation_id)
    if found is None:
        raise not_found(f"violation {violation_id}")
    return answered(request, found)
