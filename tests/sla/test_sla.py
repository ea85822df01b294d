"""The system: what is defined, counted and corrected, and what follows from it."""

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from neural_hive.aggregates.aggregate import Rejected
from neural_hive.aggregates.budget import (
    BUDGET_AGGREGATE,
    OTHERS,
    POLLED,
    AdjustmentKind,
    BudgetAdjusted,
    BudgetEvaluated,
    Counted,
    SliCounted,
    budget_id_of,
    live_of,
    minute_of,
)
from neural_hive.aggregates.burn import Counts, Level, Status
from neural_hive.aggregates.freeze import (
    BY_HAND,
    FREEZE,
    FreezeActivated,
    FreezeRearmed,
    FreezeResolved,
    Standing,
    freeze_id_of,
)
from neural_hive.aggregates.freeze_policy import Action, Policy, Scope
from neural_hive.aggregates.sla_window import DAY, HOUR, MINUTE
from neural_hive.aggregates.sli_source import Source
from neural_hive.aggregates.slo import SLO, Definition, Indicator, SloDefined, SloRemoved, SloType
from neural_hive.aggregates.violation import Kind, ViolationClosed, ViolationOpened
from neural_hive.streams.kernel.state import counter_key
from neural_hive.streams.sla import counting as sla_counting
from neural_hive.streams.sla.messages import (
    AdjustBudget,
    CountSli,
    DefineFreezePolicy,
    DefineSlo,
    FreezeByHand,
    RecalculateBudget,
    RemoveFreezePolicy,
    RemoveSlo,
    ResolveFreeze,
)
from neural_hive.streams.sla.system import build
from tests.sla.kernel_unit import SlaUnit

DEFINITION = Definition(
    "shop",
    "Tickets of the shop",
    SloType.AVAILABILITY,
    "shop",
    0.9,
    Indicator(Source.TICKETS, "status = 'COMPLETED'", "plan_id = 'shop'"),
    window_days=7,
)
EACH = msgspec.structs.replace(DEFINITION.indicator, group_by="plan_id")
POLICY = Policy("careful", "Careful", Scope.SERVICE, "shop", (Action.BLOCK_DEPLOY,), 20, 50)
BUDGET_ID = budget_id_of("shop", 1)
FREEZE_ID = freeze_id_of("careful", BUDGET_ID)


@pytest.fixture
def unit() -> Iterator[SlaUnit]:
    made = SlaUnit(build())
    yield made
    assert made.rows() == made.refolded_rows(), "the state is the fold of the log"
    made.close()


def counted(unit: SlaUnit, good: int, valid: int, ago: int = 0, measure: int = 1, **more: Any) -> list[Any]:
    at = minute_of(unit.now - ago)
    return unit.handle(CountSli("shop", measure, (Counted(at, good, valid),), "t:0:1-2", **more))


def budget(unit: SlaUnit) -> Any:
    return unit.state(BUDGET_AGGREGATE, BUDGET_ID)


def of_type(events: list[Any], kind: type[Any]) -> list[Any]:
    return [event for event in events if isinstance(event, kind)]


def test_what_is_counted_is_looked_at_after_its_minute(unit: SlaUnit) -> None:
    unit.handle(DefineSlo("shop", DEFINITION))
    counted(unit, 95, 100)
    events = unit.pass_time(90)
    (first, *_) = of_type(events, BudgetEvaluated)
    assert first.budget_total == pytest.approx(10)
    assert first.budget_consumed == 5
    assert first.remaining == 0.5
    assert (first.status, first.level) == (Status.HEALTHY, Level.NORMAL)
    assert first.upto % MINUTE == 0


def test_a_budget_that_is_gone_is_a_violation_until_it_has_recovered(unit: SlaUnit) -> None:
    unit.handle(DefineSlo("shop", DEFINITION))
    counted(unit, 0, 100)
    events = unit.pass_time(90)
    opened = {event.kind for event in of_type(events, ViolationOpened)}
    assert opened == {Kind.EXHAUSTED, Kind.BURN_FAST}  # 10 × the allowed rate: 6 is reached and 14.4 is not
    counted(unit, 5_000, 5_000)
    closed = of_type(unit.pass_time(600), ViolationClosed)
    assert {event.kind for event in closed} == {Kind.EXHAUSTED, Kind.BURN_FAST}
    assert all(event.duration_ms > 0 for event in closed)


def test_a_policy_freezes_and_lets_go_with_hysteresis(unit: SlaUnit) -> None:
    unit.handle(DefineSlo("shop", DEFINITION))
    unit.handle(DefineFreezePolicy("careful", POLICY))
    counted(unit, 91, 100)
    (frozen,) = of_type(unit.pass_time(90), FreezeActivated)
    assert frozen.freeze_id == FREEZE_ID
    assert (frozen.scope, frozen.subject, frozen.slo_id) == (Scope.SERVICE, "shop", "shop")
    assert frozen.remaining == pytest.approx(0.1)
    counted(unit, 50, 50)  # 40 % are left: more than 20, not more than 50
    assert of_type(unit.pass_time(90), FreezeResolved) == []
    counted(unit, 100, 100)  # 64 %
    (resolved,) = of_type(unit.pass_time(90), FreezeResolved)
    assert not resolved.by_hand
    assert resolved.duration_ms == 180_000
    assert of_type(unit.pass_time(90), FreezeActivated) == []


def test_who_ends_a_freeze_ends_it_until_the_budget_has_recovered(unit: SlaUnit) -> None:
    unit.handle(DefineSlo("shop", DEFINITION))
    unit.handle(DefineFreezePolicy("careful", POLICY))
    counted(unit, 91, 100)
    unit.pass_time(90)
    with pytest.raises(Rejected, match="reason"):
        unit.handle(ResolveFreeze(FREEZE_ID, "shop", " "))
    (resolved,) = unit.handle(ResolveFreeze(FREEZE_ID, "shop", "the fix must go out"))
    assert resolved.by_hand
    assert unit.state(FREEZE, FREEZE_ID).standing is Standing.OVERRIDDEN
    assert of_type(unit.pass_time(300), FreezeActivated) == []
    counted(unit, 1_000, 1_000)
    assert of_type(unit.pass_time(90), FreezeRearmed)
    counted(unit, 0, 1_000)
    assert of_type(unit.pass_time(90), FreezeActivated)


def test_a_freeze_ends_with_its_policy(unit: SlaUnit) -> None:
    unit.handle(DefineSlo("shop", DEFINITION))
    unit.handle(DefineFreezePolicy("careful", POLICY))
    counted(unit, 91, 100)
    unit.pass_time(90)
    unit.handle(RemoveFreezePolicy("careful"))
    (resolved,) = of_type(unit.pass_time(90), FreezeResolved)
    assert "no longer" in resolved.reason


def test_a_freeze_that_was_ended_by_hand_is_forgotten_with_its_policy(unit: SlaUnit) -> None:
    unit.handle(DefineSlo("shop", DEFINITION))
    unit.handle(DefineFreezePolicy("careful", POLICY))
    counted(unit, 91, 100)
    unit.pass_time(90)
    unit.handle(ResolveFreeze(FREEZE_ID, "shop", "the fix must go out"))
    unit.handle(RemoveFreezePolicy("careful"))
    assert of_type(unit.pass_time(90), FreezeRearmed)
    assert of_type(unit.pass_time(90), FreezeRearmed) == []
    unit.handle(DefineFreezePolicy("careful", POLICY, revision=1))
    assert of_type(unit.pass_time(90), FreezeActivated)


def test_what_another_policy_has_frozen_stays_frozen(unit: SlaUnit) -> None:
    unit.handle(DefineSlo("shop", DEFINITION))
    for name in ("careful", "another"):
        unit.handle(DefineFreezePolicy(name, msgspec.structs.replace(POLICY, policy_id=name)))
    counted(unit, 91, 100)
    assert len(of_type(unit.pass_time(90), FreezeActivated)) == 2
    unit.handle(RemoveFreezePolicy("careful"))
    (resolved,) = of_type(unit.pass_time(90), FreezeResolved)
    assert resolved.policy_id == "careful"
    assert unit.state(FREEZE, freeze_id_of("another", BUDGET_ID)).standing is Standing.ACTIVE


def test_policies_that_were_removed_take_no_place(unit: SlaUnit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("neural_hive.streams.sla.system.POLICIES_MAX", 2)
    for number in range(5):
        name = f"policy-{number}"
        unit.handle(DefineFreezePolicy(name, msgspec.structs.replace(POLICY, policy_id=name)))
        if number != 3:
            unit.handle(RemoveFreezePolicy(name))
            assert unit.handle(RemoveFreezePolicy(name)) == []
    unit.handle(DefineFreezePolicy("careful", POLICY))
    with pytest.raises(Rejected, match="no more"):
        unit.handle(DefineFreezePolicy("another", msgspec.structs.replace(POLICY, policy_id="another")))
    assert unit.policies.keys() == {"policy-3", "careful"}


def test_what_never_was_is_not_removed(unit: SlaUnit) -> None:
    with pytest.raises(Rejected, match="no such SLO"):
        unit.handle(RemoveSlo("shop"))
    with pytest.raises(Rejected, match="no such policy"):
        unit.handle(RemoveFreezePolicy("careful"))


def test_a_freeze_ends_with_its_slo(unit: SlaUnit) -> None:
    unit.handle(DefineSlo("shop", DEFINITION))
    unit.handle(DefineFreezePolicy("careful", POLICY))
    counted(unit, 91, 100)
    unit.pass_time(90)
    assert of_type(unit.handle(RemoveSlo("shop")), SloRemoved)
    assert of_type(unit.pass_time(90), FreezeResolved)
    assert counted(unit, 1, 1) == []


def test_a_freeze_by_hand(unit: SlaUnit) -> None:
    with pytest.raises(Rejected, match="no policy"):
        unit.handle(FreezeByHand("careful", "launch day"))
    unit.handle(DefineFreezePolicy("careful", POLICY))
    (frozen,) = unit.handle(FreezeByHand("careful", "launch day"))
    assert unit.handle(FreezeByHand("careful", "launch day")) == []
    assert frozen.slo_id == "" and frozen.reason == "launch day"
    name = freeze_id_of("careful", BY_HAND)
    assert unit.state(FREEZE, name).blocks(Action.BLOCK_DEPLOY, "shop", "")
    assert not unit.state(FREEZE, name).blocks(Action.BLOCK_DEPLOY, "other", "")
    assert not unit.state(FREEZE, name).blocks(Action.BLOCK_SCALE, "shop", "")
    unit.handle(ResolveFreeze(name, "careful", "it went well"))
    assert unit.state(FREEZE, name).standing is Standing.RESOLVED
    assert unit.handle(FreezeByHand("careful", "another one"))


def test_what_is_measured_in_another_way_counts_anew(unit: SlaUnit) -> None:
    unit.handle(DefineSlo("shop", DEFINITION))
    counted(unit, 1, 100)
    unit.pass_time(90)
    other = msgspec.structs.replace(
        DEFINITION, indicator=Indicator(Source.TICKETS, "status != 'FAILED'", "plan_id = 'shop'")
    )
    (defined,) = unit.handle(DefineSlo("shop", other, revision=1))
    assert (defined.revision, defined.measure) == (2, 2)
    assert counted(unit, 1, 100) == []  # still by the old way
    assert of_type(counted(unit, 100, 100, measure=2), SliCounted)
    assert of_type(unit.pass_time(90), ViolationClosed)  # those of the old budget
    assert unit.state(BUDGET_AGGREGATE, budget_id_of("shop", 2)).remaining == 1


def test_another_target_reads_the_same_counts(unit: SlaUnit) -> None:
    unit.handle(DefineSlo("shop", DEFINITION))
    counted(unit, 95, 100)
    unit.pass_time(90)
    strict = msgspec.structs.replace(DEFINITION, target=0.99)
    (defined,) = unit.handle(DefineSlo("shop", strict, revision=1))
    assert (defined.revision, defined.measure) == (2, 1)
    (evaluated, *_) = of_type(unit.handle(RecalculateBudget("shop")), BudgetEvaluated)
    assert evaluated.remaining == pytest.approx(-4)
    assert evaluated.revision == 2


def test_an_old_revision_is_not_revised(unit: SlaUnit) -> None:
    unit.handle(DefineSlo("shop", DEFINITION))
    with pytest.raises(Rejected, match="not the newest"):
        unit.handle(DefineSlo("shop", msgspec.structs.replace(DEFINITION, target=0.5)))
    assert unit.handle(DefineSlo("shop", DEFINITION, revision=1)) == []
    assert unit.state(SLO, "shop").revision == 1


def test_maintenance_is_excluded_and_counts_again(unit: SlaUnit) -> None:
    unit.handle(DefineSlo("shop", DEFINITION))
    counted(unit, 0, 100)
    counted(unit, 100, 100, ago=2 * HOUR)
    unit.pass_time(90)
    assert budget(unit).remaining == pytest.approx(-4)
    hour = unit.now // HOUR * HOUR
    away = AdjustBudget("shop", "m1", AdjustmentKind.EXCLUDE, hour, hour + HOUR, "the database was moved")
    (adjusted,) = unit.handle(away)
    assert adjusted.found == (Counted(minute_of(unit.now - 90_000_000), 0, 100),)
    unit.handle(RecalculateBudget("shop"))
    unit.pass_time(90)
    assert budget(unit).remaining == 1
    counted(unit, 0, 7)  # it comes late, and is excluded too
    unit.pass_time(90)
    assert budget(unit).sums["budget"] == Counts(100, 100)
    (lifted,) = unit.handle(AdjustBudget("shop", "m1", AdjustmentKind.LIFT, 0, 0, "it was no maintenance"))
    assert isinstance(lifted, BudgetAdjusted)
    unit.pass_time(90)
    assert budget(unit).sums["budget"] == Counts(100, 207)


def test_counts_are_corrected(unit: SlaUnit) -> None:
    unit.handle(DefineSlo("shop", DEFINITION))
    counted(unit, 80, 100)
    unit.pass_time(90)
    minute = minute_of(unit.now - 90_000_000)
    wrong = AdjustBudget(
        "shop", "c1", AdjustmentKind.CORRECT, minute, minute + MINUTE, "probes failed", good=30
    )
    with pytest.raises(Rejected, match="110 good of 100"):
        unit.handle(wrong)
    unit.handle(msgspec.structs.replace(wrong, good=15))
    assert budget(unit).sums["budget"] == Counts(95, 100)
    unit.pass_time(90)
    assert budget(unit).remaining == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("starts_at", "ends_at", "why"),
    [
        (1, MINUTE, "full minute"),
        (0, 0, "at least a minute"),
        (0, 8 * DAY, "at least a minute"),
        (20 * HOUR + MINUTE, 21 * HOUR, "full hour"),
    ],
)
def test_what_can_not_be_excluded(unit: SlaUnit, starts_at: int, ends_at: int, why: str) -> None:
    unit.handle(DefineSlo("shop", DEFINITION))
    counted(unit, 1, 1)
    begin = unit.now // DAY * DAY - 6 * DAY
    wanted = AdjustBudget("shop", "m", AdjustmentKind.EXCLUDE, begin + starts_at, begin + ends_at, "because")
    with pytest.raises(Rejected, match=why):
        unit.handle(wanted)
    with pytest.raises(Rejected, match="reason"):
        unit.handle(msgspec.structs.replace(wanted, reason=""))


def test_a_minute_that_a_server_was_asked_for_counts_once(unit: SlaUnit) -> None:
    unit.handle(DefineSlo("shop", DEFINITION))
    first = minute_of(unit.now) - 100 * MINUTE

    def ask(number: int, good: int, valid: int) -> list[Any]:
        minute = first + number * MINUTE
        return unit.handle(CountSli("shop", 1, (Counted(minute, good, valid),), f"{POLLED}{number}"))

    for number in range(40):
        assert of_type(ask(number, 9, 10), SliCounted)
    for number in (
        0,
        20,
        39,
    ):  # who asks too could not know it yet; more than an aggregate remembers lies between
        assert ask(number, 9, 10) == []
    assert of_type(ask(41, 9, 10), SliCounted), "a minute without an answer is left out"
    assert ask(40, 9, 10) == [], "and stays so"
    assert of_type(counted(unit, 1, 1, ago=60 * MINUTE), SliCounted), (
        "what the hive counts itself has no order"
    )
    last = of_type(unit.pass_time(90), BudgetEvaluated)[-1]
    assert {s.window: (s.good, s.valid) for s in last.sums}["6h"] == (9 * 41 + 1, 411)


def test_dimensions_have_budgets_of_their_own(unit: SlaUnit) -> None:
    unit.handle(DefineSlo("shop", DEFINITION))
    counted(unit, 0, 10, dimension="eu")
    counted(unit, 10, 10, dimension="us")
    unit.pass_time(90)
    eu, us = (unit.state(BUDGET_AGGREGATE, budget_id_of("shop", 1, name)) for name in ("eu", "us"))
    assert (eu.status, us.status) == (Status.EXHAUSTED, Status.HEALTHY)


def test_nothing_is_kept_of_a_budget_that_has_emptied(unit: SlaUnit) -> None:
    unit.handle(DefineSlo("shop", DEFINITION))
    counted(unit, 9, 10)
    counted(unit, 9, 10, ago=5 * DAY)
    unit.pass_time(11 * 86_400)
    assert not [key for key in unit.rows() if b"sli:" in key]
    assert BUDGET_AGGREGATE.timers(budget(unit)) == {}
    assert of_type(counted(unit, 1, 1), SliCounted)  # and it goes on


def test_a_definition_has_an_event_of_its_own_on_the_wire(unit: SlaUnit) -> None:
    rich = msgspec.structs.replace(DEFINITION, labels={"team": "a"}, layer="api", description="…")
    (defined,) = unit.handle(DefineSlo("shop", rich))
    assert isinstance(defined, SloDefined)
    assert unit.state(SLO, "shop").definition == rich


def test_a_field_with_many_values_has_so_many_budgets_and_one_for_the_rest(
    unit: SlaUnit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sla_counting, "DIMENSIONS_MAX", 2)
    unit.handle(DefineSlo("shop", msgspec.structs.replace(DEFINITION, indicator=EACH)))
    for number in range(5):
        counted(unit, 1, 1, dimension=f"plan-{number}")
    counted(unit, 0, 1, dimension="plan-0")
    names = {event.dimension for event in of_type(unit.pass_time(90), BudgetEvaluated)}
    assert names == {"plan-0", "plan-1", OTHERS}
    rest = unit.state(BUDGET_AGGREGATE, budget_id_of("shop", 1, OTHERS))
    assert rest.sums["budget"] == Counts(3, 3)
    assert unit.state(BUDGET_AGGREGATE, budget_id_of("shop", 1, "plan-0")).sums["budget"] == Counts(1, 2)


def test_budgets_that_hold_nothing_any_more_make_room(unit: SlaUnit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sla_counting, "DIMENSIONS_MAX", 2)
    unit.handle(DefineSlo("shop", msgspec.structs.replace(DEFINITION, indicator=EACH, window_days=1)))
    for name in ("plan-0", "plan-1"):
        counted(unit, 1, 1, dimension=name)
    assert unit.fold.count(counter_key(live_of("shop", 1))) == 2
    unit.pass_time(5 * 86_400)
    assert unit.fold.count(counter_key(live_of("shop", 1))) == 0
    for name in ("another", "plan-0"):
        counted(unit, 1, 1, dimension=name)
    assert unit.state(BUDGET_AGGREGATE, budget_id_of("shop", 1, OTHERS)) is None
    assert unit.fold.count(counter_key(live_of("shop", 1))) == 2
