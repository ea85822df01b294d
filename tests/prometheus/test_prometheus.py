"""A real Prometheus: what is asked of it, and what counts of its answers."""

import math
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from neural_hive.aggregates.budget import Counted, minute_of
from neural_hive.aggregates.sla_window import MINUTE
from neural_hive.asked_prometheus import MINUTES, dry_run
from neural_hive.connectors.json_api import ApiAway, ApiRefused, JsonApi, Login
from neural_hive.connectors.prometheus import Prometheus, Sample
from neural_hive.streams.sli_prometheus.minute_counter import MinuteCounter
from neural_hive.streams.sli_prometheus.promql_counts import NoCount, Queries, counted
from tests.prometheus.servers import Point, Target, needs_prometheus, prometheus
from tests.prometheus.test_counting import LAG, Settings, Tables

pytestmark = needs_prometheus
SCRAPE_S = 15
NOW = minute_of(time.time_ns() // 1_000 - 5 * MINUTE)
BEGIN = NOW - 90 * MINUTE
PER_SCRAPE = {'requests_total{code="200"}': 9.0, 'requests_total{code="500"}': 1.0}
GOOD, VALID = 'sum(increase(requests_total{code="200"}[$window]))', "sum(increase(requests_total[$window]))"
QUERIES = Queries(GOOD, VALID)
GAP = range(20, 25)  # minutes of the hour in which nothing was scraped


def minutes_of_history() -> Iterator[Point]:
    """Ten requests a scrape, of which nine are good, but in the gap; and a counter that is NaN."""
    for number in range(90 * 60 // SCRAPE_S):
        at_s = BEGIN / 1e6 + number * SCRAPE_S + 3  # targets are scraped at some second of the minute
        if (at_s * 1e6 - (NOW - 60 * MINUTE)) // MINUTE in GAP:
            continue
        for series, per_scrape in PER_SCRAPE.items():
            yield Point(series, at_s, number * per_scrape)
        yield Point("odd_total", at_s, math.nan)


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with prometheus(tmp_path_factory.mktemp("prometheus"), tuple(minutes_of_history())) as found:
        yield found


@pytest.fixture
def server(url: str) -> Iterator[Prometheus]:
    found = Prometheus(JsonApi("Prometheus", url))
    yield found
    found.close()


def test_a_value_at_a_time(server: Prometheus) -> None:
    at = NOW - 30 * MINUTE
    [first, second] = sorted(server.query("requests_total", at), key=lambda s: s.labels["code"])
    assert first.labels == {"__name__": "requests_total", "code": "200"}
    scrapes = 60 * 60 // SCRAPE_S - 1
    assert (first.value, second.value) == (9.0 * scrapes, 1.0 * scrapes)
    assert server.query("requests_total", BEGIN - MINUTE) == []
    assert server.query("scalar(sum(requests_total))", at) == [Sample({}, 10.0 * scrapes)]
    [odd] = server.query("odd_total", at)
    assert math.isnan(odd.value)


@pytest.mark.parametrize(
    ("promql", "why"),
    [
        ("sum(", "parse error"),
        ("requests_total[5m]", "it is a matrix"),
        ("'text'", "it is a string"),
        ("requests_total * on(x) group_left() requests_total", "many-to-many|duplicate"),
    ],
)
def test_a_wrong_expression_is_refused(server: Prometheus, promql: str, why: str) -> None:
    with pytest.raises(ApiRefused, match=why):
        server.query(promql, NOW - 30 * MINUTE)


def test_a_minute_is_whole_numbers(server: Prometheus) -> None:
    minute = NOW - 10 * MINUTE
    assert counted(server.query, QUERIES, minute) == Counted(minute, 36, 40)


def test_nothing_was_scraped(server: Prometheus) -> None:
    assert counted(server.query, QUERIES, NOW - 60 * MINUTE + 22 * MINUTE) is None


@pytest.mark.parametrize(
    ("queries", "why"),
    [
        (Queries("increase(requests_total[$window])", VALID), "has 2 series"),
        (Queries(VALID, GOOD), "40 good events and 36 valid ones"),
        (Queries("sum(increase(odd_total[$window]))", VALID), "is nan"),
        (Queries(GOOD, "-" + VALID), "valid_promql is -40"),
        (Queries(GOOD, "1 / vector(0)"), "is inf"),
        (Queries("sum(increase(none_total[$window]))", VALID), r"or vector\(0\)"),
        (Queries(GOOD, "sum(increase(none_total[$window]))"), "valid_promql has none"),
    ],
)
def test_what_is_no_count(server: Prometheus, queries: Queries, why: str) -> None:
    with pytest.raises(NoCount, match=why):
        counted(server.query, queries, NOW - 10 * MINUTE)


def test_no_series_may_mean_that_none_was_good(server: Prometheus) -> None:
    minute = NOW - 10 * MINUTE
    none = Queries("sum(increase(none_total[$window])) or vector(0)", VALID)
    assert counted(server.query, none, minute) == Counted(minute, 0, 40)


def test_the_last_hour(server: Prometheus) -> None:
    found = dry_run(server, "shop", 0.95, QUERIES, NOW)
    full = MINUTES - len(GAP)
    assert (found.counted, found.empty, found.unasked, found.wrong) == (full, len(GAP), 0, ())
    assert (found.good, found.valid) == (36 * full, 40 * full)
    assert found.is_well and "= 90.00%, promised are 95.00%" in found.text()
    nothing = dry_run(server, "shop", 0.95, Queries("sum(none[$window])", "sum(none[$window])"), NOW)
    assert nothing.wrong and nothing.unasked == MINUTES - 1 and not nothing.is_well
    empty = "sum(increase(none_total[$window]))"
    told = dry_run(server, "shop", 0.95, Queries(empty, empty), NOW)
    assert not told.is_well and "scraped every 30 s" in told.text()


def test_minute_by_minute(server: Prometheus) -> None:
    told: dict[int, Counted] = {}
    counter = MinuteCounter(
        Settings(),
        Tables(("shop", "DEFINED", "PROMQL", True, 1, GOOD, VALID, NOW - 60 * MINUTE - 1)),
        server,
        lambda asked, found: told.update({found.at: found}),
        threading.Event(),
        lambda: NOW + LAG * 1_000_000,
    )
    counter.look()
    minutes = [NOW - 60 * MINUTE + n * MINUTE for n in range(60) if n not in GAP]
    assert told == {minute: Counted(minute, 36, 40) for minute in minutes}


def test_a_target_that_is_scraped(tmp_path: Path) -> None:
    target = Target()
    target.text = "# TYPE jobs_total counter\njobs_total 5\n"
    try:
        with prometheus(tmp_path, target=target) as url:
            server = Prometheus(JsonApi("Prometheus", url))
            until = time.monotonic() + 30
            while not (found := server.query("jobs_total", time.time_ns() // 1_000)):
                assert time.monotonic() < until
                time.sleep(0.1)
            assert [sample.value for sample in found] == [5.0]
            server.close()
    finally:
        target.close()


def test_a_login_is_needed(tmp_path: Path) -> None:
    # bcrypt of "secret"
    users = {"basic_auth_users": {"hive": "$2b$04$vPfNoGNhd2eWcktZNrwwDOomeEb4gt2YTL3zx9.SNmhQzQUK8Hrf6"}}
    with prometheus(tmp_path, web=users) as url:
        for login in (Login(), Login("hive", "wrong")):
            with pytest.raises(ApiAway, match="answers 401"):
                Prometheus(JsonApi("Prometheus", url, login)).query("1", NOW)
        known = Prometheus(JsonApi("Prometheus", url, Login("hive", "secret")))
        assert known.query("vector(1)", NOW) == [Sample({}, 1.0)]
