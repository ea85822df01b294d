"""Composite SLOs: how much each event of a part counts.

A composite SLO has the events of its parts, each as often as its part's weight says:

    good = Σ weight × good of the part          valid = Σ weight × valid of the part

Weights are a ratio: 0.25 and 0.75 are 1 and 3. They become the smallest whole numbers that have this ratio, so that
counts stay whole and exact, and what a part corrects, the composite corrects.
"""

from collections.abc import Iterable
from fractions import Fraction
from math import gcd, lcm
from typing import Final

import msgspec

from neural_hive.aggregates.budget import Counted

WEIGHT_MAX: Final = 1_000_000
PART: Final = "part:"  # how the source of counts begins that come from a part


class BadWeights(ValueError):
    """Weights that are no ratio of whole numbers that one can count with."""


def whole_weights(weights: Iterable[float]) -> tuple[int, ...]:
    """The smallest whole numbers in the ratio of the weights, which are above 0. Raises BadWeights."""
    exact = [Fraction(repr(float(weight))) for weight in weights]  # as it is written: 0.1 is a tenth
    denominator = lcm(*(weight.denominator for weight in exact))
    whole = [weight.numerator * (denominator // weight.denominator) for weight in exact]
    shared = gcd(*whole) or 1
    found = tuple(number // shared for number in whole)
    if found and max(found) > WEIGHT_MAX:
        raise BadWeights(
            f"weights must be in a ratio of whole numbers up to {WEIGHT_MAX:,}, and these are as "
            f"{' : '.join(f'{number:,}' for number in found[:5])}{' …' if len(found) > 5 else ''}"
        )
    return found


def weighted(counts: Iterable[Counted], weight: int) -> tuple[Counted, ...]:
    """What counts of a part are in the composite; a weight below 0 takes them back. Of nothing nothing is told."""
    return tuple(Counted(c.at, weight * c.good, weight * c.valid) for c in counts if c.good or c.valid)


def source_of(slo_id: str, source: str) -> str:
    """What a composite's counts say of where they come from: the part, and where that has counted."""
    return f"{PART}{slo_id}:{source}"


class Share(msgspec.Struct, frozen=True):
    """How an SLO counts in a composite one."""

    measure: int  # the composite's: counts for another one are dropped
    weight: int
