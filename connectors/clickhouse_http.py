"""ClickHouse's HTTP interface in front of the embedded engine.

As on a server: GET and POST `/` with `query`, a body that goes on with the query or holds an INSERT's data,
`database`, `default_format`, `param_*`, settings in the URL, `session_id`, `query_id`, HTTP compression, basic auth,
`X-ClickHouse-User`/`-Key` or `user`/`password`; `/ping`, `/replicas_status`. Besides: `/health`.

Not there: ClickHouse's native block compression (`compress=1`, `decompress=1`), external tables, roles, quotas,
progress headers, `client_protocol_version`, a client's own `log_comment` (by it a statement is found and stopped).
Readers' sessions keep nothing: they can set nothing.
Answers in formats with a head and a tail (JSON, Parquet, Pretty, …) are made in memory; line and block formats stream.
"""

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, closing, contextmanager
from functools import partial
from pathlib import Path
from urllib.parse import parse_qsl

import msgspec
import structlog
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from neural_hive.connectors.clickhouse_accounts import Accounts
from neural_hive.connectors.clickhouse_answer import (
    HELD_BYTES_MIN,
    Answers,
    Held,
    Patience,
    RunningQuery,
    Streamed,
    hold_back,
)
from neural_hive.connectors.clickhouse_connection import Connection, EngineError, Result
from neural_hive.connectors.clickhouse_definitions import CHANGING, Definitions
from neural_hive.connectors.clickhouse_encoding import choose
from neural_hive.connectors.clickhouse_engine import Engine
from neural_hive.connectors.clickhouse_gate import Admitted, ReaderGate
from neural_hive.connectors.clickhouse_lanes import Lane
from neural_hive.connectors.clickhouse_request import (
    Asked,
    RequestBody,
    credentials,
    form_fields,
    session_timeout_s,
    with_quota_key,
)
from neural_hive.connectors.clickhouse_sql import SqlError, first_word, output_format, parse_insert
from neural_hive.connectors.disk import room, says_full
from neural_hive.connectors.reader_rules import Rules, check_format, check_settings, denied

log = structlog.get_logger(__name__)

_HEAD_BYTES_MAX = 1 << 20
_NO_SPACE = 243
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


class _Statement(msgspec.Struct, frozen=True):
    """What the engine is to run; `data` is the file that holds an INSERT's data."""

    sql: str
    gate_sql: str
    data: Path | None


class ClickHouseHttp:
    """The HTTP application. `incoming` holds data of INSERTs while they run."""

    def __init__(
        self,
        engine: Engine,
        accounts: Accounts,
        incoming: Path,
        request_bytes_max: int,
        definitions: Definitions,
    ) -> None:
        self._engine, self._definitions = engine, definitions
        self._accounts = accounts
        self._incoming = incoming
        self._request_bytes_max = request_bytes_max
        rules = Rules(
            engine.database,
            engine.table_functions,
            engine.data_types,
            engine.views,
            engine.added_functions,
        )
        self._gate = ReaderGate(rules)
        self._answers = Answers(engine.version, engine.timezone)
        routes = Starlette(
            routes=[
                Route("/", self._query, methods=["GET", "HEAD", "POST"]),
                Route("/ping", self._ping, methods=["GET", "HEAD"]),
                Route("/replicas_status", self._ping),
                Route("/health", self._health),
            ]
        )
        self.app = Patience(routes)

    async def _ping(self, _: Request) -> Response:
        return PlainTextResponse("Ok.\n")

    async def _health(self, _: Request) -> Response:
        """Parts found broken are rows that are missing: who owns the tables must build them again."""
        found = await asyncio.to_thread(self._engine.detached_parts)
        parts = [msgspec.to_builtins(part) for part in found]
        state = "rebuild" if parts else "ok"
        return JSONResponse(
            {
                "status": state,
                "version": self._engine.version,
                "detached_parts": parts,
                "running": self._accounts.running(),
            }
        )

    async def _query(self, request: Request) -> Response:
        if request.method == "GET" and not request.url.query:
            return PlainTextResponse("Ok.\n")
        query_id = request.query_params.get("query_id") or str(uuid.uuid4())
        body = RequestBody(request, self._request_bytes_max)
        try:
            return await self._answer(request, body, query_id)
        except EngineError as error:
            await body.drain()
            return self._answers.error(self._with_room(error), query_id)
        except SqlError as error:
            await body.drain()
            return self._answers.error(EngineError.own(error.code, error.name, str(error)), query_id)
        except ClientDisconnect:
            return PlainTextResponse("", status_code=499)
        except OSError as error:
            log.error("files cannot be written", query_id=query_id, why=str(error))
            await body.drain()
            full = EngineError.own(_NO_SPACE, "NOT_ENOUGH_SPACE", str(error))
            other = EngineError.own(75, "CANNOT_WRITE_TO_FILE_DESCRIPTOR", str(error))
            return self._answers.error(self._with_room(full if says_full(error) else other), query_id)
        except Exception:
            log.exception("a request failed in this server, not in the engine", query_id=query_id)
            reason = "This server failed; its log has the trace"
            return self._answers.error(EngineError.own(1001, "STD_EXCEPTION", reason), query_id)

    def _with_room(self, error: EngineError) -> EngineError:
        """The error of a full disk says which disk it is."""
        if error.code == _NO_SPACE or says_full(error):
            return EngineError(_NO_SPACE, f"{error}: {room(self._incoming)}")
        return error

    async def _answer(self, request: Request, body: RequestBody, query_id: str) -> Response:
        fields = dict(parse_qsl(request.url.query, keep_blank_values=True, errors="surrogateescape"))
        given = credentials(request, fields)
        fields = with_quota_key(request, fields)
        peer = request.client.host if request.client else ""
        account = await self._accounts.logins.account(given, peer, request.headers.get("host", ""))
        form = "multipart/form-data" in request.headers.get("content-type", "")
        if form:
            fields |= await form_fields(body, request.headers["content-type"])
        for option in ("compress", "decompress"):
            if fields.get(option, "0") not in ("", "0", "false"):
                raise EngineError.own(
                    48, "NOT_IMPLEMENTED", f"{option}=1 is not known here: use HTTP compression"
                )
        wants = fields.get("enable_http_compression", "0") not in ("0", "false", "")
        coding = choose(request.headers.get("accept-encoding", "")) if wants else None
        asked = Asked(
            given.user, account, fields, query_id, uuid.uuid4().hex, coding, request.method != "POST"
        )
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(asked.lane.slot())
            statement = await self._statement(asked, None if form else body)
            if statement.data:
                stack.callback(statement.data.unlink, missing_ok=True)
            return await self._run(request, asked, statement, stack)

    async def _statement(self, asked: Asked, body: RequestBody | None) -> _Statement:
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
        if asked.account.reads_only:
            raise _cannot_write(asked)
        path = self._incoming / f"{uuid.uuid4().hex}.bin"
        try:
            size_bytes = await _write(path, bytes(head[insert.data_at :]), pieces, asked.lane)
            if size_bytes == 0 and insert.format == "Values":
                raise EngineError.own(108, "NO_DATA_TO_INSERT", "No data to insert")
            return _Statement(insert.reading(str(path)), insert.statement, path)
        except BaseException:
            path.unlink(missing_ok=True)
            raise

    async def _run(
        self, request: Request, asked: Asked, statement: _Statement, stack: AsyncExitStack
    ) -> Response:
        lane = asked.lane
        admitted = None
        if asked.account.reads_only:
            admitted = await lane.call(partial(self._admit_reader, asked, statement))
        opened = self._connection(asked, admitted)
        connection = await lane.call(opened.__enter__)
        stack.push(opened.__exit__)
        reads = await lane.call(partial(self._admit, connection, asked, statement, admitted))
        chosen = output_format(statement.gate_sql) if reads else None
        name = chosen or asked.fields.get("default_format") or "TabSeparated"
        query = RunningQuery(self._engine, asked, reads, request.receive)
        stack.push_async_callback(query.end)
        if not (reads and name in _STREAMED and first_word(statement.sql) in ("SELECT", "WITH")):
            run = partial(connection.run, statement.sql, name, asked.params)
            if not reads and first_word(statement.sql) in CHANGING:
                run = partial(self._definitions.during, run)
            result = await query.wait(run)
            answer = self._answers.complete(asked, name if reads or result.body else None, result)
            return Held(answer, stack.pop_all()) if len(answer.body) > HELD_BYTES_MIN else answer
        chunks = stack.enter_context(closing(connection.stream(statement.sql, name, asked.params)))
        fetch = partial(next, chunks, None)
        held, ended = await hold_back(query, asked, fetch)
        if ended:
            return self._answers.complete(asked, name, Result.joined(held))
        # The answer outlives this call: its slot and connection go with it.
        headers = self._answers.headers(asked, name)
        return Streamed(headers, asked.coding, query, held, fetch, self._answers.suffix, stack.pop_all())

    def _admit_reader(self, asked: Asked, statement: _Statement) -> Admitted:
        """Whether a reader may run it, as far as can be said without the engine. Raises SqlError."""
        if name := asked.fields.get("default_format"):
            check_format(name)
        if asked.fields.get("database", "") not in ("", "default", self._engine.database):
            raise denied(f"readers have the database {self._engine.database}: name others in the statement")
        admitted = self._gate.admit(statement.gate_sql)
        check_settings(admitted.settings, asked.account.settings)
        return admitted

    def _admit(
        self, connection: Connection, asked: Asked, statement: _Statement, admitted: Admitted | None
    ) -> bool:
        """Whether the statement only reads; raises if the user may not run it."""
        sql = statement.gate_sql
        kind, count = connection.statement_class(sql)
        reads = kind == "READ_ONLY"
        if admitted:
            # What the engine cannot parse it cannot run: it shall say what is wrong.
            if not reads and kind != "UNKNOWN":
                raise _cannot_write(asked)
            self._gate.confirm(admitted, partial(connection.lines, params=asked.params))
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
    def _connection(self, asked: Asked, admitted: Admitted | None) -> Iterator[Connection]:
        """A connection with the request's database and settings, and the account's limits."""
        fields, account = asked.fields, asked.account
        own = asked.settings
        limits = dict(account.settings) | {"log_comment": asked.mark}
        if admitted:
            with closing(self._engine.connect()) as connection:
                connection.become_reader(self._engine.database, limits | own | admitted.settings)
                yield connection
            return
        database = fields.get("database", "")
        session_id = fields.get("session_id")
        if session_id is None:
            with closing(self._engine.connect()) as connection:
                if database:
                    connection.use(database)
                connection.set(limits | own | ({"readonly": "2"} if asked.get else {}))
                yield connection
            return
        must_exist = fields.get("session_check") == "1"
        with self._engine.sessions.use(asked.user, session_id, session_timeout_s(fields), must_exist) as (
            connection,
            fresh,
        ):
            if fresh:
                connection.set(account.settings)
            if database:
                connection.use(database)
            with connection.settings(own | {"log_comment": asked.mark}):
                yield connection


def _cannot_write(asked: Asked) -> EngineError:
    reason = f"{asked.user}: Cannot execute query in readonly mode: SELECT, WITH, SHOW, DESCRIBE or EXPLAIN"
    return EngineError.own(164, "READONLY", reason)


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
