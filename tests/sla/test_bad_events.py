"""Where several events were counted at once, the bad ones among them are named, whoever has counted them and when."""

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from neural_hive.aggregates.budget import Counted, minute_of
from neural_hive.aggregates.sla_window import DAY, HOUR, MINUTE
from neural_hive.aggregates.sli_history import HistoryPart
from neural_hive.aggregates.sli_source import Source
from neural_hive.aggregates.slo import Indicator, Part
from neural_hive.connectors.clickhouse import ClickHouse, ClickHouseError
from neural_hive.projections.budget_adjustments import BUDGET_ADJUSTMENTS
from neural_hive.projections.budgets import BUDGETS
from neural_hive.projections.dead_letters import DEAD_LETTERS
from neural_hive.projections.http_store import HttpStore
from neural_hive.projections.metric_windows import METRIC_WINDOWS
from neural_hive.projections.sli_counts import SLI_COUNTS
from neural_hive.projections.slo_history import SLO_HISTORY_RANGES
from neural_hive.projections.slos import SLOS
from neural_hive.projections.tickets import TICKETS
from neural_hive.slo_bad_events import Sum, bad_events
from neural_hive.slo_explaining import Explanation, explained
from neural_hive.streams.sla.history import CountHistory
from neural_hive.streams.sla.messages import CountSli, DefineSlo
from neural_hive.streams.sla.system import build
from tests.projections.conftest import database, store
from tests.projections.grammar import filled, given
from tests.projections.support import AT, completed, created, failed
from tests.sla.kernel_unit import SlaUnit
from tests.sla.test_sla import DEFINITION
from tests.sla.test_telemetry_tables import sent
from tests.sla.test_trying import tables, window

__all__ = ["database", "store", "tables"]
NOW = minute_of(AT) + 30_000_000
TABLES = (
    *(SLOS, BUDGETS, SLI_COUNTS, BUDGET_ADJUSTMENTS, SLO_HISTORY_RANGES),
    *(TICKETS, DEAD_LETTERS, METRIC_WINDOWS),
)


class Told:
    """Events in the archive, and what the calculator was told of them."""

    def __init__(self, store: HttpStore, tables: ClickHouse) -> None:
        self.unit = SlaUnit(build())
        self.unit.now = NOW
        self._store, self.tables = store, tables

    def define(self, slo_id: str, indicator: Indicator) -> None:
        definition = msgspec.structs.replace(DEFINITION, slo_id=slo_id, indicator=indicator, window_days=30)
        self.unit.handle(DefineSlo(slo_id, definition))

    def counted(self, source: str, *counts: Counted, slo_id: str = "shop", dimension: str = "") -> None:
        self.unit.handle(CountSli(slo_id, 1, counts, source, dimension))

    def explained(self, *events: bytes, slo_id: str = "shop", dimension: str = "") -> Explanation:
        self.unit.pass_time(120)
        given(self._store, *events, *(output.value for output in self.unit.log))
        filled(self._store, *TABLES)
        found = explained(self.tables, slo_id, dimension)
        assert found is not None
        return found


@pytest.fixture
def told(store: HttpStore, tables: ClickHouse) -> Iterator[Told]:
    made = Told(store, tables)
    yield made
    made.unit.close()


def ended(name: str, minutes_ago: int, is_good: bool = False, plan: str = "shop", **more: Any) -> list[bytes]:
    """A ticket from its beginning to its end: two events."""
    at = NOW - minutes_ago * MINUTE
    times = {"started_at": at - 1_000, "completed_at": at}
    end = completed(name, **times, **more) if is_good else failed(name, **times, **more)
    return [created(name, plan=plan), end]


def test_the_bad_events_of_a_sum_are_named(told: Told) -> None:
    told.define("shop", DEFINITION.indicator)
    events = [
        *ended("before", 2),  # 0, 1: in another sum
        *ended("first", 2),
        *ended("good", 2, True),
        *ended("other", 2, plan="till"),
        *ended("later", 1),
        *ended("second", 2),
        *ended("behind", 2),  # 12, 13: in another sum
    ]
    then = minute_of(NOW) - 2 * MINUTE
    told.counted("topic:0:3-11", Counted(then, 1, 3), Counted(then + MINUTE, 0, 1))
    found = told.explained(*events)
    newest, oldest = found.bad
    assert [(e.id, e.place) for e in newest.events] == [("later", "topic:0:9")]
    assert [(e.id, e.place) for e in oldest.events] == [("second", "topic:0:11"), ("first", "topic:0:3")]
    assert oldest.events[0].fields == {"plan_id": "shop", "status": "FAILED"}
    text = found.text().splitlines()
    assert text[-2].endswith("second  plan_id shop, status FAILED  topic:0:11")


def test_so_many_of_each_sum_and_no_more(told: Told) -> None:
    told.define("shop", DEFINITION.indicator)
    events = [event for number in range(9) for event in ended(f"t{number}", 2)]
    events += [event for number in range(9) for event in ended(f"u{number}", 1)]
    then = minute_of(NOW) - 2 * MINUTE
    told.counted("topic:0:0-17", Counted(then, 0, 9))
    told.counted("topic:0:18-35", Counted(then + MINUTE, 0, 9))
    newest, oldest = told.explained(*events).bad
    assert [e.id for e in newest.events] == ["u8", "u7", "u6", "u5", "u4"]
    assert [e.id for e in oldest.events] == ["t8", "t7", "t6", "t5", "t4"]


def test_budgets_by_a_field_name_their_own(told: Told) -> None:
    told.define("shop", msgspec.structs.replace(DEFINITION.indicator, group_by="agent_id"))
    events = [*ended("a", 2, agent_id="one"), *ended("b", 2, agent_id="two"), *ended("c", 2, agent_id="one")]
    then = minute_of(NOW) - 2 * MINUTE
    told.counted("topic:0:1-5", Counted(then, 0, 2), dimension="one")
    told.counted("topic:0:3-5", Counted(then, 0, 1), dimension="two")
    [bad] = told.explained(*events, dimension="one").bad
    assert [e.id for e in bad.events] == ["c", "a"]


def test_each_way_of_measuring_asks_for_its_own(told: Told) -> None:
    told.define("shop", DEFINITION.indicator)
    then = minute_of(NOW) - 2 * MINUTE
    told.counted("topic:0:0-3", Counted(then, 0, 2))
    anew = msgspec.structs.replace(DEFINITION, indicator=Indicator(Source.TICKETS, "exit_code = 2"))
    told.unit.handle(DefineSlo("shop", anew, 1))
    told.unit.handle(CountSli("shop", 2, (Counted(then, 1, 2),), "topic:0:0-3"))
    [bad] = told.explained(*ended("a", 2), *ended("b", 2, exit_code=7)).bad
    assert [(e.id, e.fields["exit_code"]) for e in bad.events] == [("b", 7.0)]
    each = Sum(bad.minute, bad.place, True)
    before = bad_events(told.tables, "shop", 1, "", [each])
    assert [e.id for e in before[each]] == ["b", "a"]


def test_what_history_has_counted_is_named_too(told: Told) -> None:
    """By the hour if it is old; what was counted as it came, in the same minute, is not of it."""
    told.define("shop", DEFINITION.indicator)
    old, hour = 9 * DAY // MINUTE, (NOW - 9 * DAY) // HOUR * HOUR
    events = [*ended("old", old), *ended("recent", 2), *ended("as it came", 2)]
    recent = minute_of(NOW) - 2 * MINUTE
    parts = (HistoryPart("", (Counted(hour, 0, 1), Counted(recent, 0, 1))),)
    told.unit.handle(CountHistory("shop", 1, "topic", 0, 1, 0, 4, 0, 4, True, parts))
    told.unit.pass_time(1)
    told.counted("topic:0:5", Counted(recent, 0, 1))
    found = told.explained(*events)
    assert [(bad.place, [e.id for e in bad.events]) for bad in found.bad if bad.events] == [
        ("history:shop@1:history", ["recent"]),
        ("history:shop@1:history", ["old"]),
    ]
    assert sorted(bad.place for bad in found.bad if not bad.events) == ["topic:0:5"]


def test_windows_are_named_with_how_many_of_their_events_were_bad(told: Told) -> None:
    told.define("fast", Indicator(Source.TELEMETRY, "value <= 250", "service = 'cart'"))
    events = [sent(window(2, 3)), sent(window(1, 0)), sent(window(2, 1, region="eu"))]
    minute = minute_of(window(2, 3).last_at)
    told.counted("topic:0:0-2", Counted(minute, 16, 20), slo_id="fast")
    [bad] = told.explained(*events, slo_id="fast").bad
    assert [(e.place, e.events) for e in bad.events] == [("topic:0:2", 1), ("topic:0:0", 3)]
    assert "3 events" in bad.text()


def test_a_composite_names_the_events_of_its_parts(told: Told) -> None:
    told.define("shop", DEFINITION.indicator)
    told.define("fast", Indicator(Source.TELEMETRY, "value <= 250", "service = 'cart'"))
    told.define("all", Indicator(Source.COMPOSITE, parts=(Part("shop", 2), Part("fast", 1))))
    told.unit.deliver()
    then = minute_of(NOW) - 2 * MINUTE
    told.counted("topic:0:0-3", Counted(then, 0, 2))
    told.counted("topic:0:4-5", Counted(then - MINUTE, 16, 20), slo_id="fast")
    told.unit.deliver()
    slow = [sent(window(2, 3)), sent(window(2, 1, region="eu"))]
    found = told.explained(*ended("a", 2), *ended("b", 2), *slow, slo_id="all")
    named = {bad.place: [(e.id, e.events) for e in bad.events] for bad in found.bad}
    assert named == {
        "part:shop:topic:0:0-3": [("b", 1), ("a", 1)],
        "part:fast:topic:0:4-5": [("cart latency_ms", 1), ("cart latency_ms", 3)],
    }


def test_if_it_takes_too_long_all_else_is_told(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    told.define("shop", DEFINITION.indicator)
    told.counted("topic:0:0-3", Counted(minute_of(NOW) - 2 * MINUTE, 0, 2))

    def slow(*asked: Any) -> Any:
        raise ClickHouseError("it took too long", 159)

    monkeypatch.setattr("neural_hive.slo_explaining.bad_events", slow)
    found = told.explained()
    assert found.bad[0].count == 2
    assert found.text().splitlines()[-1] == "which of the events were bad was not found out: it took too long"
