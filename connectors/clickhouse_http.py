"""ClickHouse's HTTP interface in front of the embedded engine.

As on a server: GET and POST `/` with `query`, a body that goes on with the query or holds an INSERT's data,
`database`, `default_format`, `param_*`, settings in the URL, `session_id`, `query_id`, HTTP compression, basic auth,
`X-ClickHouse-User`/`-Key` or `user`/`password`; `/ping`, `/replicas_status`. Besides: `/health`.

Not there: ClickHouse's native block compression (`compress=1`, `decompress=1`), external tables, roles, quotas,
progress headers, `client_protocol_version`, a user's own `log_comment` (it carries the query id here).
Answers in formats with a head and a tail (JSON, Parquet, Pretty, …) are made in memory; line and block formats stream.
"""

import asyncio
import email.parser
import email.policy
import secrets
import uuid
from base64 import b64decode
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, closing, contextmanager, suppress
from email.message import EmailMessage
from functools import partial
from pathlib import Path
from typing import TypeVar
from urllib.parse import parse_qsl

import msgspec
import structlog
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from neural_hive.connectors.clickhouse_encoding import CODINGS, Decoder, choose, encoder
from neural_hive.connectors.clickhouse_engine import Connection, Engine, EngineError, Lane, Result
from neural_hive.connectors.clickhouse_sql import (
    ReaderGate,
    SqlError,
    first_word,
    output_format,
    parse_insert,
)

log = structlog.get_logger(__name__)

T = TypeVar("T")

_HEAD_BYTES_MAX = 1 << 20
_HELD_BACK_BYTES_MAX = 1 << 20
_WAITED_BYTES_MAX = 64 << 20
_NOT_SETTINGS = frozenset(
    [
        "query",
        "database",
        "default_format",
        "user",
        "password",
        "quota_key",
        "query_id",
        "session_id",
        "session_timeout",
        "session_check",
        "stacktrace",
        "role",
        "compress",
        "decompress",
        "wait_end_of_query",
        "buffer_size",
        "client_protocol_version",
        "close_session",
        "log_comment",
    ]
)
# What a reader may set: how the answer looks, not what it may cost.
_READERS_SETTINGS = (
    "output_format_",
    "format_",
    "date_time_",
    "enable_http_compression",
    "http_",
    "send_progress_in_http_headers",
    "cancel_http_readonly_queries_on_client_close",
    "join_use_nulls",
    "session_timezone",
    "max_result_rows",
    "max_threads",
)
_STREAMED = frozenset(
    [
        "TSV",
        "TabSeparated",
        "TSVRaw",
        "TabSeparatedRaw",
        "CSV",
        "JSONEachRow",
        "JSONLines",
        "NDJSON",
        "JSONCompactEachRow",
        "JSONStringsEachRow",
        "JSONCompactStringsEachRow",
        "Native",
        "RowBinary",
    ]
)
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


class Account(msgspec.Struct, frozen=True):
    """Who may ask: password None means none is asked. Readers pass the gate and have locked settings."""

    lane: Lane
    password: str | None
    reads_only: bool
    settings: Mapping[str, str]


class _Asked(msgspec.Struct, frozen=True):
    """One request, taken apart."""

    user: str
    account: Account
    fields: Mapping[str, str]
    query_id: str
    coding: str | None
    get: bool

    @property
    def params(self) -> dict[str, str]:
        return {name[6:]: value for name, value in self.fields.items() if name.startswith("param_")}

    @property
    def settings(self) -> dict[str, str]:
        asked = {
            name: value
            for name, value in self.fields.items()
            if name not in _NOT_SETTINGS and not name.startswith("param_")
        }
        if self.account.reads_only:
            refused = next((name for name in asked if not name.startswith(_READERS_SETTINGS)), None)
            if refused:
                raise EngineError.own(164, "READONLY", f"Cannot modify '{refused}' setting in readonly mode")
        return asked


class _Body:
    """A request's body without its Content-Encoding, piece by piece, within a size limit."""

    def __init__(self, request: Request, limit_bytes: int) -> None:
        self._request = request
        self._limit_bytes = limit_bytes
        coding = request.headers.get("content-encoding", "identity").lower()
        if coding not in (*CODINGS, "identity", ""):
            known = ", ".join(CODINGS)
            raise EngineError.own(
                48, "NOT_IMPLEMENTED", f"Content-Encoding {coding} is not known here: use {known}"
            )
        self._decoder = Decoder(coding) if coding in CODINGS else None

    async def pieces(self) -> AsyncIterator[bytes]:
        size_bytes = 0
        async for piece in self._request.stream():
            for plain in self._decode(piece):
                size_bytes += len(plain)
                if size_bytes > self._limit_bytes:
                    raise EngineError.own(
                        307, "TOO_MANY_BYTES", f"The request is larger than {self._limit_bytes} bytes"
                    )
                yield plain
        if self._decoder:
            self._checked(self._decoder.end)

    def _decode(self, piece: bytes) -> Iterator[bytes]:
        if self._decoder is None:
            yield piece
            return
        try:
            yield from self._decoder.feed(piece)
        except ValueError as error:
            raise EngineError.own(117, "INCORRECT_DATA", f"Cannot read the request: {error}") from None

    def _checked(self, end: Callable[[], None]) -> None:
        try:
            end()
        except ValueError as error:
            raise EngineError.own(117, "INCORRECT_DATA", f"Cannot read the request: {error}") from None


class _Query:
    """One running statement; a read whose client has gone is stopped, a change of data goes on to its end."""

    def __init__(self, engine: Engine, asked: _Asked, reads: bool, receive: Receive) -> None:
        self._engine = engine
        self._asked = asked
        self._reads = reads
        self._client = asyncio.ensure_future(receive())

    async def wait(self, work: Callable[[], T]) -> T:
        """What `work` returns in the lane. Never leaves before the thread has ended: the connection is in use."""
        running = asyncio.ensure_future(self._asked.account.lane.call(work))
        if self._reads:
            await asyncio.wait({running, self._client}, return_when=asyncio.FIRST_COMPLETED)
            if not running.done():
                await self._engine.cancel(self._asked.query_id)
        return await running

    async def end(self) -> None:
        self._client.cancel()
        with suppress(asyncio.CancelledError):
            await self._client


class _Streamed(Response):
    """An answer that is sent as the engine makes it; keeps its slot and connection until the end."""

    def __init__(
        self,
        headers: Mapping[str, str],
        coding: str | None,
        query: _Query,
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
                while (chunk := await self._query.wait(self._fetch)) is not None:
                    await self._send(send, chunk.body)
            except EngineError as error:
                await self._send(send, _late_error(f"{error}{self._suffix}", self._tag))
            last = self._pack.end() if self._pack else b""
            await send({"type": "http.response.body", "body": last, "more_body": False})

    async def _send(self, send: Send, chunk: bytes) -> None:
        body = await self._query.wait(partial(self._pack.feed, chunk)) if self._pack else chunk
        await send({"type": "http.response.body", "body": body, "more_body": True})


async def _hold_back(
    query: _Query, asked: _Asked, fetch: Callable[[], Result | None]
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


class _Statement(msgspec.Struct, frozen=True):
    """What the engine is to run; `data` is the file that holds an INSERT's data."""

    sql: str
    gate_sql: str
    data: Path | None


class ClickHouseHttp:
    """The HTTP application. `incoming` holds data of INSERTs while they run."""

    def __init__(
        self, engine: Engine, accounts: Mapping[str, Account], incoming: Path, request_bytes_max: int
    ) -> None:
        self._engine = engine
        self._accounts = accounts
        self._incoming = incoming
        self._request_bytes_max = request_bytes_max
        self._gate = ReaderGate(engine.table_functions)
        self._detached = engine.detached_parts()
        self.app = Starlette(
            routes=[
                Route("/", self._query, methods=["GET", "HEAD", "POST"]),
                Route("/ping", self._ping, methods=["GET", "HEAD"]),
                Route("/replicas_status", self._ping),
                Route("/health", self._health),
            ]
        )

    async def _ping(self, _: Request) -> Response:
        return PlainTextResponse("Ok.\n")

    async def _health(self, _: Request) -> Response:
        """Parts found broken at start are rows that are missing: who owns the tables must build them again."""
        parts = [msgspec.to_builtins(part) for part in self._detached]
        lanes = {account.lane.name: account.lane.inside for account in self._accounts.values()}
        state = "rebuild" if parts else "ok"
        return JSONResponse(
            {"status": state, "version": self._engine.version, "detached_parts": parts, "running": lanes}
        )

    async def _query(self, request: Request) -> Response:
        if request.method == "GET" and not request.url.query:
            return PlainTextResponse("Ok.\n")
        query_id = request.query_params.get("query_id") or str(uuid.uuid4())
        try:
            return await self._answer(request, query_id)
        except EngineError as error:
            return self._error(error, query_id)
        except SqlError as error:
            return self._error(EngineError.own(error.code, error.name, str(error)), query_id)
        except ClientDisconnect:
            return PlainTextResponse("", status_code=499)
        except Exception:
            log.exception("a request failed in this server, not in the engine", query_id=query_id)
            reason = "This server failed; its log has the trace"
            return self._error(EngineError.own(1001, "STD_EXCEPTION", reason), query_id)

    async def _answer(self, request: Request, query_id: str) -> Response:
        fields = dict(parse_qsl(request.url.query, keep_blank_values=True, errors="surrogateescape"))
        user, account = self._authenticate(request, fields)
        form = "multipart/form-data" in request.headers.get("content-type", "")
        body = _Body(request, self._request_bytes_max)
        if form:
            fields |= await _form_fields(body, request.headers["content-type"])
        for option in ("compress", "decompress"):
            if fields.get(option, "0") not in ("", "0", "false"):
                raise EngineError.own(
                    48, "NOT_IMPLEMENTED", f"{option}=1 is not known here: use HTTP compression"
                )
        wants = fields.get("enable_http_compression", "0") not in ("0", "false", "")
        coding = choose(request.headers.get("accept-encoding", "")) if wants else None
        asked = _Asked(user, account, fields, query_id, coding, request.method != "POST")
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(account.lane.slot())
            statement = await self._statement(asked, None if form else body)
            if statement.data:
                stack.callback(statement.data.unlink, missing_ok=True)
            return await self._run(request, asked, statement, stack)

    def _authenticate(self, request: Request, fields: Mapping[str, str]) -> tuple[str, Account]:
        user, password = _credentials(request, fields)
        account = self._accounts.get(user)
        expected = account.password if account else secrets.token_hex()
        if account is None or (
            expected is not None and not secrets.compare_digest(password.encode(), expected.encode())
        ):
            reason = (
                f"{user}: Authentication failed: password is incorrect, or there is no user with such name"
            )
            raise EngineError.own(516, "AUTHENTICATION_FAILED", reason)
        return user, account

    async def _statement(self, asked: _Asked, body: _Body | None) -> _Statement:
        """The query of the URL and the body as one text; an INSERT's data goes to a file."""
        query = asked.fields.get("query", "")
        pieces = body.pieces() if body else _nothing()
        head = bytearray(query.encode("utf-8", "surrogateescape"))
        if head:
            head += b"\n"
        whole = True
        async for piece in pieces:
            head += piece
            if len(head) > _HEAD_BYTES_MAX:
                whole = False
                break
        insert = parse_insert(bytes(head[: _HEAD_BYTES_MAX * 2]), self._engine.input_formats)
        if insert is None:
            if not whole:
                reason = f"A query may have {_HEAD_BYTES_MAX} bytes; only the data of an INSERT … FORMAT may be larger"
                raise EngineError.own(307, "TOO_MANY_BYTES", reason)
            sql = _text(bytes(head)).strip()
            if not sql:
                raise EngineError.own(62, "SYNTAX_ERROR", "Empty query")
            return _Statement(sql, sql, None)
        path = self._incoming / f"{uuid.uuid4().hex}.bin"
        try:
            size_bytes = await _write(path, bytes(head[insert.data_at :]), pieces, asked.account.lane)
            if size_bytes == 0 and insert.format == "Values":
                raise EngineError.own(108, "NO_DATA_TO_INSERT", "No data to insert")
            return _Statement(insert.reading(str(path)), insert.statement, path)
        except BaseException:
            path.unlink(missing_ok=True)
            raise

    async def _run(
        self, request: Request, asked: _Asked, statement: _Statement, stack: AsyncExitStack
    ) -> Response:
        lane = asked.account.lane
        opened = self._connection(asked)
        connection = await lane.call(opened.__enter__)
        stack.push(opened.__exit__)
        reads = await lane.call(partial(self._admit, connection, asked, statement))
        chosen = output_format(statement.gate_sql) if reads else None
        name = chosen or asked.fields.get("default_format") or "TabSeparated"
        query = _Query(self._engine, asked, reads, request.receive)
        stack.push_async_callback(query.end)
        if not (reads and name in _STREAMED and first_word(statement.sql) in ("SELECT", "WITH")):
            result = await query.wait(partial(connection.run, statement.sql, name, asked.params))
            return self._complete(asked, name if reads or result.body else None, result)
        chunks = stack.enter_context(closing(connection.stream(statement.sql, name, asked.params)))
        fetch = partial(next, chunks, None)
        held, ended = await _hold_back(query, asked, fetch)
        if ended:
            return self._complete(asked, name, Result.joined(held))
        # The answer outlives this call: its slot and connection go with it.
        return _Streamed(
            self._headers(asked, name), asked.coding, query, held, fetch, self._suffix, stack.pop_all()
        )

    def _admit(self, connection: Connection, asked: _Asked, statement: _Statement) -> bool:
        """Whether the statement only reads; raises if the user may not run it."""
        sql = statement.gate_sql
        kind, count = connection.statement_class(sql)
        reads = kind == "READ_ONLY"
        if asked.account.reads_only and kind != "UNKNOWN":
            if not reads:
                reason = f"{asked.user}: Cannot execute query in readonly mode: SELECT, WITH, SHOW, DESCRIBE or EXPLAIN"
                raise EngineError.own(164, "READONLY", reason)
            self._gate.check(sql)
        elif asked.account.reads_only:
            # What the engine cannot parse it cannot run: let it say what is wrong.
            self._gate.check(sql)
        if asked.get and kind in ("MUTATING", "CONTROL"):
            raise EngineError.own(
                164, "READONLY", "Cannot execute query in readonly mode: use POST to change data"
            )
        if kind == "CONTROL":
            connection.forget_settings()
        if count > 1:
            raise EngineError.own(62, "SYNTAX_ERROR", "Multi-statements are not allowed")
        return reads

    @contextmanager
    def _connection(self, asked: _Asked) -> Iterator[Connection]:
        """A connection with the request's database and settings, and the account's limits."""
        fields, account = asked.fields, asked.account
        own = asked.settings
        limits = dict(account.settings) | {"log_comment": asked.query_id}
        database = fields.get("database", "")
        if account.reads_only and database in ("", "default"):
            database = self._engine.database
        session_id = fields.get("session_id")
        if session_id is None or account.reads_only:
            with closing(self._engine.connect()) as connection:
                if database:
                    connection.use(database)
                connection.set(limits | own | _readonly(asked))
                yield connection
            return
        must_exist = fields.get("session_check") == "1"
        with self._engine.sessions.use(asked.user, session_id, _timeout_s(fields), must_exist) as (
            connection,
            fresh,
        ):
            if fresh:
                connection.set(account.settings)
            if database:
                connection.use(database)
            with connection.settings(own | {"log_comment": asked.query_id}):
                yield connection

    def _complete(self, asked: _Asked, name: str | None, result: Result) -> Response:
        headers = self._headers(asked, name) | {"X-ClickHouse-Summary": _summary(result)}
        body = result.body
        if asked.coding and body:
            pack = encoder(asked.coding)
            body = pack.feed(body) + pack.end()
        elif "Content-Encoding" in headers:
            del headers["Content-Encoding"]
        return Response(body, headers=headers)

    def _headers(self, asked: _Asked, name: str | None) -> dict[str, str]:
        headers = {
            "Content-Type": _content_type(name or "TabSeparated"),
            "X-ClickHouse-Query-Id": asked.query_id,
            "X-ClickHouse-Timezone": self._engine.timezone,
            "X-ClickHouse-Server-Display-Name": "embedded",
        }
        if name:
            # Only statements with a result have one: clients tell an INSERT's answer from an empty result by it.
            headers["X-ClickHouse-Format"] = name
        if asked.coding:
            headers["Content-Encoding"] = asked.coding
        return headers

    @property
    def _suffix(self) -> str:
        return f" (version {self._engine.version} (embedded))\n"

    def _error(self, error: EngineError, query_id: str) -> Response:
        headers = {"X-ClickHouse-Exception-Code": str(error.code), "X-ClickHouse-Query-Id": query_id}
        status = _STATUS.get(error.code, 500)
        if status == 503:
            headers["Retry-After"] = "1"
        if error.code == 194:
            headers["WWW-Authenticate"] = 'Basic realm="ClickHouse server HTTP API"'
        return PlainTextResponse(f"{error}{self._suffix}", status_code=status, headers=headers)


def _content_type(name: str) -> str:
    return next(
        (kind for starts, kind in _CONTENT_TYPES if name.startswith(starts)), "text/plain; charset=UTF-8"
    )


def _readonly(asked: _Asked) -> dict[str, str]:
    """Readers may change no setting; GET changes no data."""
    if asked.account.reads_only:
        return {"readonly": "1"}
    return {"readonly": "2"} if asked.get else {}


async def _nothing() -> AsyncIterator[bytes]:
    return
    yield b""


async def _write(path: Path, first: bytes, pieces: AsyncIterator[bytes], lane: Lane) -> int:
    """Writes data to the file; its size in bytes."""
    with path.open("xb", buffering=0) as file:
        size_bytes = len(first)
        await lane.call(partial(file.write, first))
        async for piece in pieces:
            size_bytes += len(piece)
            file.write(piece)
    return size_bytes


def _text(sql: bytes) -> str:
    try:
        return sql.decode()
    except UnicodeDecodeError as error:
        raise EngineError.own(62, "SYNTAX_ERROR", f"The query is not UTF-8: {error}") from None


def _timeout_s(fields: Mapping[str, str]) -> float:
    text = fields.get("session_timeout", "60")
    if not text.isascii() or not text.isdigit() or int(text) > 3600:
        raise EngineError.own(
            374, "INVALID_SESSION_TIMEOUT", f"Invalid session timeout: '{text}' (0 to 3600 s)"
        )
    return float(text)


def _credentials(request: Request, fields: Mapping[str, str]) -> tuple[str, str]:
    headers = request.headers
    if "x-clickhouse-user" in headers or "x-clickhouse-key" in headers:
        return headers.get("x-clickhouse-user", "default"), headers.get("x-clickhouse-key", "")
    scheme, _, encoded = headers.get("authorization", "").partition(" ")
    if not scheme:
        return fields.get("user", "default"), fields.get("password", "")
    if scheme.lower() != "basic":
        reason = f"Invalid authentication: '{scheme}' HTTP Authorization scheme is not supported"
        raise EngineError.own(516, "AUTHENTICATION_FAILED", reason)
    try:
        user, _, password = b64decode(encoded, validate=True).decode().partition(":")
    except ValueError:
        raise EngineError.own(
            516, "AUTHENTICATION_FAILED", "Invalid authentication: damaged credentials"
        ) from None
    return user, password


async def _form_fields(body: _Body, content_type: str) -> dict[str, str]:
    """Fields of a multipart form: `query`, `param_*`, settings. Files would be external tables."""
    content = bytearray()
    async for piece in body.pieces():
        content += piece
        if len(content) > _HEAD_BYTES_MAX:
            raise EngineError.own(307, "TOO_MANY_BYTES", f"A form may have {_HEAD_BYTES_MAX} bytes")
    parser = email.parser.BytesParser(EmailMessage, policy=email.policy.HTTP)
    message = parser.parsebytes(b"Content-Type: " + content_type.encode() + b"\r\n\r\n" + bytes(content))
    fields = {}
    for part in message.iter_parts():
        if part.get_filename():
            raise EngineError.own(
                48, "NOT_IMPLEMENTED", "External tables are not known here: insert into a table first"
            )
        payload = part.get_payload(decode=True)
        name = part.get_param("name", header="content-disposition")
        if isinstance(name, str) and isinstance(payload, bytes):
            fields[name] = payload.decode("utf-8", "surrogateescape")
    return fields


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
