"""A dry run of SLOs over tickets and workflows: what they would have counted, by the tables of the events."""

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from neural_hive.aggregates.sla_window import DAY, HOUR, WindowKind
from neural_hive.aggregates.sli_source import Source
from neural_hive.aggregates.slo import Indicator
from neural_hive.connectors.clickhouse import ClickHouse
from neural_hive.projections.http_store import HttpStore
from neural_hive.projections.read_models import rebuild
from neural_hive.projections.slos import SLOS
from neural_hive.projections.tickets import TICKETS
from neural_hive.projections.workflows import WORKFLOWS
from neural_hive.slo_times import Over, since_of
from neural_hive.slo_trying import CannotTry, Tried, definition_of, tried
from neural_hive.streams.sla import build
from neural_hive.streams.sla_messages import DefineSlo
from tests.fixtures_clickhouse import ClickHouseServer
from tests.projections.conftest import database, store
from tests.projections.grammar import given
from tests.projections.support import AT, completed, created, failed
from tests.sla.kernel_unit import SlaUnit
from tests.sla.test_sla import DEFINITION

__all__ = ["database", "store"]
NOW = AT + 1_000_000


@pytest.fixture
def tables(clickhouse: ClickHouseServer, database: str) -> Iterator[ClickHouse]:
    login = {"user": clickhouse.user, "password": clickhouse.password, "database": database}
    with ClickHouse(clickhouse.host, clickhouse.port, **login) as found:
        yield found


@pytest.fixture
def history(store: HttpStore) -> None:
    """Five attempts at tickets of two plans, one of them too long ago for an hour."""
    tickets = [created(f"t{n}", "ab"[n % 2], plan="shop") for n in range(4)] + [created("t9", plan="till")]
    ends = [completed("t0"), completed("t1"), failed("t2", attempt=2), completed("t9")]
    given(store, *tickets, *ends, failed("t3", completed_at=AT - 2 * HOUR, started_at=AT - 3 * HOUR))
    rebuild(store, TICKETS)
    rebuild(store, WORKFLOWS)


def asked(tables: ClickHouse, good: str, valid: str = "", over: Over = Over.HOUR, **more: Any) -> Tried:
    source = more.pop("source", Source.TICKETS)
    indicator = Indicator(source, good, valid, **more)
    return tried(tables, msgspec.structs.replace(DEFINITION, indicator=indicator), over, NOW)


@pytest.mark.usefixtures("history")
def test_how_many_would_count_and_which_were_bad(tables: ClickHouse) -> None:
    found = asked(tables, "status = 'COMPLETED'", "plan_id = 'shop'")
    assert (found.events, found.good, found.valid, found.problems) == (4, 2, 3, ())
    assert found.is_well and found.rate == pytest.approx(2 / 3)
    [bad] = found.examples
    assert bad.id == "t2" and bad.place.startswith("topic:0:")
    assert bad.fields == {"plan_id": "shop", "status": "FAILED"}
    text = found.text().splitlines()
    assert text[0] == "shop: 2 good of 3 valid events = 66.67%, promised are 90.00%"
    assert "4 attempts at tickets ended" in text[1]
    assert "t2  plan_id shop, status FAILED  topic:0:" in text[-1]
    assert asked(tables, "status = 'COMPLETED'", "plan_id = 'shop'", Over.DAY).valid == 4


@pytest.mark.usefixtures("history")
def test_budgets_that_are_kept_apart_are_told_apart(tables: ClickHouse) -> None:
    found = asked(tables, "exit_code = 0", "plan_id IN ('shop', 'till')", group_by="plan_id")
    assert [(g.dimension, g.good, g.valid) for g in found.groups] == [("shop", 2, 3), ("till", 1, 1)]


@pytest.mark.usefixtures("history")
def test_what_matches_nothing_is_told_with_what_is_there(tables: ClickHouse) -> None:
    found = asked(tables, "status = 'COMPLETED'", "plan_id = 'shopp' AND attempt <= 1")
    assert not found.is_well and found.valid == 0
    assert found.problems == (
        "none of them is valid: plan_id = 'shopp' AND attempt <= 1",
        "  attempt: 1 to 2",
        "  plan_id: shop (3), till (1)",
    )
    found = asked(tables, "service = 'cart'", "plan_id = 'shop'")
    assert found.problems == ("none of the valid ones is good: service = 'cart'", "  service: unknown (3)")
    assert not found.is_well and len(found.examples) == 3
    assert "try a longer one" in asked(tables, "status = 'DONE'", source=Source.WORKFLOWS).problems[0]


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"good": "colour = 'red'"}, "good: there is no field 'colour'; there are: agent_id"),
        ({"good": "status ="}, "good: this is no expression"),
        ({"good": ""}, "good must say which events are good"),
        ({"good": "status = 'COMPLETED'", "group_by": "colour"}, "group_by: there is no field 'colour'"),
        ({"good": "status = 'COMPLETED'", "valid": "attempt = 'two'"}, "valid: attempt is number"),
    ],
)
def test_what_cannot_be_asked_is_told_before_anything_is(changes: dict[str, str], why: str) -> None:
    class Nobody:
        def rows(self, sql: str, params: Any = None) -> list[Any]:
            raise AssertionError("nothing is to be asked")

    found = asked(Nobody(), **changes)  # type: ignore[arg-type]
    assert not found.is_well and why in found.problems[0] and why in found.text()


def test_what_is_in_no_table_cannot_be_tried(tables: ClickHouse) -> None:
    with pytest.raises(CannotTry, match="and not those of TELEMETRY"):
        asked(tables, "value < 1", source=Source.TELEMETRY)


def test_an_slo_is_found_by_its_id(store: HttpStore, tables: ClickHouse) -> None:
    unit = SlaUnit(build())
    try:
        unit.handle(DefineSlo("shop", DEFINITION))
        given(store, *(output.value for output in unit.log))
        rebuild(store, SLOS)
    finally:
        unit.close()
    assert definition_of(tables, "shop") == DEFINITION
    assert definition_of(tables, "none") is None


def test_times() -> None:
    assert since_of(WindowKind.ROLLING, 7, Over.HOUR, NOW) == NOW - HOUR
    assert since_of(WindowKind.ROLLING, 7, Over.DAY, NOW) == NOW - DAY
    assert since_of(WindowKind.ROLLING, 7, Over.WINDOW, NOW) == (NOW - 7 * DAY) // HOUR * HOUR
