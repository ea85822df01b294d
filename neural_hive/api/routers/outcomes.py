"""What became of a message: asked again later by the token that writing gave."""

from typing import Annotated

from fastapi import APIRouter, Path
from starlette.responses import Response

from neural_hive.api.answers import told_written as answers
from neural_hive.api.answers import written
from neural_hive.api.pending import WaitS
from neural_hive.api.services import ServicesOf

router = APIRouter(tags=["outcomes"])


@router.get("/api/v1/outcomes/{token}", responses=answers(200))
async def get_outcome(
    token: Annotated[str, Path(max_length=1_024)], services: ServicesOf, wait_s: WaitS
) -> Response:
    """What became of a message: 200 it was accepted, 409 it was refused, 202 that is not known yet."""
    known = await services.pending.token(token)
    return written(
        known, await services.pending.outcome(known, max(wait_s, 1.0)), f"/api/v1/outcomes/{known}"
    )
