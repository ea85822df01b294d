"""An answer as ClickHouse's HTTP interface gives it: status, headers, compression, whole or streamed."""

import asyncio
import secrets
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack, suppress
from functools import partial
from typing import TypeVar

import msgspec
import structlog
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from neural_hive.connectors.clickhouse_connection import EngineError, Result
from neural_hive.connectors.clickhouse_encoding import encoder
from neural_hive.connectors.clickhouse_engine import Engine
from neural_hive.connectors.clickhouse_request import Asked

log = structlog.get_logger(__name__)

T = TypeVar("T")

HELD_BYTES_MIN = 1 << 20
_HELD_BACK_BYTES_MAX = 1 << 20
_WAITED_BYTES_MAX = 64 << 20
_CONTENT_TYPES = (
    (("TSV", "TabSeparated"), "text/tab-separated-values; charset=UTF-8"),
    (("CSV",), "text/csv; charset=UTF-8; header=absent"),
    (("JSONEachRow", "JSONLines", "NDJSON", "JSONStringsEachRow"), "application/x-ndjson; charset=UTF-8"),
    (("JSON",), "application/json; charset=UTF-8"),
    (("XML",), "application/xml; charset=UTF-8"),
    (("Native", "RowBinary", "Parquet", "Arrow", "Avro", "ORC", "MsgPack"), "application/octet-stream"),
)
_STATUS = {
    **dict.fromkeys((192, 193, 516), 403),
    194: 401,
    **dict.fromkeys(
        (6, 25, 26, 27, 36, 38, 41, 43, 53, 62, 69, 72, 117, 130, 158, 167, 168, 190, 386, 427, 457), 400
    ),
    **dict.fromkeys((46, 47, 50, 56, 60, 63, 73, 78, 81, 106, 115, 183), 404),
    **dict.fromkeys((48, 344), 501),
    **dict.fromkeys((74, 202, 209), 503),
    159: 408,
    372: 404,
    381: 411,
    497: 403,
    **dict.fromkeys((164,), 500),
    307: 413,
    396: 500,
}


class RunningQuery:
    """One running statement; a read whose client has gone is stopped, a change of data goes on to its end."""

    def __init__(self, engine: Engine, asked: Asked, reads: bool, receive: Receive) -> None:
        self._engine = engine
        self._asked = asked
        self._reads = reads
        self._client = asyncio.ensure_future(receive())

    @property
    def is_gone(self) -> bool:
        """Whether the client has hung up."""
        return self._client.done()

    async def wait(self, work: Callable[[], T]) -> T:
        """What `work` returns in the lane. Never leaves before the thread has ended: the connection is in use."""
        running = asyncio.ensure_future(self._asked.lane.call(work))
        if self._reads:
            await asyncio.wait({running, self._client}, return_when=asyncio.FIRST_COMPLETED)
            if not running.done():
                await self._engine.cancel(self._asked.mark)
        return await running

    async def end(self) -> None:
        self._client.cancel()
        with suppress(asyncio.CancelledError):
            await self._client


class Streamed(Response):
    """An answer that is sent as the engine makes it; keeps its slot and connection until the end."""

    def __init__(
        self,
        headers: Mapping[str, str],
        coding: str | None,
        query: RunningQuery,
        held: list[Result],
        fetch: Callable[[], Result | None],
        suffix: str,
        stack: AsyncExitStack,
    ) -> None:
        self._tag = secrets.token_hex(8)
        super().__init__(headers=dict(headers) | {"X-ClickHouse-Exception-Tag": self._tag})
        del self.headers["content-length"]
        self._pack = encoder(coding) if coding else None
        self._query = query
        self._held = held
        self._fetch = fetch
        self._suffix = suffix
        self._stack = stack

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with self._stack:
            await send(
                {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}
            )
            try:
                while self._held:
                    await self._send(send, self._held.pop(0).body)
                while not self._query.is_gone and (chunk := await self._query.wait(self._fetch)) is not None:
                    await self._send(send, chunk.body)
            except EngineError as error:
                await self._send(send, _late_error(f"{error}{self._suffix}", self._tag))
            last = self._pack.end() if self._pack else b""
            await send({"type": "http.response.body", "body": last, "more_body": False})

    async def _send(self, send: Send, chunk: bytes) -> None:
        body = await self._query.wait(partial(self._pack.feed, chunk)) if self._pack else chunk
        await send({"type": "http.response.body", "body": body, "more_body": True})


class Held(Response):
    """A large answer that keeps its slot until it is sent, so that only so many are in memory."""

    def __init__(self, whole: Response, stack: AsyncExitStack) -> None:
        super().__init__(whole.body, whole.status_code, dict(whole.headers))
        self._stack = stack

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with self._stack:
            await super().__call__(scope, receive, send)


class ClientStalled(Exception):
    """A client took nothing of its answer for too long."""


class Patience:
    """Lets a client go that takes nothing of its answer for `limit_s`: it would keep a slot from others for ever."""

    def __init__(self, app: ASGIApp, limit_s: float = 60.0) -> None:
        self._app = app
        self._limit_s = limit_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_in_time(message: Message) -> None:
            try:
                async with asyncio.timeout(self._limit_s):
                    await send(message)
            except TimeoutError:
                raise ClientStalled from None

        try:
            await self._app(scope, receive, send_in_time)
        except ClientStalled:
            log.warning("a client took nothing of its answer", limit_s=self._limit_s)


async def hold_back(
    query: RunningQuery, asked: Asked, fetch: Callable[[], Result | None]
) -> tuple[list[Result], bool]:
    """The first chunks and whether they are all: an error in them still gets its own status."""
    waits = asked.fields.get("wait_end_of_query", "0") not in ("0", "")
    limit_bytes = _WAITED_BYTES_MAX if waits else _HELD_BACK_BYTES_MAX
    held: list[Result] = []
    size_bytes = 0
    while size_bytes < limit_bytes:
        chunk = await query.wait(fetch)
        if chunk is None:
            return held, True
        held.append(chunk)
        size_bytes += len(chunk.body)
    return held, False


class Answers:
    """Makes answers for one engine, whose version and time zone they name."""

    def __init__(self, version: str, timezone: str) -> None:
        self.suffix = f" (version {version} (embedded))\n"
        self._timezone = timezone

    def complete(self, asked: Asked, name: str | None, result: Result) -> Response:
        """A whole answer in the format `name`; None for a statement without a result."""
        headers = self.headers(asked, name) | {"X-ClickHouse-Summary": _summary(result)}
        body = result.body
        if asked.coding and body:
            pack = encoder(asked.coding)
            body = pack.feed(body) + pack.end()
        elif "Content-Encoding" in headers:
            del headers["Content-Encoding"]
        return Response(body, headers=headers)

    def headers(self, asked: Asked, name: str | None) -> dict[str, str]:
        """What every answer says."""
        headers = {
            "Content-Type": _content_type(name or "TabSeparated"),
            "X-ClickHouse-Query-Id": asked.query_id,
            "X-ClickHouse-Timezone": self._timezone,
            "X-ClickHouse-Server-Display-Name": "embedded",
        }
        if name:
            # Only statements with a result have one: clients tell an INSERT's answer from an empty result by it.
            headers["X-ClickHouse-Format"] = name
        if asked.coding:
            headers["Content-Encoding"] = asked.coding
        return headers

    def error(self, error: EngineError, query_id: str) -> Response:
        """A refusal, with the server's code, status and text."""
        headers = {"X-ClickHouse-Exception-Code": str(error.code), "X-ClickHouse-Query-Id": query_id}
        status = _STATUS.get(error.code, 500)
        if status == 503:
            headers["Retry-After"] = "1"
        if error.code == 194:
            headers["WWW-Authenticate"] = 'Basic realm="ClickHouse server HTTP API"'
        return PlainTextResponse(f"{error}{self.suffix}", status_code=status, headers=headers)


def _content_type(name: str) -> str:
    return next(
        (kind for starts, kind in _CONTENT_TYPES if name.startswith(starts)), "text/plain; charset=UTF-8"
    )


def _summary(result: Result) -> str:
    counts = {
        "read_rows": result.read_rows,
        "read_bytes": result.read_bytes,
        "written_rows": result.written_rows,
        "written_bytes": result.written_bytes,
        "total_rows_to_read": 0,
        "result_rows": result.written_rows or result.result_rows,
        "result_bytes": result.written_bytes or len(result.body),
    }
    return msgspec.json.encode({name: str(count) for name, count in counts.items()}).decode()


def _late_error(message: str, tag: str) -> bytes:
    """An error after the answer began, in the form that servers since 25.11 use and clients look for."""
    text = message.encode()
    return b"\r\n__exception__\r\n%b\r\n%b%d %b\r\n__exception__\r\n" % (
        tag.encode(),
        text,
        len(text),
        tag.encode(),
    )
