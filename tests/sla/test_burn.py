"""The workbook's formulas, on its own examples (The Site Reliability Workbook, chapter 5)."""

from datetime import UTC, datetime

import pytest

from neural_hive.aggregates.burn import (
    Counts,
    Level,
    Status,
    burn_rate,
    error_rate,
    exhausted_at,
    level,
    remaining,
    status,
)
from neural_hive.aggregates.sla_window import (
    BURN_US,
    DAY,
    HOUR,
    MINUTE,
    WindowKind,
    budget_length,
    budget_start,
)

QUIET = dict.fromkeys(BURN_US, 0.0)
MONTH_US = 30 * DAY


# Table 5-4: error rates of a 99.9 % SLO, and when its 30 days of budget are gone at them.
@pytest.mark.parametrize(
    ("rate", "errors", "days"), [(1, 0.001, 30), (2, 0.002, 15), (10, 0.01, 3), (1_000, 1.0, 43 / 1_440)]
)
def test_burn_rates_and_the_time_to_exhaustion(rate: float, errors: float, days: float) -> None:
    counts = Counts(round(100_000 * (1 - errors)), 100_000)
    assert error_rate(counts) == pytest.approx(errors)
    assert burn_rate(counts, 0.999) == rate
    gone = exhausted_at(1.0, rate, MONTH_US, 0)
    if rate == 1:
        assert gone is None  # a rolling window gives back what is spent
    else:
        assert gone == pytest.approx(days * DAY, rel=0.01)


# Table 5-8's reason: 14.4 in an hour is 2 % of thirty days' budget, 6 in six hours 5 %, 1 in three days 10 %.
@pytest.mark.parametrize(
    ("rate", "window", "share"), [(14.4, "1h", 0.02), (6, "6h", 0.05), (1, "3d", 0.1), (3, "24h", 0.1)]
)
def test_a_pair_stands_for_a_share_of_the_budget(rate: float, window: str, share: float) -> None:
    assert rate * BURN_US[window] / MONTH_US == pytest.approx(share)


@pytest.mark.parametrize(
    ("long", "short", "rate", "expected"),
    [
        ("1h", "5m", 14.4, Level.CRITICAL),
        ("6h", "30m", 6.0, Level.FAST),
        ("24h", "2h", 3.0, Level.ELEVATED),
        ("3d", "6h", 1.0, Level.ELEVATED),
    ],
)
def test_both_windows_of_a_pair_must_burn(long: str, short: str, rate: float, expected: Level) -> None:
    assert level({**QUIET, long: rate, short: rate}) is expected
    assert level({**QUIET, long: rate}) is Level.NORMAL
    assert level({**QUIET, short: rate}) is Level.NORMAL
    assert level({**QUIET, long: rate - 0.01, short: rate}) is Level.NORMAL


def test_the_most_urgent_pair_counts() -> None:
    assert level(dict.fromkeys(BURN_US, 20.0)) is Level.CRITICAL
    assert level({**dict.fromkeys(BURN_US, 7.0), "5m": 0.0}) is Level.FAST


@pytest.mark.parametrize(
    ("good", "left", "expected"),
    [
        (1_000, 1.0, Status.HEALTHY),
        (995, 0.5, Status.HEALTHY),
        (994, 0.4, Status.WARNING),
        (991, 0.1, Status.CRITICAL),
        (990, 0.0, Status.EXHAUSTED),
        (0, -99.0, Status.EXHAUSTED),
    ],
)
def test_what_is_left(good: int, left: float, expected: Status) -> None:
    assert remaining(Counts(good, 1_000), 0.99) == left
    assert status(left) is expected


def test_nothing_happened_and_nothing_is_spent() -> None:
    assert remaining(Counts(), 0.99) == 1
    assert burn_rate(Counts(), 0.99) == 0


@pytest.mark.parametrize(
    ("kind", "days", "start", "length"),
    [
        (WindowKind.ROLLING, 7, "2024-02-22T13:00", 7),
        (WindowKind.DAY, 0, "2024-02-29T00:00", 1),
        (WindowKind.WEEK, 0, "2024-02-26T00:00", 7),
        (WindowKind.MONTH, 0, "2024-02-01T00:00", 29),
        (WindowKind.QUARTER, 0, "2024-01-01T00:00", 91),
    ],
)
def test_windows_begin_and_last(kind: WindowKind, days: int, start: str, length: int) -> None:
    at = _time("2024-02-29T13:37")
    assert budget_start(kind, days, at) == _time(start)
    assert budget_length(kind, days, at) == length * DAY


def test_a_calendar_window_begins_empty() -> None:
    midnight = _time("2024-03-01T00:00")
    assert budget_start(WindowKind.MONTH, 0, midnight) == midnight
    assert budget_start(WindowKind.MONTH, 0, midnight - MINUTE) == _time("2024-02-01T00:00")
    assert midnight % HOUR == 0


def _time(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1_000_000
