"""Error budgets: what is left of each, how fast it burns, what was believed of it, and why."""

from typing import Annotated, Any, Final

import msgspec
from anyio.to_thread import run_sync
from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from neural_hive.aggregates.burn import Status
from neural_hive.api.answers import answered, problem, told, told_written
from neural_hive.api.problems import not_found
from neural_hive.api.reading import ID_CHARS_MAX, Cursor, Limit, reading_router
from neural_hive.api.routers.slos import NO_SLO, Filter, SloId, slo_of
from neural_hive.api.services import Services, ServicesOf
from neural_hive.api.writing import AskerOf
from neural_hive.budget_reads import adjustments, budget, burn_rates, looks, summary
from neural_hive.listing.pages import page
from neural_hive.listing.sla_things import BUDGETS
from neural_hive.sdk.views import Page
from neural_hive.slo_explaining import Explanation, explained
from neural_hive.slo_views import AdjustmentInfo, BudgetInfo, BudgetSummary, BurnRates
from neural_hive.streams.sla.messages import COMMANDS, RecalculateBudget

router = reading_router("budgets")
writing = APIRouter(tags=["budgets"])
Dimension = Annotated[
    str, Query(max_length=ID_CHARS_MAX, description="Which of the SLO's budgets, if there are several")
]
Before = Annotated[int, Query(ge=0, le=2**62, description="`next` of the page before; 0: from the newest on")]
_NONE: Final[dict[int | str, Any]] = problem(404, "There is no such budget: nothing was counted yet")


class BudgetHistory(msgspec.Struct, frozen=True):
    """Looks at a budget, the newest first. `next`: the `before` of the page that follows; null: that was all."""

    items: tuple[BudgetInfo, ...]
    next: int | None


class Adjustments(msgspec.Struct, frozen=True):
    """Corrections, the newest first. `next`: the `before` of the page that follows; null: that was all."""

    items: tuple[AdjustmentInfo, ...]
    next: int | None


@router.get("/api/v1/budgets", responses=told(Page[BudgetInfo]))
def list_budgets(
    request: Request,
    services: ServicesOf,
    service_name: Filter = "",
    status: Annotated[Status | None, Query()] = None,
    slo_id: Filter = "",
    gone: Annotated[
        bool, Query(description="Those too of SLOs that were removed, or count in another way now")
    ] = False,
    limit: Limit = 100,
    cursor: Cursor = "",
) -> Response:
    """Budgets, those that were first looked at last before the others; all filters must hold."""
    filters = {
        "service_name": service_name,
        "status": status or "",
        "slo_id": slo_id,
        "stands": "" if gone else "true",
    }
    return answered(request, page(services.tables, BUDGETS, BudgetInfo, filters, limit, cursor))


@router.get("/api/v1/budgets/summary", responses=told(BudgetSummary))
def get_summary(request: Request, services: ServicesOf, service_name: Filter = "") -> Response:
    """How many budgets do how well, and how much is left of them on average."""
    return answered(request, summary(services.tables, service_name).looked_at())


@router.get("/api/v1/budgets/{slo_id}", responses=told(BudgetInfo) | _NONE)
def get_budget(request: Request, slo_id: SloId, services: ServicesOf, dimension: Dimension = "") -> Response:
    """An SLO's budget as it was looked at last."""
    return answered(request, _budget_of(services, slo_id, dimension))


@router.get("/api/v1/budgets/{slo_id}/history", responses=told(BudgetHistory) | _NONE)
def get_history(
    request: Request,
    slo_id: SloId,
    services: ServicesOf,
    dimension: Dimension = "",
    before: Before = 0,
    limit: Limit = 100,
) -> Response:
    """What was believed of a budget, look by look."""
    budget_id = _budget_of(services, slo_id, dimension).budget_id
    return answered(request, BudgetHistory(*looks(services.tables, budget_id, before, limit)))


@router.get("/api/v1/budgets/{slo_id}/burn-rate", responses=told(BurnRates) | _NONE)
def get_burn_rate(
    request: Request, slo_id: SloId, services: ServicesOf, dimension: Dimension = ""
) -> Response:
    """How fast a budget burns in each window, and which levels that reaches."""
    found = _budget_of(services, slo_id, dimension)
    return answered(request, burn_rates(services.tables, found))


@router.get("/api/v1/budgets/{slo_id}/explanation", responses=told(Explanation) | _NONE)
def get_explanation(
    request: Request, slo_id: SloId, services: ServicesOf, dimension: Dimension = ""
) -> Response:
    """How a budget's numbers came about: windows, corrections, and where its bad events stand."""
    found = explained(services.tables, slo_id, dimension)
    if found is None:
        raise _none(slo_id, dimension)
    return answered(request, found)


@router.get("/api/v1/budgets/{slo_id}/adjustments", responses=told(Adjustments) | _NONE)
def list_adjustments(
    request: Request,
    slo_id: SloId,
    services: ServicesOf,
    dimension: Dimension = "",
    before: Before = 0,
    limit: Limit = 100,
) -> Response:
    """Who has corrected what counts, and why."""
    budget_id = _budget_of(services, slo_id, dimension).budget_id
    return answered(request, Adjustments(*adjustments(services.tables, budget_id, before, limit)))


@writing.post("/api/v1/budgets/{slo_id}/recalculate", responses=told_written(200) | NO_SLO)
async def recalculate(slo_id: SloId, asker: AskerOf, dimension: Dimension = "") -> Response:
    """Looks at a budget now, and draws the conclusions: violations and freezes. 409: nothing was counted yet."""
    await run_sync(slo_of, asker.services, slo_id)
    wanted = RecalculateBudget(slo_id, dimension, asker.name)
    return await asker.publish(COMMANDS, wanted, slo_id, f"/api/v1/budgets/{slo_id}")


def _budget_of(services: Services, slo_id: str, dimension: str) -> BudgetInfo:
    found = budget(services.tables, slo_id, dimension)
    if found is None:
        raise _none(slo_id, dimension)
    return found


def _none(slo_id: str, dimension: str) -> Exception:
    return not_found(f"budget of {slo_id} {dimension}".rstrip())
