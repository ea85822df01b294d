"""Minute by minute, each once: what was left off, what is away, and what is no count."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec
import pytest
import structlog
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from neural_hive.aggregates.budget import BUDGET_AGGREGATE, POLLED, Counted, minute_of
from neural_hive.aggregates.burn import Counts
from neural_hive.aggregates.sla_window import HOUR, MINUTE
from neural_hive.aggregates.sli_source import Source
from neural_hive.aggregates.slo import Indicator
from neural_hive.connectors.clickhouse import ClickHouseError
from neural_hive.connectors.json_api import ApiAway, ApiRefused
from neural_hive.connectors.prometheus import Sample
from neural_hive.schemas.codec import decode, encode_message
from neural_hive.schemas.envelope import Header
from neural_hive.streams.sla.messages import CountSli, DefineSlo
from neural_hive.streams.sla.system import build
from neural_hive.streams.sli_prometheus import minute_counter as sli_prometheus
from neural_hive.streams.sli_prometheus.asked import Asked, folded
from neural_hive.streams.sli_prometheus.minute_counter import CountingStopped, MinuteCounter, Pace, Told
from neural_hive.streams.sli_prometheus.promql_counts import Queries
from tests.sla.kernel_unit import SlaUnit
from tests.sla.test_sla import DEFINITION

NOW = minute_of(1_800_000_000_000_000)
PROMQL = Indicator(
    Source.PROMQL, good_promql="sum(increase(a[$window]))", valid_promql="sum(increase(b[$window]))"
)
LAG, BACK = 30, 3_600  # s


class Settings(msgspec.Struct, frozen=True):
    """What is needed of the settings."""

    prometheus_lag_s: float = LAG
    prometheus_back_s: float = BACK
    prometheus_per_s: float = 10_000
    prometheus_at_once: int = 3
    sla_metrics_slos: int = 2

    def kafka_config(self) -> dict[str, Any]:
        return {}


def version(
    slo_id: str, changed_at: int, *, measure: int = 1, enabled: bool = True, source: str = "PROMQL"
) -> tuple[Any, ...]:
    """A row of a definition."""
    return (
        slo_id,
        "DEFINED",
        source,
        enabled,
        measure,
        f"good of {slo_id}",
        f"valid of {slo_id}",
        changed_at,
    )


def removal(slo_id: str, at: int) -> tuple[Any, ...]:
    return (slo_id, "REMOVED", None, None, None, None, None, at)


class Tables:
    """Definitions, and what was counted."""

    def __init__(self, *versions: tuple[Any, ...]) -> None:
        self.versions = list(versions)
        self.last: dict[str, int] = {}

    def rows(self, sql: str, params: Mapping[str, Any] | None = None) -> list[tuple[Any, ...]]:
        if "FROM slos_versions" in sql:
            return self.versions
        assert params is not None
        found = [(name, self.last[name]) for name in params["budgets"] if name in self.last]
        return [(name, at) for name, at in found if at >= params["since"]]


class Server:
    """A Prometheus that knows 10 events a minute of each SLO, of which 9 are good, or what a test says."""

    def __init__(self) -> None:
        self.answers: dict[str, Callable[[int], list[Sample]]] = {}
        self.asked: list[tuple[str, int]] = []

    def query(self, promql: str, at: int) -> list[Sample]:
        self.asked.append((promql, at))
        kind, _, slo_id = promql.partition(" of ")
        if answer := self.answers.get(slo_id):
            return answer(at)
        return [Sample({}, 9.0 if kind == "good" else 10.0)]


class World:
    """A counter, its clock, and what it has told."""

    def __init__(self, *versions: tuple[Any, ...]) -> None:
        self.tables, self.server, self.now = Tables(*versions), Server(), NOW
        self.told: list[tuple[str, Counted]] = []
        self.stopping = threading.Event()
        self.counter = self.another()

    def another(self) -> MinuteCounter:
        return MinuteCounter(
            Settings(),
            self.tables,
            self.server,  # type: ignore[arg-type]
            lambda asked, found: self.told.append((asked.budget_id, found)),
            self.stopping,
            lambda: self.now,
        )

    def look(self, at: int) -> list[tuple[str, int]]:
        """Looks at a time; budgets and minutes that were told, these as their distance from NOW."""
        before, self.now = len(self.told), at
        self.counter.look()
        return [(name, (found.at - NOW) // MINUTE) for name, found in self.told[before:]]


def metric(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(f"neural_hive_sla_prometheus_{name}", labels) or 0.0


def failing(error: Exception) -> Callable[[int], list[Sample]]:
    def answer(at: int) -> list[Sample]:
        raise error

    return answer


def numbers(name: str, minutes: Iterable[int]) -> list[tuple[str, int]]:
    return [(name, minute) for minute in minutes]


def test_each_full_minute_once_it_is_old_enough() -> None:
    world = World(version("shop", NOW - 1))
    second = 1_000_000
    assert world.look(NOW + 30 * second) == [], "the minute of its definition is not a full one of it"
    assert world.look(NOW + MINUTE + 29 * second) == []
    assert world.look(NOW + MINUTE + 30 * second) == [("shop@1", 0)]
    assert world.look(NOW + MINUTE + 40 * second) == []
    assert world.look(NOW + 3 * MINUTE + 30 * second) == numbers("shop@1", (1, 2))
    assert [found for _, found in world.told] == [Counted(NOW + n * MINUTE, 9, 10) for n in range(3)]
    ends = {at - NOW for _, at in world.server.asked}
    assert ends == {MINUTE, 2 * MINUTE, 3 * MINUTE}, "asked for at the minute's end"


def test_it_goes_on_where_the_tables_say() -> None:
    world = World(version("shop", NOW - HOUR))
    world.tables.last["shop@1"] = NOW - 5 * MINUTE
    assert world.look(NOW + LAG * 1_000_000) == numbers("shop@1", range(-4, 0))


def test_another_one_has_counted_meanwhile() -> None:
    world = World(version("shop", NOW - 1))
    world.look(NOW + MINUTE + LAG * 1_000_000)
    world.tables.last["shop@1"] = NOW + 5 * MINUTE
    assert world.look(NOW + 7 * MINUTE + LAG * 1_000_000) == [("shop@1", 6)]


def test_an_outage_is_made_up_for_as_far_as_it_goes_back() -> None:
    world = World(version("shop", NOW - 1))
    world.look(NOW + MINUTE + LAG * 1_000_000)
    too_old = metric("minutes_total", outcome="too_old")
    told = world.look(NOW + 3 * HOUR)
    assert told == numbers("shop@1", range(120, 179))  # the last hour, but the minute that is not old enough
    assert metric("minutes_total", outcome="too_old") == too_old + 119


def test_the_oldest_minutes_of_all_come_first() -> None:
    world = World(version("shop", NOW - 1), version("search", NOW - 1))
    told = world.look(NOW + 3 * MINUTE + LAG * 1_000_000)
    assert [minute for _, minute in told] == [0, 0, 1, 1, 2, 2]
    assert metric("behind_seconds") == 0


def test_no_answer_holds_one_back_and_nobody_else() -> None:
    world = World(version("search", NOW - 1), version("shop", NOW - 1))
    world.server.answers["search"] = failing(ApiAway("no answer"))
    late = NOW + 2 * MINUTE + LAG * 1_000_000
    assert world.look(late) == numbers("shop@1", (0, 1))
    assert metric("behind_seconds") == 60
    del world.server.answers["search"]
    assert world.look(late) == numbers("search@1", (0, 1))
    assert metric("behind_seconds") == 0


@pytest.mark.parametrize(
    "answer",
    [
        failing(ApiRefused("parse error")),
        lambda at: [Sample({}, float("nan"))],
        lambda at: [Sample({"a": "1"}, 1.0), Sample({"a": "2"}, 1.0)],
        lambda at: [Sample({}, -1.0)],
    ],
)
def test_what_is_no_count_is_left_out(answer: Callable[[int], list[Sample]]) -> None:
    world = World(version("search", NOW - 1), version("shop", NOW - 1))
    world.server.answers["search"] = answer
    wrong = metric("minutes_total", outcome="wrong")
    assert world.look(NOW + 2 * MINUTE + LAG * 1_000_000) == numbers("shop@1", (0, 1))
    assert metric("minutes_total", outcome="wrong") == wrong + 2
    assert metric("wrong", slo_id="search") == 1
    del world.server.answers["search"]
    told = world.look(NOW + 3 * MINUTE + LAG * 1_000_000)
    assert sorted(told) == [("search@1", 2), ("shop@1", 2)]
    assert REGISTRY.get_sample_value("neural_hive_sla_prometheus_wrong", {"slo_id": "search"}) is None


def test_only_so_many_slos_that_are_wrong_have_a_series() -> None:
    names = [f"slo-{number}" for number in range(5)]
    world = World(*(version(name, NOW - 1) for name in names))
    world.server.answers = {name: failing(ApiRefused("parse error")) for name in names}

    def told() -> list[str]:
        label = "neural_hive_sla_prometheus_wrong"
        return [name for name in names if REGISTRY.get_sample_value(label, {"slo_id": name})]

    world.look(NOW + MINUTE + LAG * 1_000_000)
    first = told()
    assert (len(first), metric("wrong_untold")) == (2, 3)
    del world.server.answers[first[0]]
    world.look(NOW + 2 * MINUTE + LAG * 1_000_000)
    assert (len(told()), metric("wrong_untold")) == (2, 2), "another one has its place"
    assert first[1] in told() and first[0] not in told()
    world.server.answers.clear()
    world.look(NOW + 3 * MINUTE + LAG * 1_000_000)
    assert (told(), metric("wrong_untold")) == ([], 0)


@pytest.fixture
def all_is_logged() -> Iterator[None]:
    """A command that ran before in this process may have set how much is logged."""
    before = structlog.get_config()
    structlog.reset_defaults()
    yield
    structlog.configure(**before)


@pytest.mark.usefixtures("all_is_logged")
def test_what_is_wrong_is_said_once() -> None:
    world = World(version("search", NOW - 1), version("shop", NOW - 1))
    wrong, away = failing(ApiRefused("parse error")), failing(ApiAway("nobody answers"))
    with capture_logs() as logs:
        for number, answer in enumerate((wrong, wrong, None, wrong), 1):
            world.server.answers = {"search": answer} if answer else {}
            world.look(NOW + number * MINUTE + LAG * 1_000_000)
        world.server.answers = {"search": away, "shop": away}
        for number in (5, 6):
            world.look(NOW + number * MINUTE + LAG * 1_000_000)
    told = [(line["event"], line["slo_id"]) for line in logs if line["event"] != "prometheus_away"]
    assert told == [("no_count", "search"), ("no_count", "search")]
    assert len(logs) == 3, "a server that is away is away for all"


def test_an_empty_minute_is_told_to_nobody() -> None:
    world = World(version("shop", NOW - 1))
    world.server.answers["shop"] = lambda at: []
    empty = metric("minutes_total", outcome="empty")
    assert world.look(NOW + 2 * MINUTE + LAG * 1_000_000) == []
    assert metric("minutes_total", outcome="empty") == empty + 2
    del world.server.answers["shop"]
    assert world.look(NOW + 3 * MINUTE + LAG * 1_000_000) == [("shop@1", 2)]


def test_who_is_removed_is_asked_for_no_more() -> None:
    world = World(version("shop", NOW - 1))
    world.server.answers["shop"] = failing(ApiRefused("parse error"))
    world.look(NOW + MINUTE + LAG * 1_000_000)
    asked = len(world.server.asked)
    world.tables.versions.append(removal("shop", NOW + MINUTE))
    assert world.look(NOW + 5 * MINUTE) == [] and len(world.server.asked) == asked
    assert REGISTRY.get_sample_value("neural_hive_sla_prometheus_wrong", {"slo_id": "shop"}) is None


def test_told_to_stop() -> None:
    world = World(version("shop", NOW - 1))
    world.stopping.set()
    assert world.look(NOW + 5 * MINUTE) == [] and world.server.asked == []


@pytest.mark.parametrize(
    ("versions", "found"),
    [
        ([version("a", 1), version("a", 2)], [("a", 1, 1)]),
        ([version("a", 1), version("a", 2, measure=2)], [("a", 2, 2)]),
        ([version("a", 1), version("a", 2, enabled=False)], []),
        ([version("a", 1), version("a", 2, enabled=False), version("a", 3)], [("a", 1, 3)]),
        ([version("a", 1), removal("a", 2)], []),
        ([version("a", 1), removal("a", 2), version("a", 3, measure=2)], [("a", 2, 3)]),
        ([version("a", 1), version("a", 2, measure=2, source="TICKETS")], []),
        ([version("a", 1), version("b", 2)], [("a", 1, 1), ("b", 1, 2)]),
    ],
)
def test_since_when_it_is_measured_like_this(
    versions: Sequence[Sequence[Any]], found: list[tuple[str, int, int]]
) -> None:
    assert [(asked.slo_id, asked.measure, asked.since) for asked in folded(versions)] == found


class Published:
    """A publisher that keeps what it is given, encoded as Kafka would have it."""

    def __init__(self) -> None:
        self.messages: list[tuple[str, Header, CountSli]] = []
        self.error = ""

    def header(self, message_type: str, message_id: str, routing_id: str) -> Header:
        return Header(
            *(message_id, message_type, 1, routing_id, routing_id, "", "0" * 32, "0" * 16, "sli-prometheus")
        )

    def publish(
        self, topic: str, header: Header, payload: dict[str, Any], delivered: Callable[[str], None]
    ) -> None:
        decoded = decode(encode_message(header, payload), "message")
        self.messages.append((topic, header, msgspec.convert(decoded.payload, CountSli)))
        delivered(self.error)

    def poll(self) -> None:
        """All is delivered."""

    def flush(self, timeout_s: float) -> int:
        return 0


def test_the_same_minute_has_the_same_message_id() -> None:
    published = Published()
    told = Told(published)  # type: ignore[arg-type]
    shop, revised = Asked("shop", 1, Queries("", ""), 0), Asked("shop", 2, Queries("", ""), 0)
    told.tell(shop, Counted(NOW, 9, 10))
    told.tell(shop, Counted(NOW, 8, 10))
    told.tell(shop, Counted(NOW + MINUTE, 9, 10))
    told.tell(revised, Counted(NOW, 9, 10))
    told.settle(threading.Event())
    ids = [header.message_id for _, header, _ in published.messages]
    assert ids[0] == ids[1] and len(set(ids)) == 3
    assert {(topic, header.routing_id) for topic, header, _ in published.messages} == {
        ("sla.measurements", "shop")
    }
    minute = f"{POLLED}2027-01-15T08:00Z"
    assert published.messages[0][2] == CountSli("shop", 1, (Counted(NOW, 9, 10),), minute)


def test_what_is_not_delivered_ends_it() -> None:
    published = Published()
    published.error = "gone"
    told = Told(published)  # type: ignore[arg-type]
    told.tell(Asked("shop", 1, Queries("", ""), 0), Counted(NOW, 9, 10))
    with pytest.raises(CountingStopped, match="could not be delivered: gone"):
        told.settle(threading.Event())


def test_two_of_them_count_once() -> None:
    unit = SlaUnit(build())
    unit.handle(DefineSlo("shop", msgspec.structs.replace(DEFINITION, indicator=PROMQL)))
    upto = minute_of(unit.now)
    world = World(version("shop", upto - 41 * MINUTE))
    slow = world.another()
    world.now = upto + LAG * 1_000_000
    for counter in (world.counter, slow):  # the tables have nothing yet of what the first has told
        counter.look()
    shop = Asked("shop", 1, Queries("", ""), 0)
    told = [found for _, found in world.told]
    assert len(told) == 2 * len({found.at for found in told}) == 80
    published = Published()
    for found in told:
        Told(published).tell(shop, found)  # type: ignore[arg-type]
    counts = [unit.handle(message, header.message_id) for _, header, message in published.messages]
    assert [bool(events) for events in counts] == [True] * 40 + [False] * 40
    unit.pass_time(90)
    assert unit.state(BUDGET_AGGREGATE, "shop@1").sums["1h"] == Counts(9 * 40, 10 * 40)
    unit.close()


def test_it_works_until_it_is_told_to_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    published, stopping = Published(), threading.Event()
    monkeypatch.setattr(sli_prometheus, "Publisher", lambda *_: published)
    monkeypatch.setattr(sli_prometheus, "_LOOK_EVERY_S", 0.01)
    now = time.time_ns() // 1_000
    tables = Tables(version("shop", now - 10 * MINUTE))
    answers: list[Any] = [ClickHouseError("no table yet", 60), None]
    readiness: list[str] = []

    class Late(Tables):
        def rows(self, sql: str, params: Mapping[str, Any] | None = None) -> list[tuple[Any, ...]]:
            if answers and (error := answers.pop(0)):
                raise error
            if published.messages:
                stopping.set()
            return tables.rows(sql, params)

    sli_prometheus.run(Settings(), Late(), Server(), stopping, lambda: readiness.append("ready"))  # type: ignore[arg-type]
    assert readiness == ["ready"]
    minutes = [message.counts[0].at for _, _, message in published.messages]
    assert len(minutes) in (8, 9) and minutes == sorted(minutes), "each once, in order"


def test_a_pace_is_kept() -> None:
    pace, begun = Pace(100, threading.Event()), time.monotonic()
    assert all(pace.wait() for _ in range(21))
    assert time.monotonic() - begun >= 0.2
