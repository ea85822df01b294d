"""SQL: passed on to ClickHouse, which answers as a user who may only read."""

from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from typing import Annotated, Any, Final

from anyio.to_thread import run_sync
from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import StreamingResponse

from neural_hive.api.answers import problem
from neural_hive.api.problems import Problem
from neural_hive.api.services import ServicesOf
from neural_hive.connectors.clickhouse import ClickHouseError
from neural_hive.connectors.clickhouse_sql import SqlError
from neural_hive.connectors.clickhouse_sql import output_format as named_format
from neural_hive.sdk.tables import client_as
from neural_hive.settings import Settings

router = APIRouter(tags=["sql"])
SQL_CHARS_MAX: Final = 100_000
QUERY_TIMEOUT_S: Final = 50.0  # before the request's own time is over
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
async def query(asked: AskedQuery, services: ServicesOf) -> StreamingResponse:
    """Asks ClickHouse in SQL: one statement that reads, within the limits of users' queries."""
    answer = _Answer(services.settings, asked)
    first = await run_sync(answer.begin)
    return StreamingResponse(answer.pieces(first), media_type=_FORMATS[asked.output_format])


class _Answer:
    """One query's answer, a piece after the other; its connection ends with it."""

    def __init__(self, settings: Settings, asked: AskedQuery) -> None:
        self._settings, self._asked = settings, asked
        self._stack = ExitStack()
        self._pieces: Iterator[bytes] = iter(())

    def begin(self) -> bytes:
        """Sends the query; the first piece. Raises Problem: it was refused."""
        sql, user = self._asked.sql.strip().rstrip(";"), self._settings.clickhouse_api_user
        try:
            if named_format(sql):
                raise Problem(400, "sql-refused", "name the format in `output_format`, not in the query")
            client = self._stack.enter_context(
                client_as(self._settings, user, timeout_s=QUERY_TIMEOUT_S, retry_s=0)
            )
            pieces = client.raw_stream(sql, self._asked.params, self._asked.output_format)
            self._pieces = self._stack.enter_context(pieces)
            return next(self._pieces, b"")
        except (ClickHouseError, SqlError) as error:
            self._stack.close()
            if isinstance(error, ClickHouseError) and error.is_passing:
                raise
            raise Problem(400, "sql-refused", str(error), code=error.code) from None
        except BaseException:
            self._stack.close()
            raise

    async def pieces(self, first: bytes) -> AsyncIterator[bytes]:
        """All of it. An error in the middle ends the connection: half an answer must not pass for a whole one."""
        try:
            piece: bytes | None = first
            while piece is not None:
                yield piece
                piece = await run_sync(next, self._pieces, None)
        finally:
            self._stack.close()
