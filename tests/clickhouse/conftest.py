"""What the tests of ClickHouse share: plain HTTP, and tables of their own."""

import uuid
from collections.abc import Callable, Iterator

import pytest
import urllib3

from tests.fixtures_clickhouse import ClickHouseServer

Ask = Callable[..., urllib3.BaseHTTPResponse]


def asker(server: ClickHouseServer) -> Ask:
    """`ask(body, user="ingest", headers={}, path="/", **fields)`: one HTTP request as any client would send it."""
    pool = urllib3.PoolManager(retries=False, timeout=60)
    login = {"ingest": {"X-ClickHouse-User": "ingest", "X-ClickHouse-Key": server.password}, "default": {}}

    def ask(
        body: bytes | str = b"",
        *,
        user: str = "ingest",
        headers: dict[str, str] | None = None,
        path: str = "/",
        method: str = "POST",
        decode_content: bool = True,
        **fields: str,
    ) -> urllib3.BaseHTTPResponse:
        from urllib.parse import urlencode

        return pool.request(
            method,
            f"{server.url}{path}?{urlencode({'database': server.database, **fields})}",
            body=body.encode() if isinstance(body, str) else body,
            headers=login[user] | (headers or {}),
            decode_content=decode_content,
        )

    return ask


@pytest.fixture
def ask(clickhouse: ClickHouseServer) -> Ask:
    return asker(clickhouse)


@pytest.fixture
def table(clickhouse: ClickHouseServer) -> Iterator[str]:
    """A table (a UInt32, b String) that remembers the tokens of its inserts."""
    name = f"t_{uuid.uuid4().hex[:12]}"
    with clickhouse.client() as client:
        client.command(
            f"CREATE TABLE {name} (a UInt32, b String) ENGINE = MergeTree ORDER BY a "
            "SETTINGS non_replicated_deduplication_window = 100"
        )
        yield name
        client.command(f"DROP TABLE {name}")
