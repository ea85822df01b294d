"""Corrections of budgets: what shall not count, what shall count again, and what was counted wrong."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final

from anyio.to_thread import run_sync
from fastapi import APIRouter, Path
from pydantic import AwareDatetime, Field
from starlette.responses import Response

from neural_hive.api.answers import told_written
from neural_hive.api.problems import unprocessable
from neural_hive.api.reading import ID_CHARS_MAX
from neural_hive.api.routers.slos import NO_SLO, SloId, slo_of
from neural_hive.api.writing import Asked, Asker, AskerOf, Text
from neural_hive.slo_adjusting import correction, exclusion, lifting
from neural_hive.streams.sla.messages import COMMANDS, AdjustBudget

router = APIRouter(tags=["budgets"])
_ANSWERS: Final[dict[int | str, Any]] = told_written(200) | NO_SLO
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LONG: Final = 2**53


class AskedAdjustment(Asked):
    """Of which budget, and why."""

    dimension: Text = ""


class AskedExclusion(AskedAdjustment):
    """From when to when nothing counts; both at a full minute."""

    starts_at: AwareDatetime
    ends_at: AwareDatetime
    adjustment_id: Annotated[Text, Field(description="Left out: one is made of the rest")] = ""


class AskedCorrection(AskedAdjustment):
    """So many good and valid events more in a minute; fewer, if below 0."""

    minute: AwareDatetime
    good: Annotated[int, Field(gt=-_LONG, lt=_LONG)] = 0
    valid: Annotated[int, Field(gt=-_LONG, lt=_LONG)] = 0


@router.post("/api/v1/budgets/{slo_id}/exclusions", responses=_ANSWERS)
async def exclude(slo_id: SloId, asked: AskedExclusion, asker: AskerOf) -> Response:
    """Lets what happens in a time not count, such as maintenance; also what comes late."""
    times = micros(asked.starts_at), micros(asked.ends_at)
    wanted = exclusion(slo_id, *times, asked.reason, asker.name, asked.dimension, asked.adjustment_id)
    return await _adjust(asker, wanted)


@router.post("/api/v1/budgets/{slo_id}/exclusions/{adjustment_id}/lift", responses=_ANSWERS)
async def lift(
    slo_id: SloId,
    adjustment_id: Annotated[str, Path(max_length=ID_CHARS_MAX)],
    asked: AskedAdjustment,
    asker: AskerOf,
) -> Response:
    """Lets what was excluded count again."""
    wanted = lifting(slo_id, adjustment_id, asked.reason, asker.name, asked.dimension)
    return await _adjust(asker, wanted)


@router.post("/api/v1/budgets/{slo_id}/corrections", responses=_ANSWERS)
async def correct(slo_id: SloId, asked: AskedCorrection, asker: AskerOf) -> Response:
    """Corrects what was counted in a minute."""
    if not asked.good and not asked.valid:
        raise unprocessable("nothing to correct: give good, valid, or both")
    numbers = micros(asked.minute), asked.good, asked.valid
    wanted = correction(slo_id, *numbers, asked.reason, asker.name, asked.dimension)
    return await _adjust(asker, wanted)


def micros(at: datetime) -> int:
    """µs since 1970 UTC; 0, if it was before."""
    return max((at - _EPOCH) // timedelta(microseconds=1), 0)


async def _adjust(asker: Asker, wanted: AdjustBudget) -> Response:
    await run_sync(slo_of, asker.services, wanted.slo_id)
    where = f"/api/v1/budgets/{wanted.slo_id}/adjustments"
    return await asker.publish(COMMANDS, wanted, wanted.slo_id, where)
