"""A dry run of SLOs: what they would have counted, by the tables of the events, or of what parts have counted."""

import json
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from neural_hive.aggregates.aggregate import Rejected
from neural_hive.aggregates.budget import AdjustmentKind, Counted, minute_of
from neural_hive.aggregates.metric_window import TOPIC as WINDOWS
from neural_hive.aggregates.metric_window import Bucket, MetricWindow
from neural_hive.aggregates.sla_window import DAY, HOUR, MINUTE, WindowKind
from neural_hive.aggregates.sli_source import Source
from neural_hive.aggregates.slo import Definition, Indicator, Part
from neural_hive.connectors.clickhouse import ClickHouse
from neural_hive.projections.budget_adjustments import BUDGET_ADJUSTMENTS
from neural_hive.projections.budgets import BUDGETS
from neural_hive.projections.dead_letters import DEAD_LETTERS
from neural_hive.projections.http_store import HttpStore
from neural_hive.projections.metric_windows import METRIC_WINDOWS
from neural_hive.projections.sli_counts import SLI_COUNTS
from neural_hive.projections.slos import SLOS
from neural_hive.projections.tickets import TICKETS
from neural_hive.projections.workflows import WORKFLOWS
from neural_hive.slo_times import Over, since_of
from neural_hive.slo_tried import Tried
from neural_hive.slo_trying import CannotTry, definition_of, tried
from neural_hive.streams.kernel.inbox import dead_letter
from neural_hive.streams.sla.messages import AdjustBudget, CountSli, DefineSlo, RemoveSlo
from neural_hive.streams.sla.system import build
from tests.fixtures_clickhouse import ClickHouseServer
from tests.projections.conftest import database, store
from tests.projections.grammar import filled, given
from tests.projections.support import AT, completed, created, failed
from tests.sla.kernel_unit import SlaUnit
from tests.sla.test_sla import DEFINITION
from tests.sla.test_telemetry_tables import sent

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
    filled(store, TICKETS, WORKFLOWS)


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
    with pytest.raises(CannotTry, match="of PROMQL stand in no table"):
        asked(tables, "", source=Source.PROMQL)


MINUTE_AT = AT // MINUTE * MINUTE


def window(minutes_ago: int, slow: int, **more: Any) -> MetricWindow:
    end = MINUTE_AT - minutes_ago * MINUTE
    buckets = (Bucket(100.0, 5), Bucket(250.0, 3), Bucket(1000.0, slow))
    about = {"service": "cart", "metric": "latency_ms", "events": 8 + slow, "buckets": buckets, **more}
    return MetricWindow(starts_at=end - MINUTE, ends_at=end, **about)


@pytest.fixture
def windows(store: HttpStore) -> None:
    """Four windows of three series, one of them too long ago for an hour; one twice, and one that was refused."""
    good, bad = window(5, 0, region="eu"), window(4, 2, region="us")
    refused = msgspec.structs.replace(good, events=900)
    came = [good, bad, good, refused, window(90, 1), window(3, 0, service="search", buckets=(), events=7)]
    record = Refused(3, sent(refused))
    letter = dead_letter(record, Rejected("it overlaps another one"), "sli.0", {"dead.letters": 1}, None)
    given(store, *map(sent, came), letter.value)
    filled(store, DEAD_LETTERS, METRIC_WINDOWS)


def of_windows(tables: ClickHouse, good: str, valid: str = "", over: Over = Over.HOUR, **more: Any) -> Tried:
    return asked(tables, good, valid, over, source=Source.TELEMETRY, **more)


@pytest.mark.usefixtures("windows")
def test_events_of_metric_windows_count_as_often_as_there_are(tables: ClickHouse) -> None:
    found = of_windows(tables, "value <= 250", "service = 'cart'")
    assert (found.events, found.good, found.valid, found.problems) == (25, 16, 18, ())
    assert of_windows(tables, "value <= 250", "service = 'cart'", Over.DAY).valid == 27
    [bad] = found.examples
    assert (bad.id, bad.events, bad.place) == ("cart latency_ms", 2, "topic:0:1")
    assert bad.fields == {"service": "cart", "value": 1000.0}
    text = found.text().splitlines()
    assert "25 events of metric windows came" in text[1]
    assert text[-1].endswith("cart latency_ms  service cart, value 1000  topic:0:1  2 events")
    groups = of_windows(tables, "value <= 250", "service = 'cart'", group_by="region").groups
    assert [(g.dimension, g.good, g.valid) for g in groups] == [("us", 8, 10), ("eu", 8, 8)]


def test_what_is_above_all_bounds_is_told_in_json_too(store: HttpStore, tables: ClickHouse) -> None:
    given(store, sent(window(5, 2, events=11)))
    filled(store, DEAD_LETTERS, METRIC_WINDOWS)
    [above, within] = of_windows(tables, "value <= 250").examples
    assert json.loads(msgspec.json.encode(above))["fields"] == {"value": "inf"}
    assert (above.events, within.events, within.fields) == (1, 2, {"value": 1000.0})
    assert "value inf" in above.text()


@pytest.mark.usefixtures("windows")
def test_windows_that_match_nothing_are_told_with_what_is_there(tables: ClickHouse) -> None:
    found = of_windows(tables, "value <= 250", "service = 'cart' AND metric = 'latency'")
    assert found.problems == (
        "none of them is valid: service = 'cart' AND metric = 'latency'",
        "  metric: latency_ms (25)",
        "  service: cart (18), search (7)",
    )
    found = of_windows(tables, "value < 100", "value IS NULL OR value > 100")
    assert found.problems == (
        "none of the valid ones is good: value < 100",
        "  value: 250 to 1000, 7 unknown",
    )


def test_windows_that_were_refused_are_told_where_none_came(store: HttpStore, tables: ClickHouse) -> None:
    bad = msgspec.structs.replace(window(5, 0), events=-1)
    letter = dead_letter(
        Refused(0, sent(bad)), Rejected("events must be"), "sli.0", {"dead.letters": 1}, None
    )
    given(store, sent(bad), letter.value)
    filled(store, DEAD_LETTERS, METRIC_WINDOWS)
    found = of_windows(tables, "value <= 250")
    assert found.problems == (
        "none of the events of metric windows came in this time: try a longer one",
        "  1 windows were refused since, the last one: events must be",
    )
    assert not found.is_well


class Refused:
    """A window that was refused, as the kernel has it."""

    def __init__(self, offset: int, value: bytes) -> None:
        self.topic, self.partition, self.offset = WINDOWS, 0, offset
        self.timestamp, self.key, self.value, self.headers = AT // 1_000, b"cart", value, []


def composite(*parts: tuple[str, float]) -> Definition:
    indicator = Indicator(Source.COMPOSITE, parts=tuple(Part(*part) for part in parts))
    return msgspec.structs.replace(DEFINITION, slo_id="all", indicator=indicator)


@pytest.fixture
def parts(store: HttpStore) -> Iterator[SlaUnit]:
    """Two SLOs that have counted something, one of them also what is excluded; one that has counted nothing, …"""
    unit = SlaUnit(build())
    at = minute_of(unit.now)
    for name, by in (("a", ""), ("b", ""), ("idle", ""), ("split", "task_type"), ("gone", "")):
        indicator = msgspec.structs.replace(DEFINITION.indicator, group_by=by)
        unit.handle(DefineSlo(name, msgspec.structs.replace(DEFINITION, slo_id=name, indicator=indicator)))
    unit.handle(DefineSlo("all", composite(("a", 1), ("b", 2))))
    unit.handle(RemoveSlo("gone"))
    unit.handle(CountSli("a", 1, (Counted(at - 3 * HOUR, 1, 1), Counted(at - MINUTE, 9, 10)), "t:0:1"))
    unit.handle(CountSli("b", 1, (Counted(at - MINUTE, 3, 5), Counted(at - 2 * MINUTE, 0, 50)), "t:0:2"))
    begin = at - 2 * MINUTE
    unit.handle(AdjustBudget("b", "x", AdjustmentKind.EXCLUDE, begin, begin + MINUTE, "the network"))
    unit.handle(AdjustBudget("a", "c", AdjustmentKind.CORRECT, at - MINUTE, at, "they were good", good=1))
    given(store, *(output.value for output in unit.log))
    filled(store, SLOS, BUDGETS, SLI_COUNTS, BUDGET_ADJUSTMENTS)
    yield unit
    unit.close()


def test_a_composite_has_what_its_parts_have_counted(parts: SlaUnit, tables: ClickHouse) -> None:
    wanted = composite(("a", 0.5), ("b", 1.5), ("idle", 0.5))
    found = tried(tables, wanted, Over.HOUR, parts.now)
    assert (found.events, found.good, found.valid, found.problems) == (15, 10 + 9, 10 + 15, ())
    assert [(p.slo_id, p.weight, p.good, p.valid) for p in found.parts] == [
        ("a", 1, 10, 10),
        ("b", 3, 3, 5),
        ("idle", 1, 0, 0),
    ]
    text = found.text().splitlines()
    assert text[0] == "all: 19 good of 25 valid events = 76.00%, promised are 90.00%"
    assert "15 events of its parts were counted" in text[1]
    assert text[2:] == ["  a: 10 good of 10", "  b: 3 good of 5, each 3 times", "  idle: 0 good of 0"]
    assert tried(tables, wanted, Over.DAY, parts.now).valid == 26
    later = tried(tables, wanted, Over.HOUR, parts.now + 2 * HOUR)
    assert not later.is_well and "none of its parts has counted anything" in later.problems[0]


def test_what_a_composite_cannot_be_made_of_is_told(parts: SlaUnit, tables: ClickHouse) -> None:
    wanted = composite(("a", 1), ("nobody", 1), ("gone", 1), ("all", 1), ("split", 1))
    found = tried(tables, msgspec.structs.replace(wanted, slo_id="other"), Over.HOUR, parts.now)
    assert found.problems == (
        "there is no SLO nobody: apply it first, its events count from before too",
        "there is no SLO gone: apply it first, its events count from before too",
        "all is composite itself: name its parts instead",
        "split has a budget for each task_type: name an SLO without group_by",
    )
    assert definition_of(tables, "all") == composite(("a", 1), ("b", 2))


def test_an_slo_is_found_by_its_id(store: HttpStore, tables: ClickHouse) -> None:
    unit = SlaUnit(build())
    try:
        unit.handle(DefineSlo("shop", DEFINITION))
        given(store, *(output.value for output in unit.log))
        filled(store, SLOS)
    finally:
        unit.close()
    assert definition_of(tables, "shop") == DEFINITION
    assert definition_of(tables, "none") is None


def test_times() -> None:
    assert since_of(WindowKind.ROLLING, 7, Over.HOUR, NOW) == NOW - HOUR
    assert since_of(WindowKind.ROLLING, 7, Over.DAY, NOW) == NOW - DAY
    assert since_of(WindowKind.ROLLING, 7, Over.WINDOW, NOW) == (NOW - 7 * DAY) // HOUR * HOUR
