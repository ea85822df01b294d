"""Pages on the real engine: whatever their size, each thing stands on one of them, in one order."""

import random
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neural_hive.listing import keys
from neural_hive.listing.cursor import cursor_of, place_of
from neural_hive.listing.pages import page
from neural_hive.listing.things import WORKFLOWS as LISTING
from neural_hive.projections.archive import EVENTS
from neural_hive.projections.workflows import WORKFLOWS
from neural_hive.sdk.tables import Tables
from neural_hive.sdk.views import BadCursor, WorkflowInfo
from neural_hive.settings import Settings
from tests.fixtures_clickhouse import ClickHouseServer

DATABASE = "listing"
COUNT = 60
STATUS = ("RUNNING", "COMPLETED", "PAUSED")


@pytest.fixture(scope="module")
def tables(clickhouse: ClickHouseServer) -> Iterator[Tables]:
    """Workflows of which many began at the same moment, each with a later status."""
    random.seed(1)
    with clickhouse.client(database="default") as writer:
        writer.command(f"CREATE DATABASE IF NOT EXISTS {DATABASE}")
    with clickhouse.client(database=DATABASE) as writer:
        for ddl in (EVENTS.ddl, WORKFLOWS.ddl(), *WORKFLOWS.views()):
            writer.command(ddl)
        columns = "topic, partition, offset, valid_from, version, event_type, workflow_id, status, plan_id, started_at"
        rows = []
        for number in range(COUNT):
            begun = f"toDateTime64('2026-01-01 00:00:0{random.randrange(4)}', 6, 'UTC')"
            place = f"'orchestration.workflows', 0, {number}, now64(3)"
            rows.append(
                f"({place}, 1, 'WorkflowStarted', 'w-{number}', 'RUNNING', 'p-{number % 3}', {begun})"
            )
            later = STATUS[number % len(STATUS)]
            rows.append(f"({place}, 2, 'WorkflowPaused', 'w-{number}', '{later}', NULL, NULL)")
        writer.command(f"INSERT INTO workflows_versions ({columns}) VALUES {', '.join(rows)}")
    given = {"clickhouse_host": clickhouse.host, "clickhouse_port": clickhouse.port}
    given |= {"clickhouse_user": clickhouse.user, "clickhouse_password": clickhouse.password}
    found = Tables(Settings(clickhouse_database=DATABASE, **given), user=clickhouse.user, connections=2)
    yield found
    found.close()


@pytest.fixture(params=["few rows told it", "the newest hold enough", "all are folded"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """How things are found that stand as is wanted."""
    if request.param != "few rows told it":
        monkeypatch.setattr(keys, "FEW", 0)
    if request.param == "all are folded":
        monkeypatch.setattr(keys, "WINDOWS", (1, 2))
    return str(request.param)


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("limit", [1, 7, 59, 60, 61])
@pytest.mark.parametrize(
    "filters",
    [
        {},
        {"status": "PAUSED"},
        {"plan_id": "p-1"},
        {"plan_id": "p-0", "status": "RUNNING"},
        {"status": "FAILED"},
    ],
)
def test_pages_hold_each_once_in_order(tables: Tables, limit: int, filters: dict[str, str]) -> None:
    whole = page(tables, LISTING, WorkflowInfo, filters, 1_000, "").items
    wanted = {
        f"w-{n}"
        for n in range(COUNT)
        if filters.get("status", STATUS[n % 3]) == STATUS[n % 3]
        and filters.get("plan_id", f"p-{n % 3}") == f"p-{n % 3}"
    }
    assert {item.workflow_id for item in whole} == wanted and len(whole) == len(wanted)
    order = [(item.started_at, item.workflow_id) for item in whole]
    assert order == sorted(order, reverse=True)
    seen, cursor = [], ""
    while True:
        found = page(tables, LISTING, WorkflowInfo, filters, limit, cursor)
        seen += found.items
        assert len(found.items) <= limit
        if not (cursor := found.next):
            break
        assert len(found.items) == limit
    assert tuple(seen) == whole


@given(key=st.text(max_size=50), at=st.integers(0, 253_402_300_800_000_000))
def test_a_cursor_is_its_place(key: str, at: int) -> None:
    if key.isprintable():
        assert place_of(cursor_of(key, at)) == (at, key)


@given(text=st.text(max_size=60))
def test_what_is_no_cursor_is_refused(text: str) -> None:
    try:
        at, key = place_of(text)
    except BadCursor:
        return
    assert at >= 0 and isinstance(key, str)
