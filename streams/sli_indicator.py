"""What one event of a source says of an SLO: whether it is valid, whether it is good, and to which budget it belongs.

The same for what is counted as it comes and for what is counted from the log.
"""

from functools import lru_cache
from typing import Final

import msgspec

from neural_hive.aggregates.budget import Counted, minute_of
from neural_hive.aggregates.sli_expression import BadExpression, Expression, Facts, parse
from neural_hive.aggregates.sli_source import FIELDS, Source
from neural_hive.aggregates.slo import Indicator
from neural_hive.streams.sli_facts import Sample

DIMENSION_CHARS_MAX: Final = 200
_COMPILED_MAX: Final = 50_000


class Reading(msgspec.Struct, frozen=True):
    """An indicator's expressions, ready to be asked."""

    good: Expression
    valid: Expression
    group_by: str

    def dimension(self, facts: Facts) -> str | None:
        """Which of the SLO's budgets an event belongs to; None: it is not valid."""
        if not self.valid.holds(facts):
            return None
        value = facts.get(self.group_by) if self.group_by else None
        return "" if value is None else str(value)[:DIMENSION_CHARS_MAX]

    def is_good(self, facts: Facts) -> bool:
        """Whether a valid event is good."""
        return self.good.holds(facts)


def counted(wanted: Indicator, sample: Sample) -> tuple[str, Counted] | None:
    """The budget's dimension, and what counts in it; None: nothing does."""
    found = reading(wanted.source, wanted.good, wanted.valid, wanted.group_by)
    dimension = None if found is None else found.dimension(sample.facts)
    if found is None or dimension is None:
        return None
    return dimension, Counted(minute_of(sample.at), int(found.is_good(sample.facts)), 1)


@lru_cache(_COMPILED_MAX)
def reading(source: Source, good: str, valid: str, group_by: str) -> Reading | None:
    """An indicator's expressions; None: a newer build has defined it, and this one does not understand it."""
    fields = FIELDS[source]
    try:
        return Reading(parse(good, fields), parse(valid, fields), group_by)
    except BadExpression:
        return None
