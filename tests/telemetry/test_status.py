"""What `flow-c` says: rates and times of what has ended, and whether the objectives are kept."""

import uuid
from collections.abc import Iterator

import pytest

from neural_hive.connectors.clickhouse import ClickHouse
from neural_hive.flow_c import Objective, flow_c_status
from tests.fixtures_clickhouse import ClickHouseServer

TABLES = {
    "workflows": "status Nullable(String), duration_ms Nullable(Int64), finished_at Nullable(DateTime64(6, 'UTC'))",
    "tickets": "status Nullable(String)",
    "agents": "status Nullable(String), agent_type Nullable(String)",
}


@pytest.fixture
def tables(clickhouse: ClickHouseServer) -> Iterator[ClickHouse]:
    """A database with what the status reads, empty."""
    name = f"db_{uuid.uuid4().hex[:8]}"
    place = (clickhouse.host, clickhouse.port)
    access = {"user": clickhouse.user, "password": clickhouse.password}
    with ClickHouse(*place, **access, database="system") as system:
        system.command(f"CREATE DATABASE {name}")
        with ClickHouse(*place, **access, database=name) as client:
            for table, columns in TABLES.items():
                client.command(f"CREATE TABLE {table} ({columns}) ENGINE = Memory")
            yield client
        system.command(f"DROP DATABASE {name}")


def test_before_anything_has_ended(tables: ClickHouse) -> None:
    tables.command("INSERT INTO workflows VALUES ('RUNNING', NULL, NULL)")
    status = flow_c_status(tables)
    assert (status.total_processed, status.active_executions) == (0, 1)
    assert (status.success_rate, status.average_latency_ms, status.p95_latency_ms) == (None, None, None)
    assert status.open_incidents is None
    assert [(found.value, found.met) for found in status.objectives] == [
        (None, None),
        (None, None),
        (0, False),
    ]


def test_rates_and_times(tables: ClickHouse) -> None:
    tables.command(
        "INSERT INTO workflows SELECT 'COMPLETED', 1000 * (number + 1), now() FROM numbers(99) "
        "UNION ALL SELECT 'FAILED', 100000, now() UNION ALL SELECT 'CANCELLED', 1, now() "
        "UNION ALL SELECT 'REJECTED', NULL, now() UNION ALL SELECT 'PAUSED', NULL, NULL "
        "UNION ALL SELECT 'COMPENSATING', NULL, NULL"
    )
    tables.command("INSERT INTO tickets VALUES ('READY'), ('READY'), ('COMPLETED')")
    tables.command(
        "INSERT INTO agents VALUES ('HEALTHY', 'WORKER'), ('DEGRADED', 'WORKER'), ('HEALTHY', 'SCOUT')"
    )
    status = flow_c_status(tables)
    assert status.total_processed == 101
    assert (status.completed, status.failed, status.cancelled, status.rejected) == (99, 1, 1, 1)
    assert status.success_rate == 0.99
    assert status.average_latency_ms == 50_500
    assert status.p95_latency_ms == pytest.approx(95_500, abs=1_000)
    assert status.active_executions == 2
    assert (status.tickets_ready, status.healthy_workers) == (2, 1)
    assert {found.name: found.met for found in status.objectives} == {
        "p95 latency, ms": True,
        "success rate": False,  # over 99 %, not just 99
        "healthy workers": True,
    }


def test_only_the_last_hours(tables: ClickHouse) -> None:
    tables.command(
        "INSERT INTO workflows VALUES ('FAILED', 5, now() - INTERVAL 3 HOUR), ('COMPLETED', 20000000, now())"
    )
    tables.command("CREATE TABLE incidents (status Nullable(String)) ENGINE = Memory")
    tables.command("INSERT INTO incidents VALUES ('OPEN'), ('RESOLVED')")
    status = flow_c_status(tables, hours=1)
    assert (status.total_processed, status.success_rate, status.open_incidents) == (1, 1.0, 1)
    assert status.objectives[0] == Objective("p95 latency, ms", "< 14400000", 20_000_000, False)
    assert flow_c_status(tables).total_processed == 2
