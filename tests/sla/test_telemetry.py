"""Metric windows: which of their events count for which SLO, in which minute, and how often."""

import math
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neural_hive.aggregates.aggregate import Rejected
from neural_hive.aggregates.budget import Counted, minute_of
from neural_hive.aggregates.metric_series import (
    METRIC_SERIES,
    REMEMBERED_MAX,
    MetricSeries,
    MetricSeriesForgotten,
    MetricWindowNoted,
    Note,
)
from neural_hive.aggregates.metric_window import Bucket, MetricWindow, check
from neural_hive.aggregates.sla_window import DAY, HOUR, MINUTE
from neural_hive.aggregates.sli_cursor import SLI_CURSOR, cursor_id_of
from neural_hive.aggregates.sli_source import Source
from neural_hive.aggregates.slo import Definition, Indicator, Slo, SloType
from neural_hive.schemas.codec import decode
from neural_hive.streams.sli import telemetry as sli_telemetry
from neural_hive.streams.sli.index import Indexes
from neural_hive.streams.sli.system import build
from neural_hive.streams.sli.telemetry import tallied, weighed
from tests.sla.sli_unit import TELEMETRY, SliUnit

NOON = 20_000 * DAY + 12 * HOUR
BUCKETS = (Bucket(100.0, 50), Bucket(250.0, 30), Bucket(500.0, 15))
WINDOW = MetricWindow("checkout", "latency_ms", NOON, NOON + MINUTE, 100, BUCKETS, "ok", "api", "/pay", "eu")
DEFINITION = Definition(
    "fast", "Fast", SloType.LATENCY, "checkout", 0.99, Indicator(Source.TELEMETRY, "value <= 250")
)


@pytest.fixture
def unit() -> Iterator[SliUnit]:
    made = SliUnit(build())
    made.now = NOON + 2 * MINUTE
    yield made
    assert made.rows() == made.refolded_rows(), "the state is the fold of the log"
    made.close()


def knows(unit: SliUnit, good: str, valid: str = "", slo_id: str = "fast", **more: str) -> None:
    indicator = Indicator(Source.TELEMETRY, good, valid, **more)
    definition = msgspec.structs.replace(DEFINITION, slo_id=slo_id, indicator=indicator)
    unit.slos = {**unit.slos, slo_id: Slo(definition, 1, 1, 0)}


def counted(window: MetricWindow, wanted: Indicator) -> Counted | None:
    """What of a window counts for an indicator; None: nothing."""
    slo = Slo(msgspec.structs.replace(DEFINITION, indicator=wanted), 1, 1, 0)
    found = tallied(window, Indexes().of({"fast": slo}, Source.TELEMETRY))
    assert len(found) <= 1
    return Counted(minute_of(window.last_at), found[0].good, found[0].valid) if found else None


def later(minutes: int, window: MetricWindow = WINDOW, **more: Any) -> MetricWindow:
    starts_at = window.starts_at + minutes * MINUTE
    return msgspec.structs.replace(window, starts_at=starts_at, ends_at=starts_at + MINUTE, **more)


def test_each_event_counts_in_the_minute_of_its_window(unit: SliUnit) -> None:
    knows(unit, "value <= 250", "service = 'checkout' AND metric = 'latency_ms'")
    (found,) = unit.window(WINDOW)
    assert found.counts == (Counted(NOON, 80, 100),)
    assert (found.slo_id, found.measure, found.source) == ("fast", 1, f"{TELEMETRY}:0:1")
    assert unit.state(SLI_CURSOR, cursor_id_of("fast", 1, TELEMETRY, 0)).offset == 1


@pytest.mark.parametrize(
    ("good", "events"),
    [
        ("value <= 250", 80),  # a bound: exact
        ("value < 250", 50),  # those at 250 are not told apart: none of them is taken for less
        ("value <= 499", 80),  # no bound: a bucket is below only if its bound is
        ("value <= 500", 95),
        ("value < 1000000", 95),  # what is above all bounds is above any threshold
        ("value > 500", 5),
        ("value >= 100", 100),
        ("NOT (value <= 250)", 20),
        ("value BETWEEN 200 AND 300", 30),
        ("value IS NULL", 0),
        ("value = 250 OR value = 500", 45),
        ("outcome = 'ok'", 100),
        ("outcome IN ('failed') OR value <= 100", 50),
    ],
)
def test_what_a_threshold_means(good: str, events: int) -> None:
    assert counted(WINDOW, Indicator(Source.TELEMETRY, good)) == Counted(NOON, events, 100)


def test_what_demands_values_is_found_by_them() -> None:
    wanted = Indicator(Source.TELEMETRY, "value = 250", "value IN (100, 250)")
    assert counted(WINDOW, wanted) == Counted(NOON, 30, 80)


def test_counts_without_values_are_told_apart_by_their_outcome() -> None:
    wanted = Indicator(Source.TELEMETRY, "outcome != 'failed'", "metric = 'requests'")
    plain = MetricWindow("checkout", "requests", NOON, NOON + MINUTE, 7, outcome="failed")
    assert counted(plain, wanted) == Counted(NOON, 0, 7)
    assert counted(msgspec.structs.replace(plain, outcome="ok"), wanted) == Counted(NOON, 7, 7)
    unknown = msgspec.structs.replace(plain, outcome="")
    assert counted(unknown, wanted) == Counted(NOON, 0, 7), "what a window does not say is not good"
    assert counted(unknown, Indicator(Source.TELEMETRY, "outcome IS NULL")) == Counted(NOON, 7, 7)
    assert counted(plain, Indicator(Source.TELEMETRY, "value <= 1")) == Counted(NOON, 0, 7), "it has none"
    assert counted(plain, Indicator(Source.TELEMETRY, "outcome = 'ok'", "value <= 1")) is None


def test_a_long_window_counts_where_it_ends() -> None:
    wanted = Indicator(Source.TELEMETRY, "value <= 250")
    hour = msgspec.structs.replace(WINDOW, ends_at=NOON + HOUR)
    assert counted(hour, wanted) == Counted(NOON + 59 * MINUTE, 80, 100)
    short = msgspec.structs.replace(WINDOW, starts_at=NOON + 1, ends_at=NOON + MINUTE + 1)
    assert counted(short, wanted) == Counted(NOON + MINUTE, 80, 100)


def test_the_facts_of_a_window_need_no_partition() -> None:
    found = list(weighed(WINDOW))
    assert [(each.facts["value"], each.events) for each in found] == [
        (100.0, 50),
        (250.0, 30),
        (500.0, 15),
        (math.inf, 5),
    ]
    assert found[0].facts == {
        "service": "checkout",
        "metric": "latency_ms",
        "outcome": "ok",
        "layer": "api",
        "endpoint": "/pay",
        "region": "eu",
        "value": 100.0,
    }


def test_a_window_counts_once_however_often_and_late_it_comes(unit: SliUnit) -> None:
    knows(unit, "value <= 250")
    assert len(unit.window(WINDOW)) == 1
    for minutes in range(1, 100):  # more than the kernel remembers
        assert len(unit.window(later(minutes))) == 1
    assert unit.window(WINDOW) == []
    assert unit.window(later(50)) == []
    assert len(unit.window(later(50, region="us"))) == 1, "another series"


def test_two_windows_of_a_series_do_not_overlap(unit: SliUnit) -> None:
    knows(unit, "value <= 250")
    unit.window(WINDOW)
    changed = msgspec.structs.replace(WINDOW, events=101)
    for window in (changed, msgspec.structs.replace(WINDOW, starts_at=NOON - 1, ends_at=NOON + 1)):
        with pytest.raises(Rejected, match=r"overlaps the window from .* says so with `instance`"):
            unit.window(window)
    assert len(unit.window(msgspec.structs.replace(changed, instance="pod-2"))) == 1


def test_what_is_older_than_what_is_remembered_is_refused(unit: SliUnit) -> None:
    knows(unit, "value <= 250")
    for minutes in range(10, 11 + REMEMBERED_MAX):
        unit.window(later(minutes))
    for window in (WINDOW, later(10)):
        with pytest.raises(Rejected, match="is not known any more"):
            unit.window(window)
    assert unit.window(later(11)) == [], "this one is remembered"


def test_a_series_that_is_silent_is_forgotten_up_to_where_it_was(unit: SliUnit) -> None:
    knows(unit, "value <= 250")
    unit.window(WINDOW)
    unit.fire(7 * 86_400 + 1)
    last = decode(unit.log[-1].value, "event")
    assert last.schema.name == "MetricSeriesForgotten"
    assert unit.state(METRIC_SERIES, WINDOW.series_id).windows == ()
    with pytest.raises(Rejected, match="is not known any more"):
        unit.window(WINDOW, "another message")
    assert len(unit.window(later(1))) == 1


def test_there_are_so_many_series_at_once(unit: SliUnit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sli_telemetry, "SERIES_MAX", 2)
    knows(unit, "value <= 250")
    for name in ("/a", "/b"):
        unit.window(msgspec.structs.replace(WINDOW, endpoint=name))
    third = msgspec.structs.replace(WINDOW, endpoint="/c")
    with pytest.raises(Rejected, match="windows of 2 series have come here"):
        unit.window(third)
    assert len(unit.window(later(1, endpoint="/a"))) == 1
    unit.fire(8 * 86_400)
    assert len(unit.window(later(9 * 24 * 60, third))) == 1, "those that are silent make room"


def test_a_window_is_noted_though_nobody_asks_for_it_yet(unit: SliUnit) -> None:
    assert unit.window(WINDOW) == []
    knows(unit, "value <= 250", "service = 'another'")
    assert unit.window(later(1)) == []
    assert len(unit.state(METRIC_SERIES, WINDOW.series_id).windows) == 2
    knows(unit, "value <= 250")
    assert unit.window(WINDOW) == [], "history counts it: it was there before the SLO"
    with pytest.raises(Rejected, match="overlaps"):
        unit.window(later(1, events=101))
    assert len(unit.window(later(2))) == 1


def test_a_window_without_events_is_not_noted(unit: SliUnit) -> None:
    knows(unit, "value <= 250")
    assert unit.window(msgspec.structs.replace(WINDOW, events=0, buckets=())) == []
    assert unit.state(METRIC_SERIES, WINDOW.series_id) is None


def test_a_window_counts_for_each_slo_that_asks_for_it(unit: SliUnit) -> None:
    knows(unit, "value <= 250")
    knows(unit, "value <= 100", "region = 'eu'", slo_id="faster", group_by="endpoint")
    knows(unit, "value <= 100", "region = 'us'", slo_id="far")
    fast, faster = sorted(unit.window(WINDOW), key=lambda each: each.slo_id)
    assert (fast.slo_id, fast.dimension, fast.counts[0].good) == ("fast", "", 80)
    assert (faster.slo_id, faster.dimension, faster.counts[0].good) == ("faster", "/pay", 50)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"service": " "}, "service must not be empty"),
        ({"metric": ""}, "metric must not be empty"),
        ({"endpoint": "x" * 201}, "endpoint has more than 200 characters"),
        ({"ends_at": NOON}, "ends_at must be after starts_at"),
        ({"starts_at": 0}, "ends_at must be after starts_at"),
        ({"ends_at": NOON + HOUR + 1}, "a window lasts an hour at most"),
        ({"events": -1}, "events must be within 0 and"),
        ({"events": 94}, "the buckets have 95 events, and the window only 94"),
        ({"events": 10**12 + 1}, "events must be within 0 and"),
        ({"buckets": (Bucket(math.nan, 1),)}, "bounds of buckets must be numbers that ascend"),
        ({"buckets": (Bucket(math.inf, 1),)}, "bounds of buckets must be numbers that ascend"),
        ({"buckets": (Bucket(2.0, 1), Bucket(2.0, 1))}, "bounds of buckets must be numbers that ascend"),
        ({"buckets": (Bucket(1.0, -1), Bucket(2.0, 2))}, "events must be within 0 and"),
        ({"buckets": tuple(Bucket(float(n), 0) for n in range(201))}, "201 buckets, more than 200"),
    ],
)
def test_a_window_that_makes_no_sense_is_refused(unit: SliUnit, change: dict[str, Any], why: str) -> None:
    with pytest.raises(Rejected, match=why):
        unit.window(msgspec.structs.replace(WINDOW, **change))


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(1, 3), st.integers(0, 4)), max_size=60))
def test_no_moment_of_a_series_counts_twice(sent: list[tuple[int, int, int]]) -> None:
    """Whatever windows come in whatever order, and how often."""
    series: MetricSeries | None = None
    taken: set[int] = set()
    for start, length, message in sent:
        note = Note("s", f"{start}-{length}-{message}", start + 1, start + 1 + length, 5)
        try:
            events = METRIC_SERIES.decide(series, note)
        except Rejected:
            continue
        for event in events:
            assert isinstance(event, MetricWindowNoted)
            moments = set(range(event.starts_at, event.ends_at))
            assert not moments & taken
            taken |= moments
            series = METRIC_SERIES.evolve(series, event)
        assert METRIC_SERIES.decide(series, note) == [], "a repeat yields nothing new"
    if series is not None:
        forgotten = METRIC_SERIES.evolve(series, MetricSeriesForgotten("s", 6))
        assert forgotten.counted_upto == max(taken) + 1


def test_a_window_that_is_whole_is_taken() -> None:
    check(WINDOW)
    check(msgspec.structs.replace(WINDOW, events=0, buckets=()))
