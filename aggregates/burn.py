"""Error budgets: how much may still go wrong, how fast it is used up, and when it will be gone.

Source of the formulas: The Site Reliability Workbook (Google, O'Reilly 2018), chapter 5, "Alerting on SLOs".

    error rate   = bad / valid                       of a window's events
    budget       = (1 - target) × valid              bad events that a window may have
    burn rate    = error rate / (1 - target)         1: the budget lasts exactly as long as the window
"""

from enum import StrEnum
from typing import Final

import msgspec

WARNING_BELOW: Final = 0.5  # of the budget
CRITICAL_BELOW: Final = 0.2
DIGITS: Final = 9  # of rates: a double's 1 - 0.999 is a little more than 0.001


class Counts(msgspec.Struct, frozen=True):
    """Events of a time."""

    good: int = 0
    valid: int = 0

    @property
    def bad(self) -> int:
        return self.valid - self.good

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(self.good + other.good, self.valid + other.valid)

    def __sub__(self, other: "Counts") -> "Counts":
        return Counts(self.good - other.good, self.valid - other.valid)


class Level(StrEnum):
    """How fast a budget is used up."""

    UNKNOWN = "UNKNOWN"
    NORMAL = "NORMAL"
    ELEVATED = "ELEVATED"
    FAST = "FAST"
    CRITICAL = "CRITICAL"


class Status(StrEnum):
    """How much of a budget is left."""

    UNKNOWN = "UNKNOWN"
    HEALTHY = "HEALTHY"
    WARNING = "WARNING"
    CRITICAL = "CRITICAL"
    EXHAUSTED = "EXHAUSTED"


class Pair(msgspec.Struct, frozen=True):
    """Two windows that must both burn: the long one says that it matters, the short one that it goes on."""

    long: str
    short: str
    rate: float
    level: Level


# The workbook's table 5-8, with its day and three days; the most urgent first.
PAIRS: Final = (
    Pair("1h", "5m", 14.4, Level.CRITICAL),
    Pair("6h", "30m", 6.0, Level.FAST),
    Pair("24h", "2h", 3.0, Level.ELEVATED),
    Pair("3d", "6h", 1.0, Level.ELEVATED),
)


def error_rate(counts: Counts) -> float:
    """The share of bad events; of no events none are bad."""
    return counts.bad / counts.valid if counts.valid else 0.0


def burn_rate(counts: Counts, target: float) -> float:
    """How many times faster than allowed events go wrong; rounded, so that 1 bad of 1,000 at 99.9 % is 1."""
    return round(error_rate(counts) / (1 - target), DIGITS)


def remaining(counts: Counts, target: float) -> float:
    """The share of a window's budget that is left: 1 is all of it, below 0 it is overdrawn.

    A window without events has spent nothing.
    """
    return round(1 - burn_rate(counts, target), DIGITS)


def level(rates: dict[str, float]) -> Level:
    """The most urgent pair of which both windows burn at its rate; rates by the names of sla_window.BURN_US."""
    for pair in PAIRS:
        if rates[pair.long] >= pair.rate and rates[pair.short] >= pair.rate:
            return pair.level
    return Level.NORMAL


def status(left: float) -> Status:
    """What a share of the budget that is left means."""
    if left <= 0:
        return Status.EXHAUSTED
    if left < CRITICAL_BELOW:
        return Status.CRITICAL
    return Status.WARNING if left < WARNING_BELOW else Status.HEALTHY


def exhausted_at(left: float, rate: float, window_us: int, now: int) -> int | None:
    """When a budget will be gone if it burns on at this rate, µs; None: it will not.

    A budget burns whole in the window at rate 1, so what is left of it lasts `left × window / rate`. At rate 1 or
    below, a rolling window gives back as much as is spent: it is never gone.
    """
    if left <= 0:
        return now
    if rate <= 1:
        return None
    return now + round(left * window_us / rate)
