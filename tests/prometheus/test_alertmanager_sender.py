"""A real Alertmanager is told of violations and exclusions: once, again while they last, through kills and outages."""

import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import REGISTRY
from pydantic import ValidationError

from neural_hive.connectors.alertmanager import Alert, Alertmanager, Matcher, Silence
from neural_hive.connectors.clickhouse import ClickHouseError
from neural_hive.connectors.json_api import ApiAway, JsonApi
from neural_hive.connectors.ports import free_port
from neural_hive.settings import Settings
from neural_hive.streams.alertmanager import sender as alertmanager_sender
from neural_hive.streams.alertmanager.sender import AGAIN_S, HOLDS_S, Sender
from neural_hive.streams.alertmanager.silences import us_of
from neural_hive.system import plan_system
from neural_hive.told_alertmanager import NoAlertmanager, alertmanager_of
from tests.prometheus.servers import alertmanager, needs_alertmanager
from tests.webhooks.receiver import receiving, says

pytestmark = needs_alertmanager
URL = "http://127.0.0.1:9"
SECOND = 1_000_000
MINUTE, HOUR = 60 * SECOND, 3_600 * SECOND


def clock() -> int:
    return time.time_ns() // 1_000


class Tables:
    """What a test says."""

    def __init__(self) -> None:
        self.violations: list[tuple[Any, ...]] = []
        self.exclusions: list[tuple[Any, ...]] = []
        self.is_away = False

    def rows(self, sql: str, params: Mapping[str, Any] | None = None) -> list[tuple[Any, ...]]:
        if self.is_away:
            raise ClickHouseError("nobody is there", 0)
        assert params is not None
        if "FROM violations" in sql:
            return [row for row in self.violations if row[7] or row[9] >= params["since"]]
        return [row for row in self.exclusions if row[5] > params["now"]]


def violated(
    slo_id: str = "shop", kind: str = "EXHAUSTED", closed_at: int = 0, measure: int = 1, ago: int = MINUTE
) -> tuple[Any, ...]:
    """A row of a violation that was opened a while ago."""
    severity = "CRITICAL" if kind == "EXHAUSTED" else "HIGH"
    about = slo_id, f"{slo_id}@{measure}", kind, severity, "checkout", -0.25, 7.5
    return (*about, not closed_at, clock() - ago, closed_at or None, "eu", "Deploys of the shop")


def excluded(
    adjustment_id: str = "m-1",
    kind: str = "EXCLUDE",
    begins_in: int = 0,
    lasts: int = HOUR,
    slo_id: str = "shop",
    dimension: str = "",
    measure: int = 1,
    **more: Any,
) -> tuple[Any, ...]:
    """A row of an exclusion, said now."""
    begin = more.get("begin") or (clock() + begins_in) // MINUTE * MINUTE
    budget_id = f"{slo_id}@1" + (f"/{dimension}" if dimension else "")
    told = "the database moves", more.get("adjusted_at") or clock()
    return (budget_id, adjustment_id, slo_id, kind, begin, begin + lasts, *told, measure, "DEFINED")


class World:
    """An Alertmanager, and who tells it."""

    def __init__(self, url: str) -> None:
        self.tables, self.server = Tables(), Alertmanager(JsonApi("Alertmanager", url, timeout_s=5))
        self.ahead = 0  # µs by which the sender's clock has moved on
        self.sender = self.another()

    def another(self) -> Sender:
        """One that was started anew: it knows nothing."""
        return Sender(self.tables, self.server, lambda: clock() + self.ahead)

    def silences(self) -> list[Silence]:
        """Those that hold or will."""
        return [silence for silence in self.server.silences() if silence.status.state != "expired"]

    def alert(self, **labels: str) -> Alert:
        [found] = self.server.alerts([f'{name}="{value}"' for name, value in labels.items()])
        return found


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with alertmanager(tmp_path) as url:
        found = World(url)
        yield found
        found.server.close()


def metric(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(f"neural_hive_sla_alertmanager_sender_{name}", labels) or 0.0


def at(found: datetime) -> int:
    return us_of(found)


def test_a_violation_is_an_alert_until_it_is_closed(world: World) -> None:
    row = violated()
    world.tables.violations = [row, violated(kind="BURN_FAST"), violated("search")]
    assert world.sender.look()
    alert = world.alert(slo="shop", alertname="SLOBudgetExhausted")
    assert alert.labels == {
        "alertname": "SLOBudgetExhausted",
        "slo": "shop",
        "service": "checkout",
        "namespace": "eu",
        "severity": "critical",
    }
    assert alert.annotations["summary"] == (
        "Deploys of the shop: -25.0% of the error budget is left, and it burns 7.5 times as fast as allowed"
    )
    assert abs(at(alert.starts_at) - row[8]) < SECOND
    assert HOLDS_S - 30 < (at(alert.ends_at) - clock()) / SECOND <= HOLDS_S
    assert world.alert(alertname="SLOBudgetBurn").labels["severity"] == "high"
    assert metric("alerts") == 3 and metric("behind_seconds") == 0
    world.tables.violations[0] = violated(closed_at=clock() - SECOND)
    assert world.sender.look()
    assert world.server.alerts(['slo="shop"', 'alertname="SLOBudgetExhausted"']) == []
    assert len(world.server.alerts()) == 2 and metric("alerts") == 2


def test_it_is_told_again_before_alertmanager_takes_it_for_over(world: World) -> None:
    world.tables.violations = [violated()]
    world.sender.look()
    first = world.alert(slo="shop")
    accepted = metric("requests_total", about="alerts", outcome="accepted")
    world.sender.look()
    assert metric("requests_total", about="alerts", outcome="accepted") == accepted, "not at each look"
    world.ahead = int(AGAIN_S * SECOND)
    world.sender.look()
    again = world.alert(slo="shop")
    assert again.fingerprint == first.fingerprint and again.starts_at == first.starts_at
    assert (at(again.ends_at) - at(first.ends_at)) / SECOND == pytest.approx(AGAIN_S, abs=5)


def test_what_was_closed_while_nobody_told_it_is_told(world: World) -> None:
    world.tables.violations = [violated(), violated("long ago", closed_at=clock() - 2 * HOUR, ago=3 * HOUR)]
    world.sender.look()
    world.tables.violations[0] = violated(closed_at=clock())
    assert world.another().look()
    assert world.server.alerts() == []


def test_of_two_budgets_of_one_slo_the_open_one_says_more(world: World) -> None:
    closed = violated(closed_at=clock(), measure=1)
    for rows in ([closed, violated(measure=2)], [violated(measure=2), closed]):
        world.tables.violations = rows
        world.another().look()
        assert world.alert(slo="shop").annotations["budget"] == "shop@2"


def test_an_exclusion_is_a_silence(world: World) -> None:
    world.tables.violations = [violated()]
    world.tables.exclusions = [excluded(), excluded("m-2", begins_in=48 * HOUR, dimension="eu west")]
    assert world.sender.look()
    first, second = sorted(world.silences(), key=lambda silence: silence.starts_at)
    assert (first.status.state, second.status.state) == ("active", "pending")
    assert first.matchers == (Matcher("slo", "shop"),) and first.created_by == "neural-hive"
    assert first.comment.startswith("the database moves (exclusion m-1) [")
    assert at(first.ends_at) == world.tables.exclusions[0][5]
    assert set(second.matchers) == {Matcher("slo", "shop"), Matcher("dimension", "eu west")}
    assert at(second.starts_at) == world.tables.exclusions[1][4]
    assert world.alert(slo="shop").status.silenced_by == (first.id,)
    assert [world.another().look() for _ in range(3)] == [True] * 3
    assert {silence.id for silence in world.silences()} == {first.id, second.id}


def test_lifted_ends_it(world: World) -> None:
    world.tables.exclusions = [excluded(), excluded("m-2")]
    world.sender.look()
    begin = world.tables.exclusions[0][4]
    world.tables.exclusions[0] = excluded(kind="LIFT", begin=begin)
    assert world.sender.look()
    [kept] = world.silences()
    assert "m-2" in kept.comment
    time.sleep(0.01)
    world.tables.exclusions[0] = excluded(begin=begin, lasts=2 * HOUR)  # and then it is excluded again
    assert world.sender.look() and len(world.silences()) == 2


def test_what_the_tables_do_not_know_is_left_as_it_is(world: World) -> None:
    world.tables.exclusions = [excluded()]
    world.sender.look()
    theirs = world.server.silence(
        [Matcher("slo", "shop")], datetime.now(UTC), world.silences()[0].ends_at, "ann", "mine"
    )
    world.tables.exclusions = []  # they are filled anew
    assert world.another().look()
    assert len(world.silences()) == 2
    world.tables.exclusions = [excluded(kind="LIFT")]
    world.sender.look()
    assert [silence.id for silence in world.silences()] == [theirs]


def test_one_of_a_budget_that_nobody_measures_any_more_ends(world: World) -> None:
    world.tables.exclusions = [excluded()]
    world.sender.look()
    world.tables.exclusions = [excluded(measure=2)]
    world.sender.look()
    assert world.silences() == []


def test_another_end_is_taken_over(world: World) -> None:
    for begins_in in (0, HOUR):  # one that holds, and one that will
        world.tables.exclusions = [excluded(begins_in=begins_in)]
        world.sender.look()
        begin = world.tables.exclusions[0][4]
        world.tables.exclusions = [excluded(begin=begin, lasts=3 * HOUR)]
        assert world.sender.look() and world.sender.look()
        [found] = world.silences()
        assert at(found.ends_at) == begin + 3 * HOUR


def test_who_ends_one_by_hand_is_heard(world: World) -> None:
    world.tables.exclusions = [excluded()]
    world.sender.look()
    world.server.end_silence(world.silences()[0].id)
    left = metric("silences_total", change="left")
    assert world.sender.look() and world.another().look() and world.sender.look()
    assert world.silences() == [] and metric("silences_total", change="left") == left + 2  # each says it once


def test_killed_before_the_answer_comes_makes_none_a_second_time(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.tables.exclusions = [excluded(f"m-{n}") for n in range(5)]
    real = world.server.silence

    def lost(*about: Any) -> str:
        real(*about)
        raise ApiAway("the answer is lost")

    monkeypatch.setattr(world.server, "silence", lost)
    for made in range(1, 6):
        assert world.another().look() is False
        assert len(world.silences()) == made
    monkeypatch.undo()
    assert world.another().look() and len(world.silences()) == 5


def test_two_at_one_moment_leave_one(world: World) -> None:
    world.tables.exclusions = [excluded()]
    world.sender.look()
    [first] = world.silences()
    twin = first.matchers, first.starts_at, first.ends_at, first.created_by, first.comment
    world.server.silence(*twin)
    assert len(world.silences()) == 2
    world.sender.look()
    assert len(world.silences()) == 1


def test_an_outage_is_said_and_made_good(tmp_path: Path) -> None:
    port = free_port()
    world = World(f"http://127.0.0.1:{port}")
    world.tables.violations, world.tables.exclusions = [violated()], [excluded()]
    for seconds in (0, 40, 90):
        world.ahead = seconds * SECOND
        assert world.sender.look() is False
    assert metric("behind_seconds") == pytest.approx(90, abs=5)
    world.ahead = 0
    with alertmanager(tmp_path, port=port):
        assert world.sender.look() and metric("behind_seconds") == 0
        assert world.alert(slo="shop") and len(world.silences()) == 1
    assert world.another().look() is False
    world.ahead = int(AGAIN_S * SECOND)
    with alertmanager(tmp_path, port=port):  # it has kept silences, and no alert
        assert world.server.alerts() == []
        assert world.sender.look()
        assert world.alert(slo="shop") and len(world.silences()) == 1
    world.server.close()


def test_while_the_tables_are_away_alerts_go_on(world: World) -> None:
    world.tables.violations = [violated()]
    world.sender.look()
    first = world.alert(slo="shop")
    world.tables.is_away, world.ahead = True, int(AGAIN_S * SECOND)
    assert world.sender.look() is False
    assert world.alert(slo="shop").ends_at > first.ends_at and metric("behind_seconds") >= AGAIN_S - 5
    world.tables.is_away = False
    assert world.sender.look() and metric("behind_seconds") == 0


def test_thousands_are_told_in_parts(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alertmanager_sender, "AT_ONCE", 50)
    world.tables.violations = [violated(f"slo-{n}") for n in range(120)]
    before = metric("requests_total", about="alerts", outcome="accepted")
    assert world.sender.look() and len(world.server.alerts()) == 120
    assert metric("requests_total", about="alerts", outcome="accepted") == before + 3


def test_what_is_refused_holds_up_no_other() -> None:
    with receiving() as receiver:
        world = World(receiver.url)
        world.tables.violations, world.tables.exclusions = [violated()], [excluded(), excluded("m-2")]
        receiver.answer = lambda request: says(400, body=b"no") if request.body else says(200, body=b"[]")
        refused = metric("requests_total", about="silences", outcome="refused")
        assert world.sender.look() and world.sender.look()
        assert metric("requests_total", about="silences", outcome="refused") == refused + 2, "each once"
        receiver.answer = lambda request: says(400, body=b"no")
        posted = metric("requests_total", about="silences", outcome="refused")
        assert world.another().look()
        assert metric("requests_total", about="silences", outcome="refused") == posted + 1, (
            "none is made unseen"
        )
        world.server.close()


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"alertmanager_url": "ftp://h"}, "alertmanager_url"),
        ({"alertmanager_url": "http://user:secret@h"}, "alertmanager_url"),
        ({"alertmanager_username": "a", "alertmanager_token_file": "t"}, "two logins"),
        ({"alertmanager_password": "a"}, "with alertmanager_username"),
        ({"alertmanager_every_s": 0}, "alertmanager_every_s"),
    ],
)
def test_settings_that_make_no_sense(given: dict[str, object], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        Settings(**given)


@pytest.mark.parametrize(
    ("systems", "url", "is_started"),
    [(("orchestrator",), URL, False), (("sla",), "", False), (("sla",), URL, True)],
)
def test_up_tells_alertmanager_where_it_is_named(
    tmp_path: Path, systems: tuple[str, ...], url: str, is_started: bool
) -> None:
    given = {"kafka_bootstrap": "127.0.0.1:9", "schema_registry_url": URL, "alertmanager_url": url}
    plan = plan_system(Settings(data=tmp_path, systems=systems, metrics_port=32_000, **given))
    services = {service.name: service for stage in plan.stages for service in stage.services}
    assert ("alertmanager-sender" in services) == is_started
    if is_started:
        assert services["alertmanager-sender"].environment["NEURAL_HIVE_ALERTMANAGER_URL"] == url


def test_without_an_address_it_says_what_to_set() -> None:
    with pytest.raises(NoAlertmanager, match="NEURAL_HIVE_ALERTMANAGER_URL"):
        alertmanager_of(Settings())
