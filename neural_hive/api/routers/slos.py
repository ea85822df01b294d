"""SLOs: what services promise; said, revised, tried out, and taken back."""

from typing import Annotated, Any, Final, Literal

from anyio.to_thread import run_sync
from fastapi import APIRouter, Path, Query, Request
from starlette.responses import Response

from neural_hive.aggregates.slo import SloType
from neural_hive.api import preconditions
from neural_hive.api.answers import answered, problem, told, told_written
from neural_hive.api.preconditions import PreconditionOf
from neural_hive.api.problems import Problem, not_found, unavailable
from neural_hive.api.reading import ID_CHARS_MAX, Cursor, Limit, reading_router
from neural_hive.api.services import Services, ServicesOf
from neural_hive.api.slo_bodies import ChangedSlo, NewSlo, definition_of
from neural_hive.api.writing import REASON_CHARS_MAX, AskerOf
from neural_hive.asked_prometheus import NoPrometheus, Tested
from neural_hive.connectors.json_api import ApiError
from neural_hive.listing.pages import page
from neural_hive.listing.sla_things import SLO_ALERTS
from neural_hive.sdk.views import Page
from neural_hive.slo_reads import slo, slos
from neural_hive.slo_testing import CannotTest, tested
from neural_hive.slo_times import Over
from neural_hive.slo_tried import Tried
from neural_hive.slo_views import SloAlertInfo, SloInfo
from neural_hive.streams.sla.messages import COMMANDS, DefineSlo, RemoveSlo

router = reading_router("slos")
writing = APIRouter(tags=["slos"])
SloId = Annotated[str, Path(max_length=ID_CHARS_MAX)]
Filter = Annotated[str, Query(max_length=ID_CHARS_MAX)]
Enabled = Annotated[Literal["", "true", "false"], Query(description="Only these; left out: all")]
ReasonOf = Annotated[
    str, Query(min_length=1, max_length=REASON_CHARS_MAX, description="Why; it stays in the log")
]
NO_SLO: Final[dict[int | str, Any]] = problem(404, "There is no such SLO")
_UNFIT: Final = problem(422, "The SLA calculator would refuse it; `errors` says all that is wrong")


@router.get("/api/v1/slos", responses=told(Page[SloInfo]))
def list_slos(
    request: Request,
    services: ServicesOf,
    service_name: Filter = "",
    layer: Filter = "",
    slo_type: Annotated[SloType | None, Query()] = None,
    enabled: Enabled = "",
    removed: Annotated[bool, Query(description="Those too that were removed")] = False,
    limit: Limit = 100,
    cursor: Cursor = "",
) -> Response:
    """SLOs, those that were first defined last before the others; all filters must hold."""
    filters = {
        "service_name": service_name,
        "layer": layer,
        "slo_type": slo_type or "",
        "enabled": enabled,
        "status": "" if removed else "DEFINED",
    }
    return answered(request, slos(services.tables, filters, limit, cursor))


@router.get("/api/v1/slos/{slo_id}", responses=told(SloInfo) | NO_SLO)
def get_slo(request: Request, slo_id: SloId, services: ServicesOf) -> Response:
    """An SLO as it stands; also one that was removed."""
    return answered(request, slo_of(services, slo_id))


@router.get("/api/v1/slos/{slo_id}/alerts", responses=told(Page[SloAlertInfo]) | NO_SLO)
def list_slo_alerts(
    request: Request,
    slo_id: SloId,
    services: ServicesOf,
    status: Annotated[str, Query(max_length=64, description="FIRING or RESOLVED")] = "",
    limit: Limit = 100,
    cursor: Cursor = "",
) -> Response:
    """Alerts that others have told of this SLO, those that were first noted last before the others."""
    slo_of(services, slo_id)
    filters = {"slo_id": slo_id, "status": status}
    return answered(request, page(services.tables, SLO_ALERTS, SloAlertInfo, filters, limit, cursor))


@writing.post("/api/v1/slos", responses=told_written(200, 201) | _UNFIT)
async def create_slo(asked: NewSlo, asker: AskerOf) -> Response:
    """Promises something: it is counted from now on. 409: there is an SLO of this id already."""
    definition = definition_of(asked.slo_id, asked)
    wanted = DefineSlo(asked.slo_id, definition, 0, asker.name, asked.reason)
    return await asker.publish(COMMANDS, wanted, asked.slo_id, _path_of(asked.slo_id), created=True)


@writing.put("/api/v1/slos/{slo_id}", responses=told_written(200) | NO_SLO | _UNFIT | preconditions.ANSWERS)
async def change_slo(
    slo_id: SloId, asked: ChangedSlo, precondition: PreconditionOf, asker: AskerOf
) -> Response:
    """Promises something else, as a new revision; one that was removed is measured again. 409: it was revised since."""
    definition = definition_of(slo_id, asked)
    found = await run_sync(slo_of, asker.services, slo_id)

    def revised(revision: int) -> DefineSlo:
        return DefineSlo(slo_id, definition, revision, asker.name, asked.reason)

    place = slo_id, _path_of(slo_id)
    return await asker.revise(COMMANDS, revised, precondition, found, asked.revision, *place)


@writing.delete("/api/v1/slos/{slo_id}", responses=told_written(200) | NO_SLO)
async def remove_slo(slo_id: SloId, reason: ReasonOf, asker: AskerOf) -> Response:
    """Measures an SLO no longer. It stays readable, and so does what was counted."""
    await run_sync(slo_of, asker.services, slo_id)
    return await asker.publish(COMMANDS, RemoveSlo(slo_id, asker.name, reason), slo_id, _path_of(slo_id))


@writing.post(
    "/api/v1/slos/{slo_id}/test",
    responses=told(Tested, Tried)
    | NO_SLO
    | problem(409, "Nobody can be asked for what it counts")
    | problem(503, "Prometheus does not answer"),
)
async def test_slo(
    request: Request,
    slo_id: SloId,
    services: ServicesOf,
    over: Annotated[
        Over, Query(description="Which time; over Prometheus it is always the last hour")
    ] = Over.HOUR,
) -> Response:
    """What an SLO would have counted; nothing is changed."""
    found = await run_sync(slo_of, services, slo_id)
    try:
        result = await services.testing.run(tested, services.settings, services.tables, found, over)
    except CannotTest as error:
        raise Problem(409, "cannot-be-tested", str(error)) from None
    except NoPrometheus as error:
        raise Problem(409, "no-prometheus", str(error)) from None
    except ApiError as error:
        raise unavailable(str(error)) from None
    return answered(request, result)


def slo_of(services: Services, slo_id: str) -> SloInfo:
    """An SLO as it stands. Raises Problem: there is none; ClickHouseError."""
    found = slo(services.tables, slo_id)
    if found is None:
        raise not_found(f"SLO {slo_id}")
    return found


def _path_of(slo_id: str) -> str:
    return f"/api/v1/slos/{slo_id}"
