"""The embedded engine of one data folder: connections, sessions, lanes, cancelling.

Every request gets a connection of its own (0.1 ms), so that settings, USE and temporary tables of one request never
reach another; a request with a session id gets the session's connection. A lane bounds how many statements of one
role run at once and how many may wait, so that slow readers cannot hold up the sink.
"""

import asyncio
import re
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")

_CODE = re.compile(r"Code: (\d+)\. ")
_REPEATED = re.compile(r"^(?:[\w ]+: )?(?:Code: \d+\. DB::Exception: )*(?=Code: \d+\. DB::Exception: )")
_VERSION = re.compile(r" \(version [\d.]+[^)]*\)")
_SERVER_LIKE = "implicit_select=0&allow_introspection_functions=0"


class EngineError(Exception):
    """What the engine or this server refused: ClickHouse's code, and the text without the version."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code

    @classmethod
    def of(cls, error: BaseException) -> "EngineError":
        text = str(error).removeprefix("Streaming query failed: ")
        # An error inside a pipeline arrives wrapped once more: the inner one is the server's text.
        text = _VERSION.sub("", _REPEATED.sub("", text))
        text = re.sub(r"(\([A-Z_0-9]+\))(?:\. \([A-Z_0-9]+\))+$", r"\1", text)
        code = _CODE.search(text)
        return cls(int(code.group(1)) if code else 1001, text)

    @classmethod
    def own(cls, code: int, name: str, reason: str) -> "EngineError":
        return cls(code, f"Code: {code}. DB::Exception: {reason}. ({name})")


class Result(msgspec.Struct, frozen=True):
    """A finished statement: the formatted answer and the engine's counts."""

    body: bytes
    read_rows: int
    read_bytes: int
    written_rows: int
    written_bytes: int
    result_rows: int

    @classmethod
    def of(cls, answer: Any) -> "Result":
        return cls(
            body=answer.bytes(),
            read_rows=answer.storage_rows_read(),
            read_bytes=answer.storage_bytes_read(),
            written_rows=answer.rows_written(),
            written_bytes=answer.bytes_written(),
            result_rows=answer.rows_read(),
        )

    @classmethod
    def joined(cls, chunks: Sequence["Result"]) -> "Result":
        """The whole answer of which these are the chunks; the counts of reading run on from chunk to chunk."""
        return cls(
            body=b"".join(chunk.body for chunk in chunks),
            read_rows=max((chunk.read_rows for chunk in chunks), default=0),
            read_bytes=max((chunk.read_bytes for chunk in chunks), default=0),
            written_rows=0,
            written_bytes=0,
            result_rows=sum(chunk.result_rows for chunk in chunks),
        )


class DetachedPart(msgspec.Struct, frozen=True):
    """A part that the engine set aside as broken: its rows are missing from the table."""

    database: str
    table: str
    name: str
    reason: str


class Connection:
    """One connection to the engine; statements on it run one after the other."""

    def __init__(self, chdb_connection: Any) -> None:
        # Kept: chdb closes the connection when its own object is collected, and a closed one hangs.
        self._owner = chdb_connection
        # The one way to the engine's own reading of a statement, which chdb's object does not pass on.
        self._raw = chdb_connection._conn
        self._lasting: dict[str, str] = {}
        self._error: type[Exception] = sys.modules["chdb"].ChdbError

    def run(self, sql: str, output_format: str, params: Mapping[str, str]) -> Result:
        try:
            return Result.of(self._raw.query(sql, output_format, params=dict(params)))
        except RuntimeError as error:
            raise EngineError.of(error) from None

    def stream(
        self, sql: str, output_format: str, params: Mapping[str, str]
    ) -> Generator[Result, None, None]:
        """Chunks of the answer as the engine makes them; only right for formats without head and tail."""
        try:
            with self._owner.send_query(sql, output_format, params=dict(params)) as chunks:
                for chunk in chunks:
                    yield Result.of(chunk)
        except (RuntimeError, self._error) as error:
            raise EngineError.of(error) from None

    def statement_class(self, sql: str) -> tuple[str, int]:
        """The engine's own reading of a text: READ_ONLY, MUTATING, CONTROL, …, UNKNOWN; and how many statements."""
        found = self._raw.classify_query(sql)
        return found["query_class"].name, int(found["statement_count"])

    def set(self, settings: Mapping[str, str]) -> None:
        bad = next((name for name in settings if not re.fullmatch(r"[a-zA-Z_][a-zA-Z_0-9]*", name)), None)
        if bad is not None:
            raise EngineError.own(115, "UNKNOWN_SETTING", f"Unknown setting '{bad}'")
        if settings:
            self.run(
                "SET " + ", ".join(f"{name} = {quote(value)}" for name, value in settings.items()), "TSV", {}
            )

    def use(self, database: str) -> None:
        self.run("USE `" + database.replace("\\", "\\\\").replace("`", "\\`") + "`", "TSV", {})

    @contextmanager
    def settings(self, settings: Mapping[str, str]) -> Iterator[None]:
        """Settings for one statement on a connection that lives on."""
        unknown = [name for name in settings if name not in self._lasting]
        if unknown:
            names = ", ".join(quote(name) for name in unknown)
            sql = f"SELECT name, value FROM system.settings WHERE name IN ({names})"
            rows = self.run(sql, "JSONCompactEachRow", {}).body.splitlines()
            self._lasting.update(msgspec.json.decode(row, type=tuple[str, str]) for row in rows)
        before = {name: self._lasting[name] for name in settings if name in self._lasting}
        self.set(settings)
        try:
            yield
        finally:
            self.set(before)

    def forget_settings(self) -> None:
        """To be called when a statement may change the connection's lasting settings."""
        self._lasting.clear()

    def close(self) -> None:
        self._owner.close()


def quote(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


class Lane:
    """At most `slots` statements at once and `queue` waiting; one more is refused (code 202)."""

    def __init__(self, name: str, slots: int, queue: int) -> None:
        self.name = name
        self._slots = slots
        self._limit = slots + queue
        self._inside = 0
        self._free = asyncio.Semaphore(slots)
        self._threads = ThreadPoolExecutor(slots, thread_name_prefix=f"clickhouse-{name}")

    @property
    def inside(self) -> int:
        return self._inside

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        if self._inside >= self._limit:
            counts = f"{self._slots} run and {self._limit - self._slots} wait for {self.name}"
            reason = f"Too many simultaneous queries: {counts}; try again later"
            raise EngineError.own(202, "TOO_MANY_SIMULTANEOUS_QUERIES", reason)
        self._inside += 1
        try:
            async with self._free:
                yield
        finally:
            self._inside -= 1

    async def call(self, function: Callable[[], T]) -> T:
        """Runs in a thread of the lane; even when cancelled it leaves only after the thread has ended."""
        running = asyncio.get_running_loop().run_in_executor(self._threads, function)
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            await asyncio.wait({running})
            raise

    def close(self) -> None:
        self._threads.shutdown(wait=True)


class _Session:
    def __init__(self, connection: Connection, timeout_s: float) -> None:
        self.connection = connection
        self.timeout_s = timeout_s
        self.busy = False
        self.used_at = time.monotonic()


class Sessions:
    """Connections that keep SET, USE and temporary tables between requests of one user.

    At most `limit`; the one idle longest makes room. Idle ones end after their time-out.
    """

    def __init__(self, connect: Callable[[], Connection], limit: int = 256) -> None:
        self._connect = connect
        self._limit = limit
        self._lock = threading.Lock()
        self._sessions: OrderedDict[tuple[str, str], _Session] = OrderedDict()

    @contextmanager
    def use(
        self, user: str, session_id: str, timeout_s: float, must_exist: bool
    ) -> Iterator[tuple[Connection, bool]]:
        """The session's connection, and whether it is new."""
        with self._lock:
            self._expire()
            session = self._sessions.get((user, session_id))
            fresh = session is None
            if session is None:
                if must_exist:
                    raise EngineError.own(372, "SESSION_NOT_FOUND", f"Session {session_id} not found")
                self._make_room()
                session = self._sessions[user, session_id] = _Session(self._connect(), timeout_s)
            if session.busy:
                raise EngineError.own(
                    373, "SESSION_IS_LOCKED", f"Session {session_id} is locked by a concurrent client"
                )
            session.busy = True
            session.timeout_s = timeout_s
        try:
            yield session.connection, fresh
        finally:
            with self._lock:
                session.busy = False
                session.used_at = time.monotonic()
                self._sessions.move_to_end((user, session_id))

    def _expire(self) -> None:
        now = time.monotonic()
        for key, session in list(self._sessions.items()):
            if not session.busy and now - session.used_at > session.timeout_s:
                self._sessions.pop(key).connection.close()

    def _make_room(self) -> None:
        if len(self._sessions) < self._limit:
            return
        idle = next((key for key, session in self._sessions.items() if not session.busy), None)
        if idle is None:
            raise EngineError.own(
                202, "TOO_MANY_SIMULTANEOUS_QUERIES", f"All {self._limit} sessions are busy"
            )
        self._sessions.pop(idle).connection.close()

    def close(self) -> None:
        with self._lock:
            for session in self._sessions.values():
                session.connection.close()
            self._sessions.clear()


class Engine:
    """The engine over `folder`. A process can have one; closing waits for nothing: end the lanes first."""

    def __init__(self, folder: Path, config: Path, database: str) -> None:
        # Half a second: `--help` must not pay it.
        chdb: Any = import_module("chdb")

        address = f"{folder}?config-file={config}&{_SERVER_LIKE}"
        self._open: Callable[[], Connection] = lambda: Connection(chdb.connect(address))
        self._main = self._open()
        self.database = database
        self._main.run(f"CREATE DATABASE IF NOT EXISTS `{database}` ENGINE = Atomic", "TSV", {})
        self.version = self._column("SELECT version()")[0]
        self.timezone = self._column("SELECT timezone()")[0]
        self.input_formats = frozenset(self._column("SELECT name FROM system.formats WHERE is_input"))
        self.table_functions = frozenset(self._column("SELECT name FROM system.table_functions"))
        self.sessions = Sessions(self.connect)
        self._control = ThreadPoolExecutor(1, thread_name_prefix="clickhouse-control")

    def connect(self) -> Connection:
        return self._open()

    def detached_parts(self) -> list[DetachedPart]:
        """Parts set aside with a reason, that is, not by a user's DETACH."""
        sql = (
            "SELECT database, table, name, reason FROM system.detached_parts "
            "WHERE reason NOT IN ('', 'ignored', 'clone') ORDER BY ALL LIMIT 1000"
        )
        lines = self._fresh(sql, "JSONEachRow").body.splitlines()
        return [msgspec.json.decode(line, type=DetachedPart) for line in lines]

    async def cancel(self, query_id: str) -> None:
        """Stops the statements that run with this id; a statement that has ended is no error."""
        sql = f"KILL QUERY WHERE Settings['log_comment'] = {quote(query_id)} ASYNC"
        await asyncio.get_running_loop().run_in_executor(self._control, self._fresh, sql, "TSV")

    def cancel_all(self) -> None:
        self._fresh("KILL QUERY WHERE query_id != queryID() ASYNC", "TSV")

    def _fresh(self, sql: str, output_format: str) -> Result:
        connection = self.connect()
        try:
            return connection.run(sql, output_format, {})
        finally:
            connection.close()

    def _column(self, sql: str) -> list[str]:
        return [
            msgspec.json.decode(line, type=list[str])[0]
            for line in self._main.run(sql, "JSONCompactEachRow", {}).body.splitlines()
        ]

    def close(self) -> None:
        self._control.shutdown(wait=True)
        self.sessions.close()
        self._main.close()
