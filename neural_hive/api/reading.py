"""What routes that read have in common: they wait for what the caller has written, and give pages."""

from typing import Annotated, Final

from fastapi import APIRouter, Depends, Header, Query

from neural_hive.api.answers import problem
from neural_hive.api.pending import READ_AFTER
from neural_hive.api.problems import unavailable
from neural_hive.api.services import ServicesOf

READ_AFTER_S: Final = 10.0
LIMIT_MAX: Final = 1_000
ID_CHARS_MAX: Final = 512

Limit = Annotated[int, Query(ge=1, le=LIMIT_MAX, description="How many at most")]
Cursor = Annotated[str, Query(max_length=1_024, description="`next` of the page before")]


async def seen(
    services: ServicesOf,
    read_after: Annotated[
        str,
        Header(
            alias=READ_AFTER, max_length=1_024, description="What a write gave: the answer holds its outcome"
        ),
    ] = "",
) -> None:
    """Waits until the tables hold the outcome of what the caller names."""
    if not read_after:
        return
    token = await services.pending.token(read_after)
    if await services.pending.outcome(token, READ_AFTER_S) is None:
        raise unavailable(f"the tables do not hold the outcome of {token} yet, after {READ_AFTER_S:g} s", 1)


def reading_router(tag: str) -> APIRouter:
    """A router whose routes only read."""
    return APIRouter(
        tags=[tag],
        dependencies=[Depends(seen)],
        responses={**problem(503, "Kafka or ClickHouse is away, or the tables are behind")},
    )
