"""The read models of dead letters, of what people did about them, and of refused calls; and their lists."""

import uuid
from collections.abc import Iterator

import msgspec
import pytest

from neural_hive.connectors.clickhouse import ClickHouse
from neural_hive.listing import DEAD_LETTERS, TICKETS, WORKFLOWS, BadPage
from neural_hive.projections.http_store import HttpStore
from neural_hive.projections.read_models import rebuild
from neural_hive.projections.redrives import REDRIVES
from neural_hive.projections.refused_calls import REFUSED_CALLS
from neural_hive.projections.tickets import TICKETS as TICKETS_MODEL
from neural_hive.schemas.codec import encode_event
from tests.fixtures_clickhouse import ClickHouseServer
from tests.projections.grammar import given
from tests.projections.support import AT, completed, envelope, failed, ready, started

PLACE = "dead.letters:3:17"


def _event(event_type: str, aggregate_id: str, version: int, **payload: object) -> bytes:
    return encode_event(msgspec.structs.replace(envelope(event_type, aggregate_id, version)), payload)


def test_a_redrive_and_its_refusal_are_rows(store: HttpStore) -> None:
    about = {"dead_letter": PLACE, "requested_by": "ann"}
    source = {"source_topic": "plans.consensus", "source_partition": 2, "source_offset": 40}
    more = {"letter_id": "l", "redrive": 1, "message_id": "m", "value_sha256": "ab", "reason": "mended"}
    refused = {"obstacle": "REDRIVEN_BEFORE", "reason": "already", "wanted": "more"}
    none = {"redrive": None, "source_offset": None}
    given(
        store,
        _event("DeadLetterRedriven", PLACE, 1, **about, **source, **more),
        _event("RedriveRejected", PLACE, 2, **about, **refused),
    ).then_rows(
        REDRIVES,
        {"outcome": "REDRIVEN", "reason": "mended", "obstacle": None, "redrive": 1, "source_offset": 40},
        {"outcome": "REJECTED", "reason": "more", "obstacle": "REDRIVEN_BEFORE", **none},
    )


def test_refused_calls_are_rows(store: HttpStore) -> None:
    call = {
        "api": "api",
        "caller": "ann",
        "address": "10.0.0.7",
        "method": "GET",
        "path": "/x/{id}",
        "role": "auditor",
        "status": 429,
        "reason": "too many",
        "count": 70_000,
        "first_at": AT,
        "last_at": AT + 9,
    }
    given(store, _event("CallRefused", "api", 1, **call)).then_rows(
        REFUSED_CALLS, {"api": "api", "caller": "ann", "status": 429, "calls": 70_000, "path": "/x/{id}"}
    )


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
    histories = [(ready(f"t{n}"), started(f"t{n}")) for n in range(5)]
    given(store, *(value for history in histories for value in history), completed("t0"), failed("t1"))
    rebuild(store, TICKETS_MODEL)
    found = Reader(clickhouse, name)
    yield found
    found.close()
    store.command(f"DROP DATABASE {name}")
    store.close()


def test_a_list_is_its_pages(reader: Reader) -> None:
    whole = TICKETS.page(reader, {}, 100).items
    assert [ticket["ticket_id"] for ticket in whole] == ["t1", "t0", "t4", "t3", "t2"]
    found, page = [], ""
    while page is not None:
        rows = TICKETS.page(reader, {}, 2, page)
        found += rows.items
        page = rows.next or None
    assert found == whole
    with pytest.raises(BadPage):
        TICKETS.page(reader, {}, 2, "nonsense")


@pytest.mark.parametrize(
    ("wanted", "count"),
    [
        ({"status": ["FAILED", "COMPLETED"]}, 2),
        ({"status": ["RUNNING"], "agent": "agent-1"}, 3),
        ({"status": []}, 5),
        ({"task": ["*"]}, 5),
        ({"task": ["o'x%", "\\", "_"]}, 0),
        ({"since": AT + 86_400_000_000}, 0),
        ({"since": AT - 86_400_000_000}, 5),
    ],
)
def test_filters(reader: Reader, wanted: dict[str, object], count: int) -> None:
    assert len(TICKETS.page(reader, wanted, 100).items) == count


def test_an_unknown_filter_is_an_error(reader: Reader) -> None:
    with pytest.raises(LookupError, match="by: status"):
        WORKFLOWS.page(reader, {"colour": "red"})


def test_empty_lists(reader: Reader) -> None:
    assert WORKFLOWS.page(reader, {"status": "RUNNING"}).items == []
    assert DEAD_LETTERS.page(reader, {"state": "waiting", "processor": "orchestrator.*"}).items == []
