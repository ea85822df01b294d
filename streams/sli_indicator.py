"""What one event of a source says of an SLO: whether it is valid, whether it is good, and to which budget it belongs.

The same for what is counted as it comes and for what is counted from the log.
"""

from functools import lru_cache
from typing import Final

import msgspec

from neural_hive.aggregates.budget import Counted, minute_of
from neural_hive.aggregates.sli_expression import BadExpression, Expression, parse
from neural_hive.aggregates.sli_source import FIELDS, Source
from neural_hive.aggregates.slo import Indicator
from neural_hive.streams.sli_facts import Sample

DIMENSION_CHARS_MAX: Final = 200
_COMPILED_MAX: Final = 50_000


class _Compiled(msgspec.Struct, frozen=True):
    good: Expression
    valid: Expression


def counted(wanted: Indicator, sample: Sample) -> tuple[str, Counted] | None:
    """The budget's dimension, and what counts in it; None: nothing does."""
    found = _compiled(wanted.source, wanted.good, wanted.valid)
    if found is None or not found.valid.holds(sample.facts):
        return None
    dimension = ""
    if wanted.group_by:
        value = sample.facts.get(wanted.group_by)
        dimension = "" if value is None else str(value)[:DIMENSION_CHARS_MAX]
    return dimension, Counted(minute_of(sample.at), int(found.good.holds(sample.facts)), 1)


@lru_cache(_COMPILED_MAX)
def _compiled(source: Source, good: str, valid: str) -> _Compiled | None:
    """An indicator's expressions; None: a newer build has defined it, and this one does not understand it."""
    fields = FIELDS[source]
    try:
        return _Compiled(parse(good, fields), parse(valid, fields))
    except BadExpression:
        return None
