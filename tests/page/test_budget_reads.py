"""What page and others are told of budgets, freezes and policies is what the calculator has said."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from neural_hive import budget_reads as reads
from neural_hive.aggregates.budget import AdjustmentKind, Counted, minute_of
from neural_hive.aggregates.freeze import BY_HAND, freeze_id_of
from neural_hive.aggregates.sla_window import MINUTE
from neural_hive.connectors.clickhouse import ClickHouse
from neural_hive.page import freeze_reads
from neural_hive.projections.catalogue import PROJECTIONS
from neural_hive.projections.http_store import HttpStore
from neural_hive.projections.read_models import rebuild
from neural_hive.slo_views import BudgetSummary
from neural_hive.streams.sla.messages import (
    AdjustBudget,
    CountSli,
    DefineFreezePolicy,
    DefineSlo,
    FreezeByHand,
    RemoveFreezePolicy,
    RemoveSlo,
    ResolveFreeze,
)
from neural_hive.streams.sla.system import build
from tests.projections.conftest import database, store
from tests.projections.grammar import given
from tests.sla.kernel_unit import SlaUnit
from tests.sla.test_asked_tables import tables
from tests.sla.test_sla import BUDGET_ID, DEFINITION, FREEZE_ID, POLICY

__all__ = ["database", "store", "tables"]


@pytest.fixture
def unit() -> Iterator[SlaUnit]:
    made = SlaUnit(build())
    yield made
    made.close()


def define(unit: SlaUnit, slo_id: str, service: str) -> None:
    unit.handle(DefineSlo(slo_id, msgspec.structs.replace(DEFINITION, slo_id=slo_id, service_name=service)))


def count(unit: SlaUnit, slo_id: str, good: int, valid: int, dimension: str = "") -> None:
    counts = (Counted(minute_of(unit.now), good, valid),)
    unit.handle(CountSli(slo_id, 1, counts, "t:0:1", dimension))


def told(store: HttpStore, unit: SlaUnit) -> None:
    given(store, *(output.value for output in unit.log))
    names = (
        "slos",
        "budgets",
        "sli_counts",
        "budget_adjustments",
        "freezes",
        "freeze_policies",
        "violations",
        "tickets",
    )
    for projection in PROJECTIONS:
        if projection.name in names:
            rebuild(store, projection)


def at(us: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=us)


def test_nothing_is_told_of_nothing(store: HttpStore, tables: ClickHouse, unit: SlaUnit) -> None:
    told(store, unit)
    assert reads.budgets(tables) == ()
    assert reads.summary(tables) == reads.Summary({}, None)
    assert freeze_reads.freezes(tables) == freeze_reads.policies(tables) == ()
    assert freeze_reads.held_tickets(tables) == {}


def test_budgets_are_listed_the_least_left_first_and_narrowed(
    store: HttpStore, tables: ClickHouse, unit: SlaUnit
) -> None:
    for slo_id, service in (
        ("shop", "shop"),
        ("cart", "shop"),
        ("mail", "mail"),
        ("new", "mail"),
        ("gone", ""),
    ):
        define(unit, slo_id, service or "gone")
    count(unit, "shop", 91, 100)
    count(unit, "cart", 100, 100)
    count(unit, "cart", 0, 100, "eu")
    count(unit, "mail", 97, 100)
    count(unit, "gone", 0, 100)
    unit.pass_time(90)
    count(unit, "mail", 97, 100)  # a later look counts, not the first
    unit.pass_time(90)
    unit.handle(RemoveSlo("gone"))
    told(store, unit)
    found = reads.budgets(tables)
    names = [(each.slo_id, each.dimension, each.status) for each in found]
    assert names == [
        ("cart", "eu", "EXHAUSTED"),
        ("shop", "", "CRITICAL"),
        ("mail", "", "HEALTHY"),
        ("cart", "", "HEALTHY"),
        ("new", "", ""),
    ]
    mail = found[2]
    assert (mail.good, mail.valid, mail.budget_consumed) == (194, 200, 6)
    assert mail.budget_total == pytest.approx(20)
    assert mail.rate("1h") == pytest.approx(0.3)
    assert mail.rate("nothing") is None
    assert mail.exhausted_at is None, "at this rate it lasts"
    assert found[0].exhausted_at == found[0].upto
    assert found[4].upto is None and found[4].rate("1h") is None
    assert [each.slo_id for each in reads.budgets(tables, service="mail")] == ["mail", "new"]
    assert [each.slo_id for each in reads.budgets(tables, status="CRITICAL")] == ["shop"]
    assert {each.slo_id for each in reads.budgets(tables, text="CAR")} == {"cart"}
    assert len(reads.budgets(tables, most=2)) == 2
    summary = reads.summary(tables)
    assert summary.statuses == {"EXHAUSTED": 1, "CRITICAL": 1, "HEALTHY": 2, "": 1}
    assert summary.total == 5
    assert summary.average_remaining == pytest.approx((-9 + 0.1 + 0.7 + 1) / 4)
    assert summary.looked_at() == BudgetSummary(4, 2, 0, 1, 1, summary.average_remaining or 0)
    assert reads.summary(tables, "mail").statuses == {"HEALTHY": 1, "": 1}
    assert reads.summary(tables, "nobodys").looked_at() == BudgetSummary(0, 0, 0, 0, 0, 0)


def test_a_budget_by_itself_is_as_the_list_has_it(
    store: HttpStore, tables: ClickHouse, unit: SlaUnit
) -> None:
    define(unit, "shop", "shop")
    for good in (91, 100, 80):
        count(unit, "shop", good, 100)
        count(unit, "shop", good - 1, 100, "eu")
        unit.pass_time(90)
    told(store, unit)
    for listed in reads.budgets(tables):
        found = reads.budget(tables, listed.slo_id, listed.dimension)
        assert found is not None and found.upto == listed.upto
        for name in ("budget_id", "status", "level", "remaining", "good", "valid", "budget_consumed"):
            assert getattr(found, name) == getattr(listed, name)
        assert found.burn_6h == listed.rate("6h")
        burns = reads.burn_rates(tables, found)
        assert {window.window: window.burn_rate for window in burns.windows}["6h"] == found.burn_6h
        (newest, *_), following = reads.looks(tables, found.budget_id, 0, 1)
        assert newest == found and following == found.version
        assert reads.looks(tables, found.budget_id, following, 1)[0][0].version < found.version
    assert reads.budget(tables, "shop", "us") is None


def test_the_course_of_a_budget(store: HttpStore, tables: ClickHouse, unit: SlaUnit) -> None:
    define(unit, "shop", "shop")
    unit.handle(DefineFreezePolicy("careful", POLICY))
    count(unit, "shop", 91, 100)
    unit.pass_time(90)
    minute = minute_of(unit.now) - 2 * MINUTE
    wrong = AdjustBudget(
        "shop", "c1", AdjustmentKind.CORRECT, minute, minute + MINUTE, "a probe failed", good=0
    )
    count(unit, "shop", 1_000, 1_000)
    unit.pass_time(90)
    unit.handle(msgspec.structs.replace(wrong, valid=1, good=1))
    unit.pass_time(600)
    count(unit, "shop", 0, 1_000)
    unit.pass_time(90)
    told(store, unit)
    (info,) = reads.budgets(tables)
    assert info.starts_at is not None and info.upto is not None
    course = reads.history(tables, info.budget_id, info.starts_at, info.upto, points=100_000)
    assert course[0].remaining == pytest.approx(0.1)
    assert course[-1].remaining == info.remaining < 0
    assert course[-1].upto == info.upto
    assert course[-1].burn_1h == info.rate("1h")
    assert [look.upto for look in course] == sorted({look.upto for look in course})
    (last,) = reads.history(tables, info.budget_id, info.starts_at, info.upto, points=1)[-1:]
    assert last.remaining == info.remaining, "of many looks the last one of each part"
    kinds = [(each.event_type, each.kind) for each in reads.violations(tables, info.budget_id)]
    assert ("ViolationOpened", "EXHAUSTED") in kinds
    (adjusted,), _ = reads.adjustments(tables, info.budget_id, 0, 10)
    assert (adjusted.kind, adjusted.reason, adjusted.valid) == ("CORRECT", "a probe failed", 1)
    (over,) = freeze_reads.frozen_times(tables, info.budget_id, info.starts_at)
    assert over[0] < over[1] <= at(unit.now)
    (freeze,) = freeze_reads.freezes(tables, budget_id=BUDGET_ID)
    assert (freeze.freeze_id, freeze.status, freeze.slo_id) == (FREEZE_ID, "ACTIVE", "shop")
    assert freeze.activated_at is not None and freeze.activated_at > over[1]


def test_freezes_that_hold_those_that_are_over_and_policies(
    store: HttpStore, tables: ClickHouse, unit: SlaUnit
) -> None:
    for name in ("careful", "old"):
        unit.handle(DefineFreezePolicy(name, msgspec.structs.replace(POLICY, policy_id=name)))
        unit.handle(FreezeByHand(name, "launch day"))
    unit.pass_time(60)
    unit.handle(ResolveFreeze(freeze_id_of("old", BY_HAND), "old", "it went well"))
    unit.handle(RemoveFreezePolicy("old"))
    told(store, unit)
    (active,) = freeze_reads.freezes(tables)
    assert (active.policy_id, active.slo_id, active.actions) == ("careful", "", ("BLOCK_DEPLOY",))
    both = {each.policy_id: each for each in freeze_reads.freezes(tables, only_active=False)}
    assert both["old"].status == "RESOLVED" and both["old"].duration_ms == 60_000
    (policy,) = freeze_reads.policies(tables)
    assert (policy.policy_id, policy.trigger_percent, policy.enabled) == ("careful", 20, True)
