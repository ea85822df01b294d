"""A database with tables like the system's, in an engine of their own, and somebody who asks it as a reader."""

import uuid
from collections.abc import Callable, Iterator
from urllib.parse import urlencode

import pytest
import urllib3

from tests.fixtures_clickhouse import ClickHouseServer

TABLES = (
    "CREATE TABLE {d}.{t} (ticket_id String, workflow_id String, status String, task_type String, created_at DateTime, "
    "outputs Map(String, String), artifacts Nested(name String), dependencies Array(String)) "
    "ENGINE = ReplacingMergeTree ORDER BY cityHash64(ticket_id) SAMPLE BY cityHash64(ticket_id)",
    "CREATE TABLE {d}.{w} (workflow_id String) ENGINE = MergeTree ORDER BY workflow_id",
    "CREATE VIEW {d}.{t}_as_of AS SELECT * FROM {d}.{t} WHERE toString(created_at) < {{at:String}}",
    "CREATE DATABASE IF NOT EXISTS other",
    "CREATE TABLE IF NOT EXISTS other.secrets (a String) ENGINE = Memory",
    "INSERT INTO other.secrets SELECT 'a secret of others'",
)


class Asker:
    """Asks one engine over HTTP, as anybody."""

    def __init__(self, server: ClickHouseServer) -> None:
        self.server = server
        self._pool = urllib3.PoolManager(retries=False, timeout=60, maxsize=32)

    def __call__(
        self, sql: str, headers: dict[str, str] | None = None, method: str = "POST", **fields: str
    ) -> urllib3.BaseHTTPResponse:
        body = sql.encode("utf-8", "surrogateescape")
        return self._pool.request(
            method, f"{self.server.url}/?{urlencode(fields)}", body=body, headers=headers or {}
        )

    def running(self) -> dict[str, int]:
        """How many statements run and wait, by lane."""
        answer = self._pool.request("GET", f"{self.server.url}/health")
        return dict(answer.json()["running"])

    def code(self, sql: str, headers: dict[str, str] | None = None, **fields: str) -> int:
        """ClickHouse's code of the answer; 0 if there is no error."""
        return int(self(sql, headers, **fields).headers.get("X-ClickHouse-Exception-Code", "0"))


@pytest.fixture(scope="session")
def reader(clickhouse: ClickHouseServer) -> Asker:
    """Somebody without a password, who is `default`."""
    return Asker(clickhouse)


@pytest.fixture(scope="session")
def named(clickhouse: ClickHouseServer) -> Iterator[Callable[[str], str]]:
    """Puts names of tables that are there in place of tickets and workflows."""
    mark = uuid.uuid4().hex[:8]
    tickets, workflows = f"tickets_{mark}", f"workflows_{mark}"
    with clickhouse.client() as client:
        for sql in TABLES:
            client.command(sql.format(d=clickhouse.database, t=tickets, w=workflows))
        yield lambda sql: sql.replace("tickets", tickets).replace("workflows", workflows)
        for table in (f"{tickets}_as_of", tickets, workflows):
            client.command(f"DROP TABLE {clickhouse.database}.{table}")
        client.command("DROP DATABASE other")
