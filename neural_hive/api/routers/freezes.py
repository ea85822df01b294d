"""Freezes: what may not be deployed now and why, what was so before, and its end by a person."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Request
from starlette.responses import Response

from neural_hive.api.answers import answered, problem, told, told_written
from neural_hive.api.problems import not_found
from neural_hive.api.reading import ID_CHARS_MAX, Cursor, Limit, reading_router
from neural_hive.api.routers.slos import Filter
from neural_hive.api.services import ServicesOf
from neural_hive.api.writing import Asked, AskerOf
from neural_hive.listing.pages import one, page
from neural_hive.listing.sla_things import FREEZE_CHANGES, FREEZES
from neural_hive.sdk.views import Page
from neural_hive.slo_adjusting import resolving
from neural_hive.slo_views import FreezeChange, FreezeInfo
from neural_hive.streams.sla.messages import COMMANDS

router = reading_router("freezes")
writing = APIRouter(tags=["freezes"])
FreezeId = Annotated[str, Path(max_length=ID_CHARS_MAX)]
_NONE: Final[dict[int | str, Any]] = problem(404, "There is no such freeze")


@router.get("/api/v1/policies/freezes/active", responses=told(Page[FreezeInfo]))
def list_active(
    request: Request,
    services: ServicesOf,
    service_name: Filter = "",
    policy_id: Filter = "",
    slo_id: Filter = "",
    limit: Limit = 100,
    cursor: Cursor = "",
) -> Response:
    """Freezes that hold now. Of a service: its own, those of its SLOs' namespaces, and those of everything."""
    filters = {"service_name": service_name, "policy_id": policy_id, "slo_id": slo_id, "status": "ACTIVE"}
    return answered(request, page(services.tables, FREEZES, FreezeInfo, filters, limit, cursor))


@router.get("/api/v1/policies/freezes/history", responses=told(Page[FreezeChange]))
def list_changes(
    request: Request,
    services: ServicesOf,
    service_name: Filter = "",
    policy_id: Filter = "",
    slo_id: Filter = "",
    freeze_id: Filter = "",
    limit: Limit = 100,
    cursor: Cursor = "",
) -> Response:
    """All beginnings and ends of freezes, the newest first; each with what it was decided from."""
    filters = {
        "service_name": service_name,
        "policy_id": policy_id,
        "slo_id": slo_id,
        "freeze_id": freeze_id,
    }
    return answered(request, page(services.tables, FREEZE_CHANGES, FreezeChange, filters, limit, cursor))


@router.get("/api/v1/policies/freezes/{freeze_id}", responses=told(FreezeInfo) | _NONE)
def get_freeze(request: Request, freeze_id: FreezeId, services: ServicesOf) -> Response:
    """A freeze as it stands; also one that is over."""
    found = one(services.tables, FREEZES, FreezeInfo, freeze_id)
    if found is None:
        raise not_found(f"freeze {freeze_id}")
    return answered(request, found)


@writing.post("/api/v1/policies/freezes/{freeze_id}/resolve", responses=told_written(200) | _NONE)
async def resolve(freeze_id: FreezeId, asked: Asked, asker: AskerOf) -> Response:
    """Ends a freeze. One that a budget has caused does not begin again before the budget has recovered."""
    services = asker.services
    wanted = await services.publishing.run(resolving, services.tables, freeze_id, asked.reason, asker.name)
    if wanted is None:
        raise not_found(f"freeze {freeze_id}")
    where = f"/api/v1/policies/freezes/{freeze_id}"
    return await asker.publish(COMMANDS, wanted, wanted.routing_id, where)
