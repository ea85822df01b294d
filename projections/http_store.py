"""A ClickHouse server over HTTP, as the sink needs it: one attempt per call, and a clear word on its outcome.

The statement goes in front of the data in the request's body, where its length does not matter.
"""

import json
import socket
from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol, Self
from urllib.parse import urlencode

import urllib3
from urllib3.connection import HTTPConnection

from neural_hive.projections.store import StoreRefused, StoreUnavailable

_CONNECT_TIMEOUT_S: Final = 5.0
_READ_TIMEOUT_S: Final = 600.0
_PROBES: Final = {"TCP_KEEPIDLE": 10, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 4, "TCP_USER_TIMEOUT": 30_000}
# An answer may take its time, but a machine that is gone is noticed within half a minute, and not when that is over.
_SOCKET_OPTIONS: Final = (
    *HTTPConnection.default_socket_options,
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    *(
        (socket.IPPROTO_TCP, getattr(socket, name), value)
        for name, value in _PROBES.items()
        if hasattr(socket, name)
    ),
)
_BUSY: Final = frozenset((502, 503, 504))
_NO_CODE: Final = 1002  # ClickHouse's UNKNOWN_EXCEPTION: an error whose own text could not be told


class ServerSettings(Protocol):
    """What says where the database is, and who asks."""

    clickhouse_host: str
    clickhouse_port: int
    clickhouse_secure: bool
    clickhouse_user: str
    clickhouse_database: str

    def password_of(self, user: str) -> str:
        """The ClickHouse password of a user."""
        ...


class HttpStore:
    """A database of a ClickHouse server, embedded or real. Safe to use from several threads.

    The database must exist: see `create_database`.
    """

    def __init__(
        self, host: str, port: int, user: str, password: str, database: str, secure: bool = False
    ) -> None:
        self._url = f"{'https' if secure else 'http'}://{host}:{port}/"
        self._database = database
        self._headers = {"X-ClickHouse-User": user, "X-ClickHouse-Key": password}
        self._pool = urllib3.PoolManager(
            maxsize=4,
            retries=False,
            timeout=urllib3.Timeout(connect=_CONNECT_TIMEOUT_S, read=_READ_TIMEOUT_S),
            socket_options=_SOCKET_OPTIONS,
        )

    @classmethod
    def of(cls, settings: ServerSettings) -> Self:
        """The database that the settings name."""
        return cls(
            settings.clickhouse_host,
            settings.clickhouse_port,
            settings.clickhouse_user,
            settings.password_of(settings.clickhouse_user),
            settings.clickhouse_database,
            settings.clickhouse_secure,
        )

    def close(self) -> None:
        """Closes the kept connections."""
        self._pool.clear()

    def create_database(self) -> None:
        """Makes the database if it is not there."""
        self._send([f"CREATE DATABASE IF NOT EXISTS {self._database}".encode()], {}, database=None)

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """The rows of a query; whole numbers, texts, None as in JSON."""
        settings = {"output_format_json_quote_64bit_integers": 0}
        answer = self._send([f"{sql} FORMAT JSONCompactEachRow".encode()], settings)
        return [tuple(json.loads(line)) for line in answer.splitlines() if line]

    def command(self, sql: str, settings: Mapping[str, Any] | None = None) -> None:
        """A statement without a result."""
        self._send([sql.encode()], settings or {})

    def insert(self, sql: str, body: Sequence[bytes], settings: Mapping[str, Any]) -> None:
        """An INSERT … FORMAT X with its data, sent piece by piece."""
        self._send([sql.encode() + b"\n", *body], settings)

    def _send(self, body: Sequence[bytes], settings: Mapping[str, Any], database: str | None = "") -> bytes:
        fields: dict[str, Any] = {**settings, "wait_end_of_query": 1}
        if database is not None:
            fields["database"] = database or self._database
        headers = {**self._headers, "Content-Length": str(sum(map(len, body)))}
        try:
            answer = self._pool.urlopen(
                "POST", f"{self._url}?{urlencode(fields)}", body=body, headers=headers
            )
        except urllib3.exceptions.HTTPError as error:
            raise StoreUnavailable(f"ClickHouse at {self._url} does not answer: {error}") from error
        if answer.status == 200:
            return answer.data
        code = answer.headers.get("X-ClickHouse-Exception-Code", "")
        text = answer.data.decode(errors="replace")
        if answer.status in _BUSY:
            raise StoreUnavailable(f"ClickHouse at {self._url} answered {answer.status}: {text[:500]}")
        self._pool.clear()  # a server may close the connection behind an error
        raise StoreRefused(int(code) if code.isdigit() else _NO_CODE, text)
