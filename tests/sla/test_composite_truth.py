"""A composite SLO in three partitions, beside a computation that keeps every event of its parts."""

from collections import Counter, defaultdict
from typing import Any

from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from neural_hive.aggregates.budget import (
    BUDGET_AGGREGATE,
    AdjustmentKind,
    Budget,
    Counted,
    SliCounted,
    budget_id_of,
    hour_of,
    minute_of,
)
from neural_hive.aggregates.burn import Counts
from neural_hive.aggregates.sla_window import BURN_US, HOUR, MINUTE, budget_start
from neural_hive.aggregates.sli_source import Source
from neural_hive.aggregates.slo import SLO, Definition, Indicator, Part, SloType
from neural_hive.streams.sla.messages import (
    AdjustBudget,
    CountSli,
    DefineSlo,
    RecalculateBudget,
)
from neural_hive.streams.sla.system import build
from tests.sla.kernel_unit import SlaUnit

PARTS = ("cart", "pay")
WEIGHTS = ((1.0, 1.0), (0.25, 0.5), (3.0, 2.0))
HOME = {"cart": 0, "pay": 1, "shop": 2}
TICKETS = Indicator(Source.TICKETS, "status = 'COMPLETED'")


def definition(slo_id: str, indicator: Indicator, window_days: int = 7) -> Definition:
    return Definition(slo_id, slo_id, SloType.AVAILABILITY, "shop", 0.9, indicator, window_days=window_days)


class World:
    """Three partitions. What one sends another comes in its order, but when it likes."""

    def __init__(self) -> None:
        self.units = [SlaUnit(build()) for _ in HOME]
        self.happened: dict[str, list[tuple[int, Counts]]] = defaultdict(list)
        self.excluded: dict[str, dict[str, tuple[int, int]]] = defaultdict(dict)
        self.measures = Counter(dict.fromkeys(HOME, 0))
        self.weights = WEIGHTS[0]
        for name in PARTS:
            self.define(definition(name, TICKETS))

    def close(self) -> None:
        for unit in self.units:
            assert unit.rows() == unit.refolded_rows()
            unit.close()

    def handle(self, slo_id: str, message: Any) -> list[Any]:
        unit = self.units[HOME[slo_id]]
        unit.slos = {name: slo for each in self.units for name, slo in each.slos.items()}
        return unit.handle(message)

    def deliver(self, so_many: int = 1_000_000) -> None:
        """Lets messages come to those whom they are for."""
        for unit in self.units:
            for _ in range(min(so_many, len(unit.sent))):
                message = unit.sent.pop(0)
                self.handle(message.slo_id, message)

    def define(self, wanted: Definition) -> None:
        found = self.units[HOME[wanted.slo_id]].state(SLO, wanted.slo_id)
        self.handle(wanted.slo_id, DefineSlo(wanted.slo_id, wanted, found.revision if found else 0))
        self.measures[wanted.slo_id] = self.units[HOME[wanted.slo_id]].state(SLO, wanted.slo_id).measure

    def compose(self, weights: tuple[float, float]) -> None:
        self.weights = weights
        parts = tuple(Part(name, weight) for name, weight in zip(PARTS, weights, strict=True))
        self.define(definition("shop", Indicator(Source.COMPOSITE, parts=parts), 5))

    def budget(self, slo_id: str) -> Budget | None:
        found: Budget | None = self.units[HOME[slo_id]].state(
            BUDGET_AGGREGATE, budget_id_of(slo_id, self.measures[slo_id])
        )
        return found

    def count(self, slo_id: str, ago: int, good: int, valid: int) -> None:
        at = minute_of(self.units[0].now - ago)
        counts = (Counted(at, good, valid), Counted(at - MINUTE, valid, valid))
        for event in self.handle(slo_id, CountSli(slo_id, self.measures[slo_id], counts, "t:0:1")):
            if isinstance(event, SliCounted):
                self.happened[slo_id] += [(c.at, c.counts) for c in event.counts]

    def exclude(self, slo_id: str, starts_at: int, ends_at: int) -> None:
        budget = self.budget(slo_id)
        if budget is None or starts_at < budget.hours_from:
            return
        if starts_at < budget.minutes_from:
            starts_at, ends_at = hour_of(starts_at), hour_of(ends_at) + HOUR
        if any(a < ends_at and starts_at < b for a, b in self.excluded[slo_id].values()):
            return
        name = f"x{starts_at}"
        kind = AdjustmentKind.EXCLUDE
        self.handle(slo_id, AdjustBudget(slo_id, name, kind, starts_at, ends_at, "it was moved"))
        self.excluded[slo_id][name] = starts_at, ends_at

    def lift(self, slo_id: str) -> None:
        budget = self.budget(slo_id)
        if budget is None or not budget.exclusions:
            return
        name = budget.exclusions[0].adjustment_id
        self.handle(slo_id, AdjustBudget(slo_id, name, AdjustmentKind.LIFT, 0, 0, "it was not"))
        del self.excluded[slo_id][name]

    def correct(self, slo_id: str, ago: int, more: int) -> None:
        budget, at = self.budget(slo_id), minute_of(self.units[0].now - ago)
        if budget is None or at < budget.minutes_from or budget.is_excluded(at):
            return
        kind = AdjustmentKind.CORRECT
        self.handle(slo_id, AdjustBudget(slo_id, "c", kind, at, at + MINUTE, "so", good=0, valid=more))
        self.happened[slo_id].append((at, Counts(0, more)))

    def count_anew(self, slo_id: str) -> None:
        self.define(definition(slo_id, Indicator(Source.TICKETS, f"attempt = {self.measures[slo_id]}")))
        self.happened[slo_id], self.excluded[slo_id] = [], {}

    def pass_by(self, us: int) -> None:
        for unit in self.units:
            unit.pass_time(us / 1_000_000)

    def truth(self, start: int, end: int) -> Counts:
        """By looking at everything that the parts have."""
        total, smallest = Counts(), min(self.weights)
        for name, weight in zip(PARTS, self.weights, strict=True):
            whole = round(weight / smallest) if self.weights != WEIGHTS[2] else round(weight)
            for at, counts in self.happened[name]:
                away = any(a <= at < b for a, b in self.excluded[name].values())
                if start <= at < end and not away:
                    total += Counts(whole * counts.good, whole * counts.valid)
        return total

    def check(self) -> None:
        self.deliver()
        self.deliver()  # what was sent by what came
        assert not any(unit.sent for unit in self.units)
        if self.budget("shop") is None:
            return
        self.handle("shop", RecalculateBudget("shop"))
        budget = self.budget("shop")
        assert budget is not None and budget.terms is not None
        starts = {name: budget.upto - length for name, length in BURN_US.items()}
        starts["budget"] = budget_start(budget.terms.window_kind, budget.terms.window_days, budget.upto)
        for window, start in starts.items():
            assert budget.sums[window] == self.truth(start, budget.upto), window


names = st.sampled_from(PARTS)
minutes = st.sampled_from([0, 1, 3, 59, 61, 400, 4_310, 4_400, 6_900])
steps = st.lists(
    st.one_of(
        st.tuples(st.just("count"), names, minutes, st.integers(1, 9)),
        st.tuples(st.just("count"), names, st.sampled_from([3, 59, 60, 61]), st.integers(1, 9)),
        st.tuples(st.just("exclude"), names, minutes, st.integers(1, 300)),
        st.tuples(st.just("exclude"), names, st.sampled_from([61, 64]), st.integers(1, 300)),
        st.tuples(st.just("lift"), names, st.just(0), st.just(0)),
        st.tuples(st.just("correct"), names, minutes, st.integers(1, 5)),
        st.tuples(st.just("anew"), names, st.just(0), st.just(0)),
        st.tuples(st.just("compose"), st.just(""), st.integers(0, 2), st.just(0)),
        st.tuples(
            st.just("pass"), st.just(""), st.sampled_from([MINUTE, HOUR, 7 * HOUR, 26 * HOUR]), st.just(0)
        ),
        st.tuples(st.just("deliver"), st.just(""), st.integers(1, 3), st.just(0)),
        st.tuples(st.just("check"), st.just(""), st.just(0), st.just(0)),
    ),
    min_size=4,
    max_size=24,
)


@settings(deadline=None, max_examples=80, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(st.booleans(), steps)
def test_a_composite_has_what_its_parts_have(composed: bool, taken: list[tuple[str, str, int, int]]) -> None:
    world = World()
    if composed:
        world.compose(WEIGHTS[1])
        world.deliver()
    for name in PARTS:
        world.count(name, 60 * MINUTE, 1, 2)
    for what, name, amount, more in taken:
        match what:
            case "count":
                world.count(name, amount * MINUTE, more // 2, more)
            case "exclude":
                starts_at = minute_of(world.units[0].now - amount * MINUTE)
                world.exclude(name, starts_at, starts_at + more * MINUTE)
            case "lift":
                world.lift(name)
            case "correct":
                world.correct(name, amount * MINUTE, more)
            case "anew":
                world.count_anew(name)
            case "compose":
                world.compose(WEIGHTS[amount])
            case "pass":
                world.pass_by(amount)
            case "deliver":
                world.deliver(amount)
            case _:
                world.check()
    world.check()
    world.close()


def test_the_world_sees_a_composite_that_forgets_corrections() -> None:
    """Whether the comparison can fail at all."""
    world = World()
    world.compose(WEIGHTS[1])
    world.deliver()
    world.count("cart", MINUTE, 1, 2)
    world.check()
    world.happened["cart"].append((minute_of(world.units[0].now - HOUR), Counts(0, 1)))
    try:
        world.check()
    except AssertionError:
        return
    finally:
        world.close()
    raise AssertionError("it has seen nothing")
