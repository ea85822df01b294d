"""The workbook's worked examples on a budget with steady traffic (The Site Reliability Workbook, chapter 5).

An SLO of 99.9 % over 30 days. What the chapter says of constant error rates must be what a budget shows, minute by
minute: how much of it is gone, when each level is reached, and when it is over again.
"""

from collections.abc import Iterator

import pytest

from neural_hive.aggregates.budget import BUDGET, Budget, Counted, Terms
from neural_hive.aggregates.burn import Level, Status
from neural_hive.aggregates.sla_window import DAY, HOUR, MINUTE, WindowKind
from tests.sla.test_budget_truth import BEGIN, World

A_MINUTE = 10_000  # events
MONTH = Terms(1, 0.999, WindowKind.ROLLING, 30)


@pytest.fixture
def world() -> Iterator[World]:
    """Thirty days of traffic in which nothing went wrong."""
    made = World(MONTH)
    made.now = BEGIN
    old = [Counted(at, 60 * A_MINUTE, 60 * A_MINUTE) for at in range(BEGIN - 30 * DAY, BEGIN - 3 * DAY, HOUR)]
    made.count([*old, *(Counted(at, A_MINUTE, A_MINUTE) for at in range(BEGIN - 3 * DAY, BEGIN, MINUTE))])
    yield made
    made.check()


def minute(world: World, error_rate: float) -> Budget:
    """A minute more of traffic, and a look at its end."""
    bad = round(A_MINUTE * error_rate)
    world.count([Counted(world.now, A_MINUTE - bad, A_MINUTE)])
    world.now += MINUTE
    world.evaluate(world.now + 10_000_000)
    assert world.budget is not None and world.budget.upto == world.now
    return world.budget


def until(world: World, level: Level, error_rate: float, most: int = 400) -> int:
    """After how many minutes a level is reached."""
    for number in range(1, most):
        if minute(world, error_rate).level is level:
            return number
    raise AssertionError(f"{level} was not reached in {most} minutes")


# Detection time: an alert at burn rate b in a window w is raised after (1 - SLO) / error rate × w × b.
@pytest.mark.parametrize(
    ("level", "error_rate", "minutes"),
    [
        (Level.CRITICAL, 1.0, 1),  # 14.4 × 0.001 / 1 × 60 min = 52 s
        (Level.CRITICAL, 0.1, 9),  # 8.64 min
        (Level.CRITICAL, 0.05, 18),  # 17.28 min
        (Level.CRITICAL, 0.0144, 60),
        (Level.FAST, 0.01, 216),  # 6 × 0.001 / 0.01 × 360 min
        (Level.FAST, 0.006, 360),
    ],
)
def test_detection_times(world: World, level: Level, error_rate: float, minutes: int) -> None:
    assert until(world, level, error_rate) == minutes


def test_slower_burning_is_detected_within_a_day(world: World) -> None:
    """3 × 0.001 / 0.005 × 24 h = 14.4 h."""
    assert until(world, Level.ELEVATED, 0.005, 1_000) == 864


# Table 5-8: 14.4 for an hour spends 2 % of 30 days' budget, 6 for six hours 5 %.
@pytest.mark.parametrize(("rate", "hours", "spent"), [(14.4, 1, 0.02), (6, 6, 0.05), (1, 6, 6 / 720)])
def test_what_a_burn_rate_spends(world: World, rate: float, hours: int, spent: float) -> None:
    for _ in range(hours * 60):
        budget = minute(world, rate * 0.001)
    assert 1 - budget.remaining == pytest.approx(spent, rel=0.002)  # windows begin at a full hour
    assert budget.status is Status.HEALTHY
    assert budget.sums[BUDGET].bad == round(rate * 0.001 * A_MINUTE * 60 * hours)


def test_it_resets_with_the_short_window(world: World) -> None:
    """An outage is over for the level within its short window of 5 min, although the last hour is bad for an hour."""
    assert until(world, Level.CRITICAL, 0.5) == 2
    assert {minute(world, 0.5).level for _ in range(30)} == {Level.CRITICAL}
    levels = [minute(world, 0.0).level for _ in range(10)]
    assert levels[4] is not Level.CRITICAL and levels[3] is Level.CRITICAL


def test_a_full_outage_spends_the_budget_in_43_minutes(world: World) -> None:
    """Table 5-4: 99.9 % of 30 days are 43 min 12 s."""
    left = [minute(world, 1.0) for _ in range(44)]
    assert [budget.status is Status.EXHAUSTED for budget in left[42:]] == [False, True]
