"""SQL of a user, asked over HTTP from asyncio code: one call that gives the answer as ClickHouse formats it.

    reader = SqlReader.of(settings)
    async with reader.ask(sql, output_format="JSONCompact", on_behalf_of="alice") as answer:
        async for piece in answer.pieces: ...

The engine's gate and limits hold; nothing is checked here, but that the engine is told to write nothing. With
`on_behalf_of`, ClickHouse's quota key, the embedded engine bounds how much each person asks at once, and a server
counts its quotas for each; or give a login of his own.
"""

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final, Protocol, Self

import httpx

from neural_hive.connectors.clickhouse import ClickHouseAway, ClickHouseError, LateError

_CONNECT_S: Final = 5.0
_ANSWER_S: Final = 330.0  # the longest that a user's query may take, and a bit
_NESTED: Final = re.compile(r"\{\s*(\w+)\s*:\s*(?:Array|Map|Tuple)\b")  # parameters that are no single value
_ESCAPES: Final = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})
_CODE: Final = re.compile(r"Code: (\d+)\. DB::Exception: ")
_VERSION: Final = re.compile(r" \(version [^()]*(?:\([^()]*\))?[^()]*\)\s*$")


class ReaderSettings(Protocol):
    """Where the database is, and who reads it."""

    @property
    def clickhouse_host(self) -> str: ...
    @property
    def clickhouse_port(self) -> int: ...
    @property
    def clickhouse_secure(self) -> bool: ...
    @property
    def clickhouse_database(self) -> str: ...
    @property
    def clickhouse_api_user(self) -> str: ...
    def password_of(self, user: str) -> str: ...


@dataclass(frozen=True, slots=True)
class SqlAnswer:
    """An answer that begins; `pieces` raises ClickHouseError if the query fails later on."""

    content_type: str
    output_format: str
    query_id: str
    pieces: AsyncIterator[bytes]

    async def read(self, size_max: int) -> bytes:
        """The whole answer. Raises ClickHouseError (396) if it is larger than `size_max` bytes."""
        whole = bytearray()
        async for piece in self.pieces:
            whole += piece
            if len(whole) > size_max:
                raise ClickHouseError(f"the answer is larger than {size_max} bytes: ask for less", 396)
        return bytes(whole)


class SqlReader:
    """Asks one server as one user, for any number of tasks. Close it with `aclose`."""

    def __init__(
        self,
        host: str,
        port: int,
        user: str,
        password: str,
        database: str,
        secure: bool = False,
        answer_s: float = _ANSWER_S,
    ) -> None:
        """`answer_s`: how long the server may say nothing."""
        self.url = f"{'https' if secure else 'http'}://{host}:{port}/"
        self._login = {"X-ClickHouse-User": user, "X-ClickHouse-Key": password}
        self._database = database
        timeout = httpx.Timeout(answer_s, connect=_CONNECT_S)
        # A connection for each query, which costs more than it: none outlives its server, or its event loop.
        self._client = httpx.AsyncClient(timeout=timeout, limits=httpx.Limits(max_keepalive_connections=0))

    @classmethod
    def of(cls, settings: ReaderSettings, answer_s: float = _ANSWER_S) -> Self:
        """The database of the settings, as the user who reads for others: on the embedded engine `api`."""
        user = settings.clickhouse_api_user
        return cls(
            settings.clickhouse_host,
            settings.clickhouse_port,
            user,
            settings.password_of(user),
            settings.clickhouse_database,
            settings.clickhouse_secure,
            answer_s,
        )

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._client.aclose()

    @asynccontextmanager
    async def ask(
        self,
        sql: str,
        *,
        output_format: str = "JSONCompact",
        params: Mapping[str, str] | None = None,
        settings: Mapping[str, str] | None = None,
        on_behalf_of: str = "",
        login: tuple[str, str] | None = None,
    ) -> AsyncIterator[SqlAnswer]:
        """Runs one statement; leaving the block stops it. `params` are for {name:Type} in it, as plain text; lists and
        the like as ClickHouse writes them.

        Raises ClickHouseError with ClickHouse's code (516 for a wrong password, 497 and 164 for what readers may not
        do, 202 when too many ask), and ClickHouseAway when nobody answers.
        """
        fields = {"database": self._database, "default_format": output_format, "readonly": "1"}
        fields |= settings or {}
        nested = set(_NESTED.findall(sql))
        for name, value in (params or {}).items():
            fields[f"param_{name}"] = value if name in nested else value.translate(_ESCAPES)
        headers = self._login
        if login is not None:
            headers = {"X-ClickHouse-User": login[0], "X-ClickHouse-Key": login[1]}
        if on_behalf_of:  # as a header: addresses are logged on their way
            headers = headers | {"X-ClickHouse-Quota": on_behalf_of}
        request = self._client.build_request(
            "POST", self.url, params=fields, content=sql.encode(), headers=headers
        )
        try:
            answer = await self._client.send(request, stream=True)
        except httpx.HTTPError as error:
            raise self._away(error) from error
        try:
            if answer.status_code != 200:
                raise _refused(answer.status_code, (await answer.aread()).decode(errors="replace"))
            yield SqlAnswer(
                answer.headers.get("Content-Type", ""),
                answer.headers.get("X-ClickHouse-Format", output_format),
                answer.headers.get("X-ClickHouse-Query-Id", ""),
                self._pieces(answer),
            )
        finally:
            await answer.aclose()

    async def _pieces(self, answer: httpx.Response) -> AsyncIterator[bytes]:
        late = LateError(answer.headers.get("X-ClickHouse-Exception-Tag", ""))
        try:
            async for piece in answer.aiter_bytes():
                if ready := late.feed(piece):
                    yield ready
        except httpx.HTTPError as error:
            raise self._away(error) from error
        if rest := late.end():
            yield rest

    def _away(self, error: Exception) -> ClickHouseAway:
        return ClickHouseAway(
            f"no answer from ClickHouse at {self.url} ({type(error).__name__}): is it running?", 0
        )


def _refused(status: int, text: str) -> ClickHouseError:
    found = _CODE.match(text)
    reason = _VERSION.sub("", text[found.end() :] if found else text).strip()
    return ClickHouseError(reason or f"HTTP status {status}", int(found[1]) if found else 1002)
