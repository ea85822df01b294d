"""What the SLA calculator tells Prometheus: what was committed is counted, and gauges are what stands."""

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from prometheus_client import CollectorRegistry, generate_latest

from neural_hive.aggregates.budget import Counted, minute_of
from neural_hive.aggregates.burn import Level
from neural_hive.aggregates.freeze import BY_HAND, freeze_id_of
from neural_hive.aggregates.freeze_policy import Action, Policy, Scope
from neural_hive.aggregates.slo import Definition
from neural_hive.streams.kernel.standing import StateView
from neural_hive.streams.sla.figures import Figures
from neural_hive.streams.sla.messages import (
    CountSli,
    DefineFreezePolicy,
    DefineSlo,
    FreezeByHand,
    RemoveFreezePolicy,
    RemoveSlo,
    ResolveFreeze,
)
from neural_hive.streams.sla.metrics import SlaGauges, follow_sla
from neural_hive.streams.sla.system import build
from tests.sla.kernel_unit import SlaUnit
from tests.sla.test_sla import DEFINITION, FREEZE_ID, POLICY

PROMISED = {
    "calculations_total": ("slo_id", "service_name", "status"),
    "calculation_duration_seconds": (),
    "budget_remaining_percent": ("slo_id", "service_name", "slo_type"),
    "budget_consumed_percent": ("slo_id", "service_name", "slo_type"),
    "budget_status": ("slo_id", "service_name", "slo_type"),
    "burn_rate": ("slo_id", "service_name", "window_hours"),
    "freezes_active": ("service_name", "scope"),
    "freezes_activated_total": ("scope",),
    "freezes_resolved_total": ("scope",),
    "freeze_duration_seconds": (),
    "slos_total": ("slo_type", "enabled"),
    "slo_violations_total": ("slo_id", "service_name", "severity"),
    "policies_total": ("scope", "enabled"),
    "policy_evaluations_total": (),
    "prometheus_queries_total": ("outcome",),
    "prometheus_query_duration_seconds": (),
    "kafka_events_published_total": ("topic", "event_type"),
}
SLOS_MAX = 3
SHOP = {"slo_id": "shop", "service_name": "shop"}


class Watched:
    """A calculator, and what it tells."""

    def __init__(self) -> None:
        self.unit = SlaUnit(build())
        self.registry = CollectorRegistry()
        figures = follow_sla([self.unit.system], SLOS_MAX, self.registry)
        assert figures is not None
        self.figures = figures

    def value(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(f"neural_hive_sla_{name}", labels)

    def count(self, good: int, valid: int, slo_id: str = "shop", **more: Any) -> None:
        counted = (Counted(minute_of(self.unit.now), good, valid),)
        self.unit.handle(CountSli(slo_id, 1, counted, "t:0:1-2", **more))


@pytest.fixture
def watched() -> Iterator[Watched]:
    made = Watched()
    yield made
    made.unit.close()


def named(slo_id: str, **more: Any) -> Definition:
    return msgspec.structs.replace(DEFINITION, slo_id=slo_id, service_name=slo_id, **more)


def test_names_and_labels_are_those_that_were_promised() -> None:
    from neural_hive.monitoring.metrics import known_metrics

    known = {metric.name: metric.labels for metric in known_metrics()}
    for name, labels in PROMISED.items():
        assert known[f"neural_hive_sla_{name}"] == labels, name


def test_a_budget_is_told_as_it_was_seen_last(watched: Watched) -> None:
    watched.unit.handle(DefineSlo("shop", DEFINITION))
    assert watched.value("slos_total", slo_type="AVAILABILITY", enabled="true") == 1
    assert watched.value("budget_status", **SHOP, slo_type="AVAILABILITY") is None, "nothing was counted"
    watched.count(91, 100)
    watched.unit.pass_time(90)
    kind = {"slo_type": "AVAILABILITY"}
    assert watched.value("budget_remaining_percent", **SHOP, **kind) == pytest.approx(10)
    assert watched.value("budget_consumed_percent", **SHOP, **kind) == pytest.approx(90)
    assert watched.value("budget_status", **SHOP, **kind) == 2
    assert watched.value("burn_level", **SHOP, **kind) == 0
    rates = {
        hours: watched.value("burn_rate", **SHOP, window_hours=hours) for hours in ("1", "6", "24", "72")
    }
    assert rates == {"1": 0.9, "6": 0.9, "24": 0.9, "72": 0.9}
    assert watched.value("budgets", status="CRITICAL", level="NORMAL") == 1
    assert watched.value("budgets", status="HEALTHY", level="NORMAL") == 0
    assert watched.value("calculations_total", **SHOP, status="CRITICAL") == 1
    assert watched.value("calculation_duration_seconds_count") == 1
    assert watched.value("slo_violations_total", **SHOP, severity="CRITICAL") == 0, "it can be seen to grow"
    published = {"topic": "sla.budgets", "event_type": "BudgetEvaluated"}
    assert watched.value("kafka_events_published_total", **published) == 1
    watched.count(0, 100)
    watched.unit.pass_time(90)
    assert watched.value("budget_status", **SHOP, **kind) == 3
    assert watched.value("burn_level", **SHOP, **kind) == 1, "9.5 × 10 % within all windows is over 1 and 3"
    assert watched.value("slo_violations_total", **SHOP, severity="CRITICAL") == 1


def test_events_are_counted_by_when_they_came(watched: Watched) -> None:
    watched.unit.handle(DefineSlo("shop", DEFINITION))
    first = minute_of(watched.unit.now)
    watched.count(9, 10)
    watched.unit.pass_time(90)
    watched.unit.handle(CountSli("shop", 1, (Counted(first, 5, 7), Counted(0, 1, 3)), "t:0:3"))
    found = {when: watched.value("events_total", when=when) for when in ("in_time", "late", "uncounted")}
    assert found == {"in_time": 10, "late": 7, "uncounted": 3}


def test_freezes_and_policies(watched: Watched) -> None:
    watched.unit.handle(DefineSlo("shop", DEFINITION))
    watched.unit.handle(DefineFreezePolicy("careful", POLICY))
    everything = Policy("all", "All", Scope.GLOBAL, "", (Action.ALERT_ONLY,), 0, 0, Level.CRITICAL)
    watched.unit.handle(DefineFreezePolicy("all", everything))
    assert watched.value("policies_total", scope="SERVICE", enabled="true") == 1
    assert watched.value("freezes_activated_total", scope="SERVICE") == 0
    assert watched.value("freeze_age_seconds") == 0
    watched.count(91, 100)
    watched.unit.pass_time(90)
    assert watched.value("policy_evaluations_total") == 2
    assert watched.value("freezes_active", service_name="shop", scope="SERVICE") == 1
    assert watched.value("freezes_activated_total", scope="SERVICE") == 1
    watched.unit.handle(FreezeByHand("all", "launch day"))
    assert watched.value("freezes_active", service_name="", scope="GLOBAL") == 1
    watched.unit.pass_time(200)
    watched.unit.handle(ResolveFreeze(FREEZE_ID, "shop", "the fix must go out"))
    assert watched.value("freezes_active", service_name="shop", scope="SERVICE") is None
    assert watched.value("freezes_resolved_total", scope="SERVICE") == 1
    assert watched.value("freeze_duration_seconds_bucket", le="300.0") == 1
    assert watched.value("freeze_duration_seconds_bucket", le="60.0") == 0
    watched.unit.handle(ResolveFreeze(freeze_id_of("all", BY_HAND), "all", "it went well"))
    watched.unit.handle(RemoveFreezePolicy("all"))
    assert watched.value("policies_total", scope="GLOBAL", enabled="true") is None


def test_a_freeze_is_as_old_as_the_oldest(watched: Watched) -> None:
    watched.unit.handle(DefineFreezePolicy("careful", POLICY))
    watched.unit.handle(FreezeByHand("careful", "launch day"))
    gauges = SlaGauges(watched.figures, SLOS_MAX, lambda: watched.unit.now / 1e6 + 3_600)
    (age,) = (family for family in gauges.collect() if family.name == "neural_hive_sla_freeze_age_seconds")
    assert age.samples[0].value == pytest.approx(3_600)


def test_gauges_are_right_when_a_partition_opens_and_gone_when_it_closes(watched: Watched) -> None:
    unit = watched.unit
    unit.handle(DefineFreezePolicy("careful", POLICY))
    for name in ("shop", "gone", "again", "off"):
        unit.handle(DefineSlo(name, named(name)))
        watched.count(5 if name == "shop" else 10, 10, name)
    unit.pass_time(90)
    unit.handle(RemoveSlo("gone"))
    unit.handle(DefineSlo("again", named("again", window_days=30), revision=1))  # another measure
    unit.handle(DefineSlo("off", named("off", enabled=False), revision=1))
    (opened,), (closed,) = unit.system.opened, unit.system.closed

    def gauges() -> list[str]:
        page = generate_latest(watched.registry).decode().splitlines()
        names = ("budget", "burn", "slos", "policies", "freezes_active", "freeze_age")
        kept = tuple(f"neural_hive_sla_{name}" for name in names)
        return [line for line in page if line.startswith(kept) and "age_seconds" not in line]

    told = gauges()
    assert any('remaining_percent{service_name="shop"' in line for line in told)
    assert not any('"gone"' in line or '"again"' in line or '"off"' in line for line in told)
    assert watched.value("slos_total", slo_type="AVAILABILITY", enabled="true") == 2
    assert watched.value("slos_total", slo_type="AVAILABILITY", enabled="false") == 1
    for _ in range(2):  # after a doubt it is told again
        opened(0, StateView(unit.fold))
        assert gauges() == told
    closed(0)
    assert watched.value("budget_status", **SHOP, slo_type="AVAILABILITY") is None
    assert watched.value("freezes_active", service_name="shop", scope="SERVICE") is None
    assert watched.value("slos_total", slo_type="AVAILABILITY", enabled="true") is None
    opened(0, StateView(unit.fold))
    watched.count(1_000, 1_000)
    unit.pass_time(90)
    assert watched.value("budget_status", **SHOP, slo_type="AVAILABILITY") == 0
    assert (watched.value("calculations_total", **SHOP, status="HEALTHY") or 0) >= 1
    assert watched.value("calculations_total", **SHOP, status="EXHAUSTED") is None, "that was before"


def test_of_many_slos_the_most_urgent_are_told(watched: Watched) -> None:
    for number in range(10):
        watched.unit.handle(DefineSlo(f"s{number}", named(f"s{number}")))
        watched.count(100 - number, 100, f"s{number}")
    watched.count(500, 1_000, "s9", dimension="eu")  # its most urgent budget stands for it
    watched.unit.pass_time(90)
    page = generate_latest(watched.registry).decode()
    rows = [
        line for line in page.splitlines() if line.startswith("neural_hive_sla_budget_remaining_percent{")
    ]
    assert len(rows) == SLOS_MAX
    assert all(f'slo_id="s{number}"' in page for number in (7, 8, 9))
    who = {"slo_id": "s9", "service_name": "s9", "slo_type": "AVAILABILITY"}
    assert watched.value("budget_remaining_percent", **who) == pytest.approx(-400)
    assert watched.value("slos_untold") == 7
    assert sum(watched.value("budgets", status=s, level="NORMAL") or 0 for s in ("HEALTHY", "WARNING")) >= 8
    assert watched.value("slos_total", slo_type="AVAILABILITY", enabled="true") == 10


def test_frozen_services_beyond_the_limit_stay_in_the_sum(watched: Watched) -> None:
    for number in range(5):
        policy = msgspec.structs.replace(POLICY, policy_id=f"p{number}", subject=f"s{number}")
        watched.unit.handle(DefineFreezePolicy(f"p{number}", policy))
        watched.unit.handle(FreezeByHand(f"p{number}", "launch day"))
    (active,) = (
        family for family in watched.registry.collect() if family.name == "neural_hive_sla_freezes_active"
    )
    assert len(active.samples) == SLOS_MAX + 1
    assert sum(sample.value for sample in active.samples) == 5
    assert watched.value("freezes_active", service_name="", scope="SERVICE") == 2


def test_who_runs_no_calculator_tells_nothing_of_it() -> None:
    registry = CollectorRegistry()
    assert follow_sla([], SLOS_MAX, registry) is None
    assert list(registry.collect()) == []


def test_nothing_is_known_before_a_partition_opens() -> None:
    assert Figures().told(10) == ([], 0)
