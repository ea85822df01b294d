"""Composite SLOs: they have what their parts have, whatever becomes of it."""

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from neural_hive.aggregates.aggregate import Rejected
from neural_hive.aggregates.budget import (
    BUDGET_AGGREGATE,
    POLLED,
    AdjustmentKind,
    BudgetEvaluated,
    Counted,
    budget_id_of,
    minute_of,
)
from neural_hive.aggregates.burn import Counts
from neural_hive.aggregates.composite import BadWeights, whole_weights
from neural_hive.aggregates.sla_window import DAY, HOUR, MINUTE
from neural_hive.aggregates.sli_source import Source
from neural_hive.aggregates.slo import Definition, Indicator, Part, SloType
from neural_hive.aggregates.slo_part import COMPOSITES_MAX, SLO_PART, Join
from neural_hive.streams.sla.messages import (
    AdjustBudget,
    CountSli,
    DefineSlo,
    JoinComposite,
    RecalculateBudget,
    RemoveSlo,
)
from neural_hive.streams.sla.system import build
from tests.sla.kernel_unit import SlaUnit

TICKETS = Indicator(Source.TICKETS, "status = 'COMPLETED'")
CART = Definition("cart", "Cart", SloType.AVAILABILITY, "cart", 0.9, TICKETS, window_days=7)
PAY = msgspec.structs.replace(CART, slo_id="pay")


def composite(*parts: Part, **more: Any) -> Definition:
    made = Indicator(Source.COMPOSITE, parts=parts)
    return msgspec.structs.replace(CART, **{"slo_id": "shop", "indicator": made, **more})


SHOP = composite(Part("cart"), Part("pay", 3))


@pytest.fixture
def unit() -> Iterator[SlaUnit]:
    made = SlaUnit(build())
    made.handle(DefineSlo("cart", CART))
    made.handle(DefineSlo("pay", PAY))
    yield made
    assert made.rows() == made.refolded_rows(), "the state is the fold of the log"
    made.close()


def defines(unit: SlaUnit, definition: Definition, revision: int = 0) -> None:
    unit.handle(DefineSlo(definition.slo_id, definition, revision))
    unit.deliver()


def counted(unit: SlaUnit, slo_id: str, good: int, valid: int, ago: int = 0, measure: int = 1) -> None:
    counts = (Counted(minute_of(unit.now - ago), good, valid),)
    unit.handle(CountSli(slo_id, measure, counts, "t:0:1"))
    unit.deliver()


def adjusted(unit: SlaUnit, slo_id: str, kind: AdjustmentKind, name: str, ago: int, **more: Any) -> None:
    at = minute_of(unit.now - ago)
    unit.handle(AdjustBudget(slo_id, name, kind, at, at + MINUTE, "so it is", **more))
    unit.deliver()


def held(unit: SlaUnit, slo_id: str = "shop", measure: int = 1) -> Counts:
    """What a budget holds, once somebody looks."""
    unit.pass_time(75)
    if unit.state(BUDGET_AGGREGATE, budget_id_of(slo_id, measure)) is None:
        return Counts()
    unit.handle(RecalculateBudget(slo_id))
    found: Counts = unit.state(BUDGET_AGGREGATE, budget_id_of(slo_id, measure)).sums["budget"]
    return found


def test_each_event_of_a_part_counts_as_its_weight_says(unit: SlaUnit) -> None:
    defines(unit, SHOP)
    counted(unit, "cart", 8, 10)
    counted(unit, "pay", 1, 2)
    assert held(unit) == Counts(8 + 3, 10 + 6)
    (source, *_) = [
        e.source for e in unit.handle(CountSli("pay", 1, (Counted(minute_of(unit.now), 0, 1),), "t:0:9"))
    ]
    (told,) = unit.sent
    assert (source, told.source, told.counts[0].valid) == ("t:0:9", "part:pay:t:0:9", 3)
    unit.deliver()


def test_what_parts_have_counted_before_counts_too(unit: SlaUnit) -> None:
    counted(unit, "cart", 8, 10, ago=2 * HOUR)
    counted(unit, "pay", 4, 4, ago=5 * DAY)  # known by its hour
    unit.pass_time(75)
    defines(unit, SHOP)
    assert held(unit) == Counts(8 + 12, 10 + 12)
    window = unit.state(BUDGET_AGGREGATE, "shop@1")
    assert window.sums["3d"] == Counts(8, 10)


def test_a_part_that_was_told_twice_counts_once(unit: SlaUnit) -> None:
    defines(unit, SHOP)
    message = CountSli("cart", 1, (Counted(minute_of(unit.now), 1, 2),), "t:0:1")
    for _ in range(2):
        unit.handle(message, "the same id")
        unit.deliver()
    assert held(unit) == Counts(1, 2)


def test_corrections_and_exclusions_of_parts_are_followed(unit: SlaUnit) -> None:
    defines(unit, SHOP)
    counted(unit, "cart", 5, 10, ago=10 * MINUTE)
    counted(unit, "pay", 5, 10, ago=10 * MINUTE)
    unit.pass_time(75)
    began = minute_of(unit.now) - 12 * MINUTE
    away = AdjustBudget("pay", "x", AdjustmentKind.EXCLUDE, began, began + 5 * MINUTE, "it was moved")
    unit.handle(away)
    unit.deliver()
    assert held(unit) == Counts(5, 10)
    late = (Counted(began + MINUTE, 1, 1), Counted(began + 7 * MINUTE, 2, 2))
    unit.handle(CountSli("pay", 1, late, "t:0:2"))
    unit.deliver()
    assert held(unit) == Counts(5 + 6, 10 + 6), "what is late in an excluded time does not count"
    unit.handle(AdjustBudget("pay", "x", AdjustmentKind.LIFT, 0, 0, "it was not"))
    unit.deliver()
    assert held(unit) == Counts(5 + 3 * 8, 10 + 3 * 13)
    adjusted(unit, "cart", AdjustmentKind.CORRECT, "c", 20 * MINUTE, good=-0, valid=4)
    assert held(unit) == Counts(5 + 24, 14 + 39)


def test_a_composite_has_corrections_of_its_own(unit: SlaUnit) -> None:
    defines(unit, SHOP)
    counted(unit, "cart", 5, 10, ago=10 * MINUTE)
    unit.pass_time(75)
    began = minute_of(unit.now) - 15 * MINUTE
    unit.handle(AdjustBudget("shop", "x", AdjustmentKind.EXCLUDE, began, began + 10 * MINUTE, "a test"))
    unit.handle(AdjustBudget("cart", "y", AdjustmentKind.EXCLUDE, began, began + 10 * MINUTE, "a test"))
    unit.deliver()
    assert held(unit) == Counts()
    unit.handle(AdjustBudget("shop", "x", AdjustmentKind.LIFT, 0, 0, "no test"))
    assert held(unit) == Counts(), "the part excludes it still"
    unit.handle(AdjustBudget("cart", "y", AdjustmentKind.LIFT, 0, 0, "no test"))
    unit.deliver()
    assert held(unit) == Counts(5, 10)


def test_windows_differ(unit: SlaUnit) -> None:
    defines(unit, composite(Part("cart"), Part("pay"), window_days=1))
    defines(unit, composite(Part("cart"), Part("pay"), window_days=30, slo_id="all"))
    counted(unit, "cart", 1, 2, ago=3 * DAY)
    counted(unit, "cart", 4, 4)
    assert held(unit) == Counts(4, 4)
    assert held(unit, "all") == Counts(5, 6)
    unit.pass_time(8 * DAY // 1_000_000)
    assert held(unit, "cart") == Counts()
    assert held(unit, "all") == Counts(5, 6), "its window is longer"


def test_other_weights_count_anew_with_all_that_parts_know(unit: SlaUnit) -> None:
    defines(unit, SHOP)
    counted(unit, "cart", 8, 10)
    counted(unit, "pay", 1, 2)
    defines(unit, composite(Part("cart", 0.5), Part("pay", 0.25)), revision=1)
    assert held(unit, measure=2) == Counts(16 + 1, 20 + 2)
    counted(unit, "cart", 1, 1)
    assert held(unit, measure=2) == Counts(19, 24)
    assert unit.state(BUDGET_AGGREGATE, "shop@1").sums["budget"] == Counts(11, 16), "it only drains"


def test_another_target_goes_on(unit: SlaUnit) -> None:
    defines(unit, SHOP)
    counted(unit, "cart", 8, 10)
    defines(unit, msgspec.structs.replace(SHOP, target=0.5), revision=1)
    counted(unit, "cart", 1, 1)
    assert held(unit) == Counts(9, 11)


def test_a_part_that_counts_anew_takes_back_what_it_had_told(unit: SlaUnit) -> None:
    defines(unit, SHOP)
    counted(unit, "cart", 8, 10, ago=MINUTE)
    counted(unit, "cart", 8, 10, ago=5 * DAY)
    counted(unit, "pay", 1, 1)
    other = msgspec.structs.replace(CART, indicator=Indicator(Source.TICKETS, "exit_code = 0"))
    defines(unit, other, revision=1)
    assert held(unit) == Counts(3, 3)
    counted(unit, "cart", 1, 2, measure=2)
    assert held(unit) == Counts(4, 5)


def test_a_part_that_is_left_out_tells_nothing_more(unit: SlaUnit) -> None:
    defines(unit, msgspec.structs.replace(CART, slo_id="web"))
    defines(unit, composite(Part("cart"), Part("pay"), Part("web")))
    defines(unit, SHOP, revision=1)
    counted(unit, "web", 1, 1)
    assert unit.state(SLO_PART, "web").shares == {}
    assert held(unit, measure=2) == Counts()
    unit.handle(RemoveSlo("web"))


def test_a_part_cannot_be_removed_but_after_the_composite(unit: SlaUnit) -> None:
    defines(unit, SHOP)
    with pytest.raises(Rejected, match="cart is a part of shop: take it out of there first"):
        unit.handle(RemoveSlo("cart"))
    counted(unit, "cart", 1, 1)
    unit.handle(RemoveSlo("shop"))
    unit.deliver()
    unit.handle(RemoveSlo("cart"))
    counted(unit, "pay", 1, 1)
    assert unit.state(BUDGET_AGGREGATE, "shop@1").last_at > 0
    defines(unit, CART, revision=1)
    defines(unit, SHOP, revision=1)
    assert held(unit, measure=2) == Counts(3, 3), "of the parts that there are now"


def test_a_composite_that_is_not_enabled_misses_nothing(unit: SlaUnit) -> None:
    defines(unit, SHOP)
    defines(unit, msgspec.structs.replace(SHOP, enabled=False), revision=1)
    counted(unit, "cart", 1, 2, ago=20 * MINUTE)
    defines(unit, SHOP, revision=2)
    adjusted(unit, "cart", AdjustmentKind.EXCLUDE, "x", 20 * MINUTE)
    assert held(unit) == Counts()
    assert not [e for e in unit.pass_time(7_200) if isinstance(e, BudgetEvaluated) and e.remaining < 1]


@pytest.mark.parametrize(
    ("parts", "why"),
    [
        ((Part("cart"), Part("nobody")), "there is no SLO nobody: define it first"),
        ((Part("cart"), Part("both")), "both is composite itself: name its parts instead"),
        ((Part("cart"), Part("each")), "each has a budget for each service: name an SLO without group_by"),
        ((Part("cart"), Part("gone")), "there is no SLO gone"),
        ((Part("cart"), Part("shop")), "an SLO is no part of itself"),
        ((Part("cart"), Part("pay", 0.0000001)), "weights must be in a ratio of whole numbers"),
        ((Part("cart"), Part("pay", -1)), "weights must be above 0"),
    ],
)
def test_what_cannot_be_counted_is_refused(unit: SlaUnit, parts: tuple[Part, ...], why: str) -> None:
    each = msgspec.structs.replace(TICKETS, group_by="service")
    defines(unit, composite(Part("cart"), Part("pay"), slo_id="both"))
    defines(unit, msgspec.structs.replace(CART, slo_id="each", indicator=each))
    defines(unit, msgspec.structs.replace(CART, slo_id="gone"))
    unit.handle(RemoveSlo("gone"))
    with pytest.raises(Rejected, match=why):
        unit.handle(DefineSlo("shop", composite(*parts)))
    assert unit.sent == []


def test_a_part_stays_one_that_can_be_counted(unit: SlaUnit) -> None:
    defines(unit, SHOP)
    for indicator in (
        msgspec.structs.replace(TICKETS, group_by="service"),
        Indicator(Source.COMPOSITE, parts=(Part("pay"), Part("shop"))),
    ):
        with pytest.raises(Rejected, match="is a part of shop, and cannot be so"):
            unit.handle(DefineSlo("cart", msgspec.structs.replace(CART, indicator=indicator), 1))
    with pytest.raises(Rejected, match="there is no SLO web, of which shop is made"):
        unit.handle(JoinComposite("web", "shop", 1, 1))


def test_two_that_become_parts_of_each_other_at_once_count_nothing_twice(unit: SlaUnit) -> None:
    """Each is defined where the other's definition is not known yet: then the parts refuse."""
    unit.handle(DefineSlo("a", composite(Part("cart"), Part("pay"), slo_id="a")))
    unit.deliver()
    with pytest.raises(Rejected, match="a is composite itself"):
        unit.handle(JoinComposite("a", "b", 1, 1))


def test_an_slo_is_a_part_of_so_many_at_most() -> None:
    part = None
    for number in range(COMPOSITES_MAX):
        for event in SLO_PART.decide(part, Join("cart", f"c{number}", 1, 1, 0)):
            part = SLO_PART.evolve(part, event)
    with pytest.raises(Rejected, match="can be of no more"):
        SLO_PART.decide(part, Join("cart", "another", 1, 1, 0))
    assert SLO_PART.decide(part, Join("cart", "c1", 2, 5, 0)), "but anew"
    assert SLO_PART.decide(part, Join("cart", "c1", 1, 5, 0)) == [], "a repeat"


def test_counts_of_a_part_are_never_taken_for_those_of_a_server() -> None:
    assert not "part:promql".startswith(POLLED)


@pytest.mark.parametrize(
    ("weights", "whole"),
    [
        ((1.0, 1.0), (1, 1)),
        ((1, 3), (1, 3)),
        ((0.25, 0.75), (1, 3)),
        ((0.1, 0.2, 0.7), (1, 2, 7)),
        ((2, 4, 6), (1, 2, 3)),
        ((0.333, 0.667), (333, 667)),
        ((1e6, 1), (1_000_000, 1)),
    ],
)
def test_weights_are_a_ratio(weights: tuple[float, ...], whole: tuple[int, ...]) -> None:
    assert whole_weights(weights) == whole


def test_weights_that_nobody_can_count_with() -> None:
    with pytest.raises(BadWeights, match="3,333,333 : 6,666,667"):
        whole_weights((0.3333333, 0.6666667))
