"""ClickHouse as a client reads it: by a user who only reads, for many threads, behind a circuit breaker."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from queue import LifoQueue
from typing import Any, Protocol

from neural_hive.connectors.clickhouse import ClickHouse, ClickHouseAway
from neural_hive.sdk.breaker import Breaker
from neural_hive.settings import Settings


class Reader(Protocol):
    """Who answers queries."""

    def rows(self, sql: str, params: Mapping[str, Any] | None = None) -> list[tuple[Any, ...]]:
        """The rows of a query. Raises ClickHouseError."""
        ...


class Tables:
    """ClickHouse for many threads: as many ask at once as there are connections, the others wait for one."""

    def __init__(self, settings: Settings, user: str = "", connections: int = 1, retry_s: float = 5) -> None:
        """`user`: who reads; else the one of the settings if it is given there, or one that only reads.

        `retry_s`: how long a query is asked again while nobody answers.
        """
        reader = user or settings.clickhouse_reader
        self._clients = [client_as(settings, reader, retry_s=retry_s) for _ in range(connections)]
        self._free = LifoQueue[ClickHouse]()
        for client in self._clients:
            self._free.put(client)
        self._breaker = Breaker(f"ClickHouse at {self._clients[0].url}")

    def rows(self, sql: str, params: Mapping[str, Any] | None = None) -> list[tuple[Any, ...]]:
        """The rows of a query, asked again for a while if nobody answers."""
        with self._breaker.call(ClickHouseAway), self._client() as client:
            return client.rows(sql, params)

    def close(self) -> None:
        """Ends the connections, each once nobody uses it."""
        for _ in self._clients:
            self._free.get().close()
        for client in self._clients:
            self._free.put(client)

    @contextmanager
    def _client(self) -> Iterator[ClickHouse]:
        client = self._free.get()
        try:
            yield client
        finally:
            self._free.put(client)


def client_as(settings: Settings, user: str, **options: Any) -> ClickHouse:
    """A connection to the database of the settings as one of its users; `options`: those of ClickHouse."""
    return ClickHouse(
        settings.clickhouse_host,
        settings.clickhouse_port,
        user=user,
        password=settings.password_of(user),
        database=settings.clickhouse_database,
        secure=settings.clickhouse_secure,
        **options,
    )
