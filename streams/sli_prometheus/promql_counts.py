"""What Prometheus says of an SLO's minute, as counts: whole numbers, or none.

`increase()` extrapolates, so it gives fractions: each is rounded to the nearest whole number, halves to the even one.
What cannot be a count is an error, never a number: of an SLO, a wrong number is worse than none.
"""

import math
from collections.abc import Callable
from typing import Final

import msgspec

from neural_hive.aggregates.budget import Counted
from neural_hive.aggregates.sla_window import MINUTE
from neural_hive.connectors.prometheus import Sample

WINDOW: Final = "1m"
COUNT_MAX: Final = 2**53  # up to it a double is exact
_NOISE: Final = 1e-9  # by which sums of the same numbers may differ
_VARIABLE: Final = "$window"

Ask = Callable[[str, int], list[Sample]]  # an expression and a time, µs


class Queries(msgspec.Struct, frozen=True):
    """How an SLO is asked for."""

    good: str
    valid: str


class NoCount(ValueError):
    """What Prometheus says is no count; the text says why, and what to do."""


def counted(ask: Ask, queries: Queries, minute: int) -> Counted | None:
    """Good and valid events of the minute that begins there; None: Prometheus has nothing of it. Raises NoCount."""
    end = minute + MINUTE
    valid = _number("valid_promql", ask(windowed(queries.valid), end))
    good = _number("good_promql", ask(windowed(queries.good), end))
    if valid is None and good is None:
        return None
    if valid is None:
        raise NoCount("good_promql has a value, and valid_promql has none")
    if good is None:
        raise NoCount(
            "valid_promql has a value, and good_promql has none: if that means that no event was good, "
            "let it end with: or vector(0)"
        )
    if good > valid and not math.isclose(good, valid, rel_tol=_NOISE):
        raise NoCount(
            f"there are {good:g} good events and {valid:g} valid ones: good ones must be among them"
        )
    whole = round(valid)
    return Counted(minute, min(round(good), whole), whole)


def windowed(promql: str) -> str:
    """An expression over one minute."""
    return promql.replace(_VARIABLE, WINDOW)


def _number(name: str, samples: list[Sample]) -> float | None:
    if not samples:
        return None
    if len(samples) > 1:
        raise NoCount(f"{name} has {len(samples):,} series, and must have one: put sum(…) around it")
    value = samples[0].value
    if not 0 <= value <= COUNT_MAX:  # NaN is not either
        raise NoCount(f"{name} is {value:g}: a count is 0 or more, and at most {COUNT_MAX:,}")
    return value
