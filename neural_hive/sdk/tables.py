"""ClickHouse as a client reads it: by a user who only reads, for many threads, behind a circuit breaker."""

import threading
from collections.abc import Mapping
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
    """ClickHouse for many threads: one asks after the other."""

    def __init__(self, settings: Settings) -> None:
        user = settings.clickhouse_reader
        self._client = ClickHouse(
            settings.clickhouse_host,
            settings.clickhouse_port,
            user=user,
            password=settings.password_of(user),
            database=settings.clickhouse_database,
            secure=settings.clickhouse_secure,
        )
        self._breaker = Breaker(f"ClickHouse at {self._client.url}")
        self._lock = threading.Lock()

    def rows(self, sql: str, params: Mapping[str, Any] | None = None) -> list[tuple[Any, ...]]:
        """The rows of a query, asked again for a few seconds while nobody answers."""
        with self._breaker.call(ClickHouseAway), self._lock:
            return self._client.rows(sql, params)

    def close(self) -> None:
        """Ends the connections."""
        with self._lock:
            self._client.close()
