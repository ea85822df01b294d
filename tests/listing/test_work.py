"""How the work stands, on the real engine: the same look for terminal and page."""

import uuid
from collections.abc import Iterator

import pytest

from neural_hive.projections.catalogue import PROJECTIONS
from neural_hive.projections.http_store import HttpStore
from neural_hive.projections.read_models import prepare
from neural_hive.sdk.tables import Tables
from neural_hive.settings import Settings
from neural_hive.streams.flow_c.active import APPROACHING
from neural_hive.work import Work, work
from tests.fixtures_clickhouse import ClickHouseServer

WHOLE_S = 10_000
NEAR_S = int(WHOLE_S * APPROACHING)
# Workflow, status, and how much of its time is left, s.
WORKFLOWS = (
    ("near", "RUNNING", NEAR_S - 100),
    ("far", "RUNNING", NEAR_S + 500),  # less than a fifth, more than a tenth
    ("over", "PAUSED", -60),
    ("queued", "QUEUED", NEAR_S - 200),
    ("undone", "COMPENSATING", NEAR_S - 300),
    ("ended", "COMPLETED", -60),
    ("failed", "FAILED", 10),
)


@pytest.fixture
def tables(clickhouse: ClickHouseServer) -> Iterator[Tables]:
    """All read models, empty."""
    name = f"work_{uuid.uuid4().hex[:8]}"
    store = HttpStore(clickhouse.host, clickhouse.port, clickhouse.user, clickhouse.password, name)
    store.create_database()
    prepare(store, PROJECTIONS)
    known = {"clickhouse_host": clickhouse.host, "clickhouse_port": clickhouse.port}
    known |= {"clickhouse_user": clickhouse.user, "clickhouse_password": clickhouse.password}
    found = Tables(Settings(clickhouse_database=name, **known), user=clickhouse.user)
    yield found
    found.close()
    store.command(f"DROP DATABASE {name}")
    store.close()


def test_nothing_is_told_of_an_empty_system(tables: Tables) -> None:
    assert work(tables) == Work()


def test_a_deadline_is_at_risk_when_the_metric_counts_it(
    tables: Tables, clickhouse: ClickHouseServer
) -> None:
    database = tables.rows("SELECT currentDatabase()")[0][0]
    columns = (
        "topic, partition, offset, valid_from, version, event_type, workflow_id, plan_id, status, started_at"
    )
    rows = (
        f"('orchestration.workflows', 0, {number}, now64(3), 1, 'WorkflowStarted', '{name}', 'p', '{status}', "
        f"now64(6) - {WHOLE_S - left_s}, now64(6) + {left_s})"
        for number, (name, status, left_s) in enumerate(WORKFLOWS)
    )
    with clickhouse.client(database=database) as writer:
        writer.command(f"INSERT INTO workflows_versions ({columns}, deadline_at) VALUES {', '.join(rows)}")
    found = work(tables)
    assert [one.workflow_id for one in found.at_risk] == ["over", "undone", "queued", "near"]
    assert found.at_risk_count == 4
    assert [one.left_s < 0 for one in found.at_risk] == [True, False, False, False]
    assert found.workflows["RUNNING"] == 2 and sum(found.workflows.values()) == len(WORKFLOWS)
