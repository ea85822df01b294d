"""Budgets beside a computation that keeps every event and looks at all of them each time."""

from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from neural_hive.aggregates.aggregate import Rejected
from neural_hive.aggregates.budget import (
    AHEAD_US_MAX,
    BUDGET_AGGREGATE,
    LATENESS_US,
    Adjust,
    AdjustmentKind,
    Budget,
    Count,
    Counted,
    Place,
    SliCounted,
    Terms,
    budget_id_of,
    minute_of,
)
from neural_hive.aggregates.budget_reading import evaluation, standing
from neural_hive.aggregates.burn import Counts
from neural_hive.aggregates.sla_window import (
    BURN_US,
    DAY,
    HOUR,
    MINUTE,
    WindowKind,
    budget_start,
    reaches_further,
)

BEGIN = 20_000 * DAY
PLACE = Place(budget_id_of("shop", 1), "shop", "", 1)
TERMS = (
    Terms(1, 0.99, WindowKind.ROLLING, 7),
    Terms(2, 0.999, WindowKind.ROLLING, 5),
    Terms(3, 0.9, WindowKind.WEEK, 30),
    Terms(4, 0.9, WindowKind.DAY, 30),
)


class World:
    """A budget with its counters, as the kernel keeps them, and beside it all that ever happened."""

    def __init__(self, terms: Terms) -> None:
        self.terms = terms
        self.budget: Budget | None = None
        self.counters: Counter[str] = Counter()
        self.happened: list[tuple[int, Counts]] = []
        self.excluded: dict[str, tuple[int, int]] = {}
        self.now = BEGIN

    def execute(self, command: Count | Adjust | object) -> None:
        for event in BUDGET_AGGREGATE.decide(self.budget, command):
            before, self.budget = self.budget, BUDGET_AGGREGATE.evolve(self.budget, event)
            for name, change in BUDGET_AGGREGATE.counters(event, before, self.budget):
                self.counters[name] += change
                if not self.counters[name]:
                    del self.counters[name]
            if isinstance(event, SliCounted):
                self.happened += [(c.at, c.counts) for c in event.counts]

    def count(self, counts: Iterable[Counted]) -> None:
        self.execute(Count(PLACE, self.terms, tuple(counts), "test:0:0-1", self.now))

    def pass_by(self, until: int) -> None:
        """Timers fire at their due times, as they do in the kernel."""
        while self.budget and 0 < (due := BUDGET_AGGREGATE.timers(self.budget).get("evaluate", 0)) <= until:
            self.evaluate(due)
        self.now = until

    def evaluate(self, due: int) -> None:
        assert self.budget is not None
        upto = minute_of(due - LATENESS_US)
        self.execute(evaluation(self.budget, self.terms, upto, due, self.counters.__getitem__))

    def adjust(self, kind: AdjustmentKind, name: str, starts_at: int, ends_at: int) -> None:
        assert self.budget is not None
        is_lifted = kind is AdjustmentKind.LIFT
        found, hours = standing(self.budget, starts_at, ends_at, is_lifted, self.counters.__getitem__)
        self.execute(Adjust(name, kind, starts_at, ends_at, found, hours, 0, 0, "", "test", self.now))
        if is_lifted:
            del self.excluded[name]
        else:
            self.excluded[name] = (starts_at, ends_at)

    def truth(self, start: int, end: int) -> Counts:
        """By looking at everything."""
        total = Counts()
        for at, counts in self.happened:
            if start <= at < end and not any(a <= at < b for a, b in self.excluded.values()):
                total += counts
        return total

    def check(self) -> None:
        budget = self.budget
        if budget is None or not budget.upto:
            return
        assert budget.terms is not None
        starts = {name: budget.upto - length for name, length in BURN_US.items()}
        starts["budget"] = budget_start(budget.terms.window_kind, budget.terms.window_days, budget.upto)
        for window, start in starts.items():
            assert budget.sums[window] == self.truth(start, budget.upto), window


steps = st.lists(
    st.one_of(
        st.tuples(
            st.just("pass"), st.sampled_from([MINUTE, 7 * MINUTE, HOUR, 5 * HOUR, 26 * HOUR]), st.just(0)
        ),
        st.tuples(
            st.just("count"),
            st.sampled_from([0, 1, 3, 59, 61, 400, 4_400, 7_000]),  # minutes ago
            st.integers(1, 9),
        ),
        st.tuples(st.just("exclude"), st.integers(1, 3_000), st.integers(1, 600)),
        st.tuples(st.just("lift"), st.just(0), st.just(0)),
        st.tuples(st.just("terms"), st.integers(0, 3), st.just(0)),
    ),
    max_size=15,
)


@settings(deadline=None, max_examples=25, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(st.integers(0, 3), steps)
def test_sums_are_those_of_all_events(first: int, taken: list[tuple[str, int, int]]) -> None:
    world, number = World(TERMS[first]), 0
    for what, amount, more in taken:
        match what:
            case "pass":
                world.pass_by(world.now + amount)
            case "count":
                at = minute_of(world.now - amount * MINUTE)
                world.count([Counted(at, more // 2, more), Counted(at - MINUTE, more, more)])
            case "exclude" if world.budget is not None:
                starts_at = minute_of(world.now - amount * MINUTE)
                ends_at = starts_at + more * MINUTE
                if any(a < ends_at and starts_at < b for a, b in world.excluded.values()):
                    continue
                if starts_at >= world.budget.minutes_from:
                    number += 1
                    world.adjust(AdjustmentKind.EXCLUDE, f"x{number}", starts_at, ends_at)
            case "lift" if world.budget is not None and world.budget.exclusions:
                found = world.budget.exclusions[0]
                with suppress(
                    Rejected
                ):  # it shares an hour with another, and its minutes are not known any more
                    world.adjust(AdjustmentKind.LIFT, found.adjustment_id, found.starts_at, found.ends_at)
            case "terms" if not reaches_further(*_window(TERMS[amount]), *_window(world.terms)):
                world.terms = msgspec.structs.replace(TERMS[amount], revision=world.terms.revision + 1)
            case _:
                continue
        world.check()
    world.pass_by(world.now + 20 * DAY)
    world.check()
    if world.budget is not None:
        assert BUDGET_AGGREGATE.timers(world.budget) == {}  # nothing is left to look at
        assert not world.counters  # and nothing is kept of it


def _window(terms: Terms) -> tuple[WindowKind, int]:
    return terms.window_kind, terms.window_days


def test_what_is_too_old_or_not_yet_counts_nowhere_and_is_told() -> None:
    world = World(TERMS[0])
    world.count([Counted(BEGIN, 1, 2)])
    world.count([Counted(BEGIN - 40 * DAY, 5, 5), Counted(minute_of(BEGIN + AHEAD_US_MAX) + MINUTE, 3, 3)])
    world.count([Counted(BEGIN + MINUTE, 1, 1)])
    world.pass_by(BEGIN + 10 * MINUTE)
    assert world.budget is not None
    assert world.budget.sums["5m"] == Counts()
    assert world.budget.sums["1h"] == Counts(2, 3)
    (_, told) = BUDGET_AGGREGATE.decide(
        None, Count(PLACE, TERMS[0], (Counted(BEGIN - 40 * DAY, 5, 5),), "", BEGIN)
    )
    assert isinstance(told, SliCounted)
    assert told.uncounted == 5 and told.counts == ()


@pytest.mark.parametrize("hours", [0, 80])
def test_an_exclusion_of_whole_hours_reaches_back_to_where_minutes_are_not_known(hours: int) -> None:
    world = World(TERMS[0])
    world.count([Counted(BEGIN + minute * MINUTE, 0, 1) for minute in range(0, 180, 7)])
    world.pass_by(BEGIN + (4 + hours) * HOUR)
    world.adjust(AdjustmentKind.EXCLUDE, "x", BEGIN + HOUR, BEGIN + 2 * HOUR)
    world.check()
    world.pass_by(BEGIN + (5 + hours) * HOUR)
    world.check()
    world.adjust(AdjustmentKind.LIFT, "x", BEGIN + HOUR, BEGIN + 2 * HOUR)
    world.check()


@pytest.mark.parametrize("hours", [60, 76, 80, 150])
def test_an_exclusion_of_minutes_is_lifted_when_only_hours_are_known(hours: int) -> None:
    world = World(TERMS[0])
    world.pass_by(BEGIN + 5 * HOUR)
    world.count([Counted(BEGIN + minute * MINUTE, minute % 2, 1) for minute in range(0, 300, 7)])
    world.pass_by(BEGIN + 6 * HOUR)
    world.adjust(AdjustmentKind.EXCLUDE, "x", BEGIN + 80 * MINUTE, BEGIN + 200 * MINUTE)
    world.check()
    world.pass_by(BEGIN + hours * HOUR)
    world.adjust(AdjustmentKind.LIFT, "x", BEGIN + 80 * MINUTE, BEGIN + 200 * MINUTE)
    world.check()
    world.pass_by(BEGIN + (hours + 1) * HOUR)
    world.check()


def test_two_exclusions_of_one_hour_are_lifted_while_its_minutes_are_known() -> None:
    world = World(TERMS[0])
    world.pass_by(BEGIN + HOUR)
    world.count([Counted(BEGIN + minute * MINUTE, 0, 1) for minute in range(60)])
    world.pass_by(BEGIN + 2 * HOUR)
    times = {"x": (10, 20), "y": (30, 40)}
    for name, (begin, end) in times.items():
        world.adjust(AdjustmentKind.EXCLUDE, name, BEGIN + begin * MINUTE, BEGIN + end * MINUTE)
    world.adjust(AdjustmentKind.LIFT, "x", BEGIN + 10 * MINUTE, BEGIN + 20 * MINUTE)
    world.check()
    world.adjust(AdjustmentKind.EXCLUDE, "x", BEGIN + 10 * MINUTE, BEGIN + 20 * MINUTE)
    world.pass_by(BEGIN + 80 * HOUR)
    with pytest.raises(Rejected, match="shares an hour with the exclusion y"):
        world.adjust(AdjustmentKind.LIFT, "x", BEGIN + 10 * MINUTE, BEGIN + 20 * MINUTE)
    world.check()


@pytest.mark.parametrize("first", range(6))
@pytest.mark.parametrize("then", range(6))
@pytest.mark.parametrize(
    "begin", [(2024, 4, 1), (2027, 1, 1)]
)  # both begin a quarter, and the first one a week
def test_another_window_counts_what_is_known_or_anew(
    first: int, then: int, begin: tuple[int, int, int]
) -> None:
    was, wanted = WINDOWS[first], WINDOWS[then]
    at = int(datetime(*begin, tzinfo=UTC).timestamp()) * 1_000_000
    world = World(Terms(1, 0.9, *was))
    for hour in range(-40 * 24, 1, 5):
        world.now = at + hour * HOUR
        world.count([Counted(world.now, 1, 2)])
        world.evaluate(world.now + 2 * MINUTE)
    world.evaluate(at + 2 * HOUR)
    world.check()
    if not reaches_further(*wanted, *was):  # or it is counted anew
        world.terms = Terms(2, 0.9, *wanted)
        world.evaluate(at + 3 * HOUR)
        assert world.budget is not None and world.budget.terms == world.terms
        world.check()


WINDOWS = (
    (WindowKind.ROLLING, 3), (WindowKind.ROLLING, 7), (WindowKind.DAY, 30), (WindowKind.WEEK, 30),
    (WindowKind.MONTH, 30), (WindowKind.QUARTER, 30),
)  # fmt: skip
