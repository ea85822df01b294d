"""ClickHouse's client for the whole system: the same code against the embedded engine and a real server."""

import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import clickhouse_connect
import msgspec
import stamina
from clickhouse_connect.driver.exceptions import ClickHouseError as DriverError
from clickhouse_connect.driver.exceptions import DatabaseError, OperationalError

# The driver logs what it also raises.
logging.getLogger("clickhouse_connect").addHandler(logging.NullHandler())

# Codes that say "not now": too many queries, socket and network time-outs, cannot schedule, table is read-only.
_PASSING = frozenset({202, 209, 210, 242, 439})


class ClickHouseError(Exception):
    """What ClickHouse refused. `code` is ClickHouse's number; 0 when no server answered."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code

    @property
    def is_passing(self) -> bool:
        """Whether the same request may succeed later: the server is away or busy."""
        return self.code == 0 or self.code in _PASSING


class ClickHouseAway(ClickHouseError):
    """No server answers there, or it went away in the middle: what was asked may or may not have been done."""


class ClickHouseSettings(Protocol):
    """What the client needs to know of the system's settings."""

    @property
    def clickhouse_host(self) -> str: ...
    @property
    def clickhouse_port(self) -> int: ...
    @property
    def clickhouse_user(self) -> str: ...
    @property
    def clickhouse_database(self) -> str: ...


class Written(msgspec.Struct, frozen=True):
    """What an INSERT says that it wrote, counted before deduplication: a repeated block counts again."""

    rows: int
    size_bytes: int


class ClickHouse:
    """A connection pool to one server. Use one object per thread: it is not safe to share.

    Reads are tried again for `retry_s` seconds while the server is away or busy. Commands and inserts are sent once:
    only their caller knows whether they may be repeated (an insert with a deduplication token may).
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        user: str = "default",
        password: str = "",
        database: str = "neural_hive",
        secure: bool = False,
        timeout_s: float = 300,
        retry_s: float = 5,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        self.url = f"{'https' if secure else 'http'}://{host}:{port}"
        self._retry_s = retry_s
        self._arguments: dict[str, Any] = {
            "host": host,
            "port": port,
            "username": user,
            "password": password,
            "database": database,
            "secure": secure,
            "connect_timeout": 5,
            "send_receive_timeout": timeout_s,
            "settings": dict(settings or {}),
            # A session would only serialise the statements of one client.
            "autogenerate_session_id": False,
            "query_retries": 0,
            "compress": False,
            "dedicated_pool": True,
        }
        self._opened: Any = None

    @classmethod
    def of(cls, settings: ClickHouseSettings, password: str, **options: Any) -> "ClickHouse":
        """The client that the system's settings describe."""
        return cls(
            settings.clickhouse_host,
            settings.clickhouse_port,
            user=settings.clickhouse_user,
            password=password,
            database=settings.clickhouse_database,
            **options,
        )

    def query(
        self, sql: str, params: Mapping[str, Any] | None = None, settings: Mapping[str, Any] | None = None
    ) -> list[dict[str, Any]]:
        """Rows as dicts. Parameters are typed in the query: `WHERE id = {id:String}`."""
        result = self._read(
            lambda: self._client().query(sql, parameters=_bound(params), settings=dict(settings or {}))
        )
        return list(result.named_results())

    def rows(
        self, sql: str, params: Mapping[str, Any] | None = None, settings: Mapping[str, Any] | None = None
    ) -> list[tuple[Any, ...]]:
        """Rows as tuples."""
        result = self._read(
            lambda: self._client().query(sql, parameters=_bound(params), settings=dict(settings or {}))
        )
        return [tuple(row) for row in result.result_rows]

    def raw(
        self, sql: str, params: Mapping[str, Any] | None = None, output_format: str | None = None
    ) -> bytes:
        """The answer as the server formats it."""
        answer = self._read(
            lambda: self._client().raw_query(sql, parameters=_bound(params), fmt=output_format)
        )
        return bytes(answer)

    @contextmanager
    def raw_stream(
        self, sql: str, params: Mapping[str, Any] | None = None, output_format: str | None = None
    ) -> Iterator[Iterator[bytes]]:
        """The answer as the server formats it, in pieces. An error in the middle is raised, not part of it."""
        with self._errors():
            answer = self._client().raw_stream(sql, parameters=_bound(params), fmt=output_format)
            try:
                tag = answer.headers.get("X-ClickHouse-Exception-Tag", "")
                yield _without_error(answer.stream(1 << 16, decode_content=True), tag)
            finally:
                answer.close()

    @contextmanager
    def stream(self, sql: str, params: Mapping[str, Any] | None = None) -> Iterator[Iterator[Sequence[Any]]]:
        """Rows as the server sends them, for results that do not fit into memory: `with ch.stream(sql) as rows`."""
        with self._errors(), self._client().query_rows_stream(sql, parameters=_bound(params)) as rows:
            yield iter(rows)

    def command(
        self, sql: str, params: Mapping[str, Any] | None = None, settings: Mapping[str, Any] | None = None
    ) -> Any:
        """DDL and other statements with at most one value as answer. Sent once."""
        with self._errors():
            return self._client().command(sql, parameters=_bound(params), settings=dict(settings or {}))

    def insert_avro(self, table_sql: str, body: bytes, settings: Mapping[str, Any] | None = None) -> Written:
        """Inserts the rows of an Avro container; sent once.

        `table_sql` is an INSERT without its FORMAT clause, `INSERT INTO t (a, b)` or
        `INSERT INTO t SELECT … FROM input('a UInt32, …')`.
        """
        return self.insert(table_sql, "Avro", body, settings)

    def insert(
        self, sql: str, data_format: str, body: bytes, settings: Mapping[str, Any] | None = None
    ) -> Written:
        """Inserts data that is already in one of ClickHouse's formats; sent once."""
        with self._errors():
            # Not `command`, which decodes the data to see whether it may be sent again; and a generator, because
            # `raw_insert` sends bytes again by itself when the connection breaks.
            parts = (part for part in (f"{sql} FORMAT {data_format}\n".encode(), body))
            summary = self._client().raw_insert(insert_block=parts, settings=dict(settings or {})).summary
        return Written(int(summary.get("written_rows", 0)), int(summary.get("written_bytes", 0)))

    def is_up(self) -> bool:
        """Whether the server answers and takes this user's queries."""
        try:
            with self._errors():
                self._client().command("SELECT 1")
        except ClickHouseError:
            return False
        return True

    def close(self) -> None:
        if self._opened is not None:
            self._opened.close()
            self._opened = None

    def __enter__(self) -> "ClickHouse":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _client(self) -> Any:
        # Opened at first use: a process may start before its server.
        if self._opened is None:
            self._opened = clickhouse_connect.get_client(**self._arguments)
        return self._opened

    def _read(self, ask: Any) -> Any:
        for attempt in stamina.retry_context(
            on=lambda error: isinstance(error, ClickHouseError) and error.is_passing,
            attempts=None if self._retry_s else 1,
            timeout=self._retry_s or None,
            wait_initial=0.05,
            wait_max=1.0,
            wait_jitter=0.1,
        ):
            with attempt, self._errors():
                return ask()
        raise AssertionError("stamina ends by raising")

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except DriverError as error:
            raise self._clear(error) from error

    def _clear(self, error: DriverError) -> ClickHouseError:
        code = getattr(error, "code", None) or 0
        text = str(error)
        # The driver tells the whole story of the request; the server's own sentence is what helps.
        _, found, said = text.partition("server response: ")
        said = said.rpartition(" (for url ")[0] or said if found else text
        if code == 0 and isinstance(error, OperationalError) and not found:
            reason = re.search(r"\[Errno -?\d+\] ([\w ]+)", text)
            reason_text = reason.group(1) if reason else text
            return ClickHouseAway(
                f"no answer from ClickHouse at {self.url} ({reason_text}): is it running?", 0
            )
        if code == 0 and isinstance(error, DatabaseError) and "HTTP status 5" in text:
            return ClickHouseAway(
                f"ClickHouse at {self.url} went away in the middle of a request ({text})", 0
            )
        said = said.replace("\n FORMAT Native", "").partition(". Expected one of: ")[0]
        return ClickHouseError(said.strip() or text, code or 1002)


def _bound(params: Mapping[str, Any] | None) -> dict[str, Any] | None:
    return dict(params) if params else None


def _without_error(pieces: Iterator[bytes], tag: str) -> Iterator[bytes]:
    """Passes pieces on, and raises the error that a server writes behind what it has already sent."""
    late = LateError(tag)
    for piece in pieces:
        yield late.feed(piece)
    yield late.end()


class LateError:
    """Finds the error that a server writes behind what it has already sent, marked with `tag`."""

    def __init__(self, tag: str) -> None:
        self._tag = tag
        self._mark = f"\r\n__exception__\r\n{tag}\r\n".encode()
        self._held = b""
        self._failed = False

    def feed(self, piece: bytes) -> bytes:
        """What is certainly part of the answer."""
        self._held += piece
        if self._failed or not self._tag:
            return b"" if self._failed else self._take(len(self._held))
        at = self._held.find(self._mark)
        if at >= 0:
            self._failed = True
            answer = self._take(at)
            self._take(len(self._mark))
            return answer
        return self._take(max(len(self._held) - len(self._mark), 0))

    def end(self) -> bytes:
        """What was held back. Raises ClickHouseError if the answer ends with an error."""
        if self._failed:
            raise _told(self._held, self._tag)
        return self._take(len(self._held))

    def _take(self, size: int) -> bytes:
        taken, self._held = self._held[:size], self._held[size:]
        return taken


def _told(rest: bytes, tag: str) -> ClickHouseError:
    text = rest.decode(errors="replace").rpartition(f" {tag}\r\n")[0].rpartition("\n")[0].strip()
    code = re.match(r"Code: (\d+)", text)
    return ClickHouseError(f"the answer is not complete: {text}", int(code.group(1)) if code else 1002)
