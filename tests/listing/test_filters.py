"""By what lists can be asked, as the terminal asks: several texts, patterns, a time; columns as they are."""

import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from neural_hive.connectors.clickhouse import ClickHouse
from neural_hive.listing.pages import Rows, page_rows
from neural_hive.listing.things import DEAD_LETTER_PLACES, TICKETS, WORKFLOWS
from neural_hive.projections.catalogue import PROJECTIONS
from neural_hive.projections.http_store import HttpStore
from neural_hive.projections.read_models import prepare
from neural_hive.sdk.views import BadCursor
from tests.fixtures_clickhouse import ClickHouseServer
from tests.projections.grammar import given
from tests.projections.support import AT, completed, created, failed, started

COLUMNS = ("ticket_id", "status", "task_id", "exit_code")


class Reader:
    """The database as a list asks it: with parameters."""

    def __init__(self, server: ClickHouseServer, database: str) -> None:
        self._client = ClickHouse(
            server.host, server.port, user=server.user, password=server.password, database=database
        )
        self.rows = self._client.rows
        self.close = self._client.close


@pytest.fixture(scope="module")
def reader(clickhouse: ClickHouseServer) -> Iterator[Reader]:
    """Five tickets in one database, for all lists: making its tables takes long."""
    name = f"lists_{uuid.uuid4().hex[:8]}"
    store = HttpStore(clickhouse.host, clickhouse.port, clickhouse.user, clickhouse.password, name)
    store.create_database()
    histories = [(created(f"t{n}"), started(f"t{n}")) for n in range(5)]
    given(store, *(value for history in histories for value in history), completed("t0"), failed("t1"))
    prepare(store, PROJECTIONS)
    found = Reader(clickhouse, name)
    yield found
    found.close()
    store.command(f"DROP DATABASE {name}")
    store.close()


def _tickets(reader: Reader, wanted: dict[str, Any], limit: int = 100, start: str = "") -> Rows:
    return page_rows(reader, TICKETS, COLUMNS, wanted, limit, start)


def test_a_list_is_its_pages(reader: Reader) -> None:
    whole = _tickets(reader, {}).items
    assert [ticket["ticket_id"] for ticket in whole] == ["t4", "t3", "t2", "t1", "t0"]
    assert whole[0] == {"ticket_id": "t4", "status": "RUNNING", "task_id": "build", "exit_code": None}
    found, start = [], ""
    while True:
        rows = _tickets(reader, {}, 2, start)
        found += rows.items
        if not (start := rows.next):
            break
    assert found == whole
    with pytest.raises(BadCursor):
        _tickets(reader, {}, 2, "nonsense")


@pytest.mark.parametrize(
    ("wanted", "count"),
    [
        ({"status": ["FAILED", "COMPLETED"]}, 2),
        ({"status": ["RUNNING"], "agent_id": "agent-1"}, 3),
        ({"status": ["RUNNING"], "agent_id": "agent-2"}, 0),
        ({"status": []}, 5),
        ({"task": ["*"]}, 5),
        ({"task": ["b?i*", "nothing"]}, 5),
        ({"task": ["o'x%", "\\", "_"]}, 0),
        ({"plan_id": ["plan-1", "plan-2"], "task_type": ["BUILD"]}, 5),
        ({"plan_id": "plan-*"}, 0),
        ({"plan": "plan-*", "status": "FAILED"}, 1),
        ({"since": AT + 86_400_000_000}, 0),
        ({"since": AT - 86_400_000_000}, 5),
    ],
)
def test_filters(reader: Reader, wanted: dict[str, object], count: int) -> None:
    assert len(_tickets(reader, wanted).items) == count


def test_an_unknown_filter_is_an_error(reader: Reader) -> None:
    with pytest.raises(LookupError, match="by: plan_id"):
        page_rows(reader, WORKFLOWS, ("status",), {"colour": "red"}, 1)


def test_empty_lists(reader: Reader) -> None:
    assert page_rows(reader, WORKFLOWS, ("status",), {"status": "RUNNING"}, 1) == Rows([])
    wanted = {"state": "waiting", "processors": "orchestrator.*"}
    assert page_rows(reader, DEAD_LETTER_PLACES, ("dead_letter",), wanted, 1) == Rows([])
