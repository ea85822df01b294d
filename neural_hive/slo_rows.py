"""The events of a source in a time as the tables have them, and which of them are valid and good by an indicator."""

from collections.abc import Sequence
from datetime import UTC
from math import inf
from typing import Any, Final

import msgspec

from neural_hive.aggregates.sli_expression import Expression, parse
from neural_hive.aggregates.sli_source import FIELDS, Source
from neural_hive.aggregates.slo import Indicator
from neural_hive.projections.sli_events import VIEW_OF
from neural_hive.slo_times import literal
from neural_hive.slo_tried import Example

LIMITS: Final = "SETTINGS max_execution_time = 20"
_IDS: Final = {
    Source.TICKETS: "ticket_id",
    Source.WORKFLOWS: "workflow_id",
    Source.TELEMETRY: "concat(service, ' ', metric)",
}
_EVENTS: Final = {Source.TELEMETRY: "events"}  # how many events a row is; 1, where nothing is said
_ALWAYS_TOLD: Final = {Source.TICKETS: ("status",), Source.WORKFLOWS: ("status",)}
_PLACE: Final = "concat(topic, ':', toString(partition), ':', toString(offset))"


class Judged(msgspec.Struct, frozen=True):
    """A time of a source, and an indicator's two conditions."""

    source: Source
    good: Expression
    valid: Expression
    since: int  # µs since 1970 UTC
    until: int

    @property
    def rows(self) -> str:
        """What stands after FROM. A row is one event or, of metric windows, some that are alike."""
        return f"{VIEW_OF[self.source]}(since = {literal(self.since)}, until = {literal(self.until)})"

    @property
    def events(self) -> str:
        """How many events a row is."""
        return _EVENTS.get(self.source, "1")

    @property
    def is_valid(self) -> str:
        """Whether a row counts."""
        return condition(self.valid)

    @property
    def is_good(self) -> str:
        """Whether a row counts and is good."""
        return f"({self.is_valid} AND {condition(self.good)})"

    @property
    def is_bad(self) -> str:
        """Whether a row counts and is not good."""
        return f"({self.is_valid} AND NOT {self.is_good})"

    @property
    def names(self) -> list[str]:
        """The fields that are told of an example: those that the conditions ask for."""
        asked = {*self.good.fields, *self.valid.fields}
        return sorted({*_ALWAYS_TOLD.get(self.source, ()), *asked})

    @property
    def newest_first(self) -> str:
        """What stands after ORDER BY."""
        return "at DESC, offset DESC" + (", value DESC" if self.source is Source.TELEMETRY else "")

    @property
    def columns(self) -> str:
        """What is to be selected for `example`."""
        names = "".join(f", `{name}`" for name in self.names)
        return f"{_IDS[self.source]}, at, {_PLACE}, {self.events}{names}"

    def example(self, row: Sequence[Any]) -> Example:
        """A row of `columns`."""
        of, at, place, events, *told = row
        values = ["inf" if value == inf else value for value in told]  # JSON has no number for it
        fields = dict(zip(self.names, values, strict=True))
        return Example(of, at.replace(tzinfo=UTC), fields, place, int(events))


def judged(indicator: Indicator, since: int, until: int) -> Judged:
    """Of an indicator over events, between two times in µs since 1970 UTC. Raises BadExpression."""
    fields = FIELDS[indicator.source]
    good, valid = parse(indicator.good, fields), parse(indicator.valid, fields)
    return Judged(indicator.source, good, valid, since, until)


def condition(expression: Expression) -> str:
    """An expression as a condition that is true or false: what is unknown does not count."""
    return f"ifNull(({expression.sql}) = 1, false)"
