"""SQL: passed on to ClickHouse, which answers as a user who may only read, within the limits of who asks."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Annotated, Any, Final

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from neural_hive.api.answers import problem
from neural_hive.api.problems import Problem
from neural_hive.api.services import IdentityOf, ServicesOf
from neural_hive.connectors.clickhouse import ClickHouseError
from neural_hive.connectors.clickhouse_sql import SqlError
from neural_hive.connectors.clickhouse_sql import output_format as named_format

router = APIRouter(tags=["sql"])
SQL_CHARS_MAX: Final = 100_000
TOO_MANY: Final = frozenset({201, 202})  # QUOTA_EXCEEDED, TOO_MANY_SIMULTANEOUS_QUERIES
_RETRY_S: Final = 5
_FORMATS: Final = {
    "JSON": "application/json",
    "JSONCompact": "application/json",
    "JSONEachRow": "application/x-ndjson",
    "CSVWithNames": "text/csv; charset=utf-8",
    "TSVWithNames": "text/tab-separated-values; charset=utf-8",
    "Parquet": "application/vnd.apache.parquet",
}
FormatName = Annotated[
    str, Field(pattern=f"^({'|'.join(_FORMATS)})$", description=f"One of {', '.join(_FORMATS)}")
]


class AskedQuery(BaseModel):
    """One SELECT. Values belong into `params`: `{"sql": "SELECT {id:String}", "params": {"id": "x"}}`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sql: Annotated[str, Field(min_length=1, max_length=SQL_CHARS_MAX)]
    params: dict[Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,63}$")], str] = {}
    output_format: FormatName = "JSON"


_ANSWER: Final[dict[int | str, Any]] = {
    200: {
        "description": "The rows, in the format that was asked for",
        "content": {kind: {} for kind in _FORMATS.values()},
    }
}


@router.post(
    "/api/v1/query",
    response_class=StreamingResponse,
    responses=_ANSWER | problem(400, "ClickHouse refused the query, and says why"),
)
async def query(asked: AskedQuery, services: ServicesOf, identity: IdentityOf) -> StreamingResponse:
    """Asks ClickHouse in SQL: one statement that reads, within limits that hold for each caller."""
    sql = asked.sql.strip().rstrip(";")
    key = services.quota_keys.of_caller(identity)
    async with AsyncExitStack() as stack:
        try:
            if named_format(sql):
                raise Problem(400, "sql-refused", "name the format in `output_format`, not in the query")
            asking = services.sql.ask(
                sql, output_format=asked.output_format, params=asked.params, on_behalf_of=key
            )
            pieces = (await stack.enter_async_context(asking)).pieces
            first = await anext(pieces, b"")  # an error before it is a problem document yet
        except (ClickHouseError, SqlError) as error:
            raise _refused(error) from None
        return _Passed(first, pieces, _FORMATS[asked.output_format], stack.pop_all())
    raise AssertionError("an exit stack that suppresses nothing")


def _refused(error: ClickHouseError | SqlError) -> Exception:
    if error.code in TOO_MANY:
        retry = {"Retry-After": str(_RETRY_S)}
        return Problem(429, "too-many-requests", str(error), headers=retry, code=error.code)
    if isinstance(error, ClickHouseError) and error.is_passing:
        return error
    return Problem(400, "sql-refused", str(error), code=error.code)


class _Passed(StreamingResponse):
    """An answer that is passed on as it comes. An error in the middle ends the connection: half an answer must not pass
    for a whole one. The query ends with it, also if nobody reads it."""

    def __init__(
        self, first: bytes, pieces: AsyncIterator[bytes], media_type: str, query: AsyncExitStack
    ) -> None:
        super().__init__(_all(first, pieces), media_type=media_type)
        self._query = query

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with self._query:
            await super().__call__(scope, receive, send)


async def _all(first: bytes, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for piece in pieces:
        yield piece
