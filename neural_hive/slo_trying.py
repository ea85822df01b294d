"""A dry run of an SLO over tickets or workflows: what it would have counted in a time, by the same text, in SQL.

Nothing is counted or changed. The terminal and the API ask the same function: `tried`.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from neural_hive.aggregates.aggregate import Rejected
from neural_hive.aggregates.sla_window import WindowKind
from neural_hive.aggregates.sli_expression import Expression, FieldType, parse
from neural_hive.aggregates.sli_source import FIELDS, Source
from neural_hive.aggregates.slo import Definition, Indicator, SloType, check
from neural_hive.projections.sli_events import VIEW_OF
from neural_hive.sdk.tables import Reader
from neural_hive.slo_times import Over, literal, since_of, time_at

EXAMPLES_MAX: Final = 5
VALUES_MAX: Final = 5
GROUPS_MAX: Final = 20
LIMITS: Final = "SETTINGS max_execution_time = 20"
_IDS: Final = {Source.TICKETS: "ticket_id", Source.WORKFLOWS: "workflow_id"}
_WHAT: Final = {Source.TICKETS: "attempts at tickets", Source.WORKFLOWS: "workflows"}
_PLACE: Final = "concat(topic, ':', toString(partition), ':', toString(offset))"
_DEFINITION: Final = (
    "SELECT slo_id, name, slo_type, service_name, target, source, good, valid, group_by, good_promql, valid_promql, "
    "window_kind, window_days FROM slos WHERE slo_id = {slo:String}"
)


class CannotTry(ValueError):
    """An SLO whose events do not stand in the tables; the text says which can be tried."""


class Example(msgspec.Struct, frozen=True):
    """A valid event that was not good."""

    id: str  # of the ticket or workflow
    at: datetime
    fields: dict[str, Any]  # those that the expressions ask for
    place: str  # of the event: topic:partition:offset


class Group(msgspec.Struct, frozen=True):
    """What one value of the field has that budgets are kept apart by."""

    dimension: str
    good: int
    valid: int


class Tried(msgspec.Struct, frozen=True):
    """What an SLO would have counted."""

    slo_id: str
    source: Source
    since: datetime
    until: datetime
    target: float
    events: int  # of the source, valid or not
    good: int
    valid: int
    problems: tuple[str, ...] = ()  # why it cannot be counted, or counts nothing
    examples: tuple[Example, ...] = ()  # the newest bad events
    groups: tuple[Group, ...] = ()

    @property
    def rate(self) -> float | None:
        """The share of good events; None: there was no valid one."""
        return self.good / self.valid if self.valid else None

    @property
    def is_well(self) -> bool:
        """Whether something was counted, and nothing was wrong."""
        return bool(self.valid) and not self.problems

    def text(self) -> str:
        """In words."""
        share = "" if self.rate is None else f" = {self.rate:.2%}, promised are {self.target:.2%}"
        what = _WHAT[self.source]
        lines = [
            f"{self.slo_id}: {self.good:,} good of {self.valid:,} valid events{share}",
            f"from {self.since:%Y-%m-%d %H:%M} to {self.until:%Y-%m-%d %H:%M} UTC {self.events:,} {what} ended",
            *self.problems,
        ]
        lines += [f"  {g.dimension or '(none)'}: {g.good:,} good of {g.valid:,}" for g in self.groups]
        if self.examples:
            lines.append(f"bad events, the newest {len(self.examples)}")
            lines += [
                f"  {e.at:%Y-%m-%d %H:%M:%S}  {e.id}  {_told(e.fields)}  {e.place}" for e in self.examples
            ]
        return "\n".join(lines)


def definition_of(reader: Reader, slo_id: str) -> Definition | None:
    """An SLO as the tables have it, as far as a dry run needs it; None: there is none. Raises ClickHouseError."""
    rows = reader.rows(_DEFINITION, {"slo": slo_id})
    if not rows:
        return None
    (
        name,
        what,
        kind,
        service,
        target,
        source,
        good,
        valid,
        by,
        good_promql,
        valid_promql,
        window_kind,
        days,
    ) = rows[0]
    indicator = Indicator(
        Source(source), good or "", valid or "", by or "", good_promql or "", valid_promql or ""
    )
    window = WindowKind(window_kind), int(days)
    return Definition(name, what, SloType(kind), service, float(target), indicator, *window)


def tried(reader: Reader, wanted: Definition, over: Over, now: int) -> Tried:
    """What a definition would have counted in the time before `now`, µs since 1970 UTC.

    Raises CannotTry: its source is in no table; ClickHouseError: nobody answers, or it took too long.
    """
    source = wanted.indicator.source
    if source not in VIEW_OF:
        names = " and ".join(VIEW_OF)
        raise CannotTry(f"{wanted.slo_id}: events of {names} stand in the tables, and not those of {source}")
    since = since_of(wanted.window_kind, wanted.window_days, over, now)
    about = Tried(wanted.slo_id, source, time_at(since), time_at(now), wanted.target, 0, 0, 0)
    try:
        check(wanted)
    except Rejected as error:
        return msgspec.structs.replace(about, problems=(str(error),))
    fields, asked = FIELDS[source], wanted.indicator
    good, valid = parse(asked.good, fields), parse(asked.valid, fields)
    return _counted(_Question(reader, asked, good, valid, since, now), about)


class _Question(msgspec.Struct, frozen=True):
    reader: Any
    indicator: Indicator
    good: Expression
    valid: Expression
    since: int
    until: int

    @property
    def source(self) -> Source:
        return self.indicator.source

    @property
    def rows(self) -> str:
        """The events of the time."""
        times = f"since = {literal(self.since)}, until = {literal(self.until)}"
        return f"{VIEW_OF[self.source]}({times})"

    @property
    def is_valid(self) -> str:
        return condition(self.valid)

    @property
    def is_good(self) -> str:
        return f"({self.is_valid} AND {condition(self.good)})"

    def ask(self, sql: str) -> list[tuple[Any, ...]]:
        found: list[tuple[Any, ...]] = self.reader.rows(f"{sql} {LIMITS}")
        return found


def condition(expression: Expression) -> str:
    """An expression as a condition that is true or false: what is unknown does not count."""
    return f"ifNull(({expression.sql}) = 1, false)"


def _counted(question: _Question, about: Tried) -> Tried:
    sums = f"count(), countIf({question.is_good}), countIf({question.is_valid})"
    [(events, good, valid)] = question.ask(f"SELECT {sums} FROM {question.rows}")
    numbers = int(events), int(good), int(valid)
    return msgspec.structs.replace(
        about,
        events=numbers[0],
        good=numbers[1],
        valid=numbers[2],
        problems=_nothing_found(question, *numbers),
        examples=_examples(question) if numbers[1] < numbers[2] else (),
        groups=_groups(question) if question.indicator.group_by else (),
    )


def _nothing_found(question: _Question, events: int, good: int, valid: int) -> tuple[str, ...]:
    """Why nothing was counted, or nothing was good; nothing, if something was."""
    if not events:
        return (f"none of the {_WHAT[question.source]} ended in this time: try a longer one",)
    if not valid:
        found = _values(question, question.valid, "1")
        return (f"none of them is valid: {question.indicator.valid}", *found)
    if not good:
        found = _values(question, question.good, question.is_valid)
        return (f"none of the valid ones is good: {question.indicator.good}", *found)
    return ()


def _values(question: _Question, expression: Expression, where: str) -> tuple[str, ...]:
    """What stands in the fields that an expression asks for."""
    fields, told = FIELDS[question.source], []
    for name in sorted(expression.fields):
        if fields[name] is FieldType.NUMBER:
            sql = f"SELECT min(`{name}`), max(`{name}`), countIf(`{name}` IS NULL)"
            [(low, high, absent)] = question.ask(f"{sql} FROM {question.rows} WHERE {where}")
            told.append(
                f"  {name}: {_shown(low)} to {_shown(high)}" + (f", {absent:,} unknown" if absent else "")
            )
            continue
        sql = f"SELECT `{name}`, count() AS times FROM {question.rows} WHERE {where} GROUP BY `{name}`"
        rows = question.ask(f"{sql} ORDER BY times DESC, `{name}` LIMIT {VALUES_MAX + 1}")
        values = [f"{_shown(value)} ({times:,})" for value, times in rows[:VALUES_MAX]]
        told.append(f"  {name}: {', '.join(values)}{', …' if len(rows) > VALUES_MAX else ''}")
    return tuple(told)


def _examples(question: _Question) -> tuple[Example, ...]:
    names = sorted({"status", *question.good.fields, *question.valid.fields})
    columns = ", ".join(f"`{name}`" for name in names)
    rows = question.ask(
        f"SELECT {_IDS[question.source]}, at, {_PLACE}, {columns} "
        f"FROM {question.rows} WHERE {question.is_valid} AND NOT {question.is_good} "
        f"ORDER BY at DESC LIMIT {EXAMPLES_MAX}"
    )
    return tuple(
        Example(of, at.replace(tzinfo=UTC), dict(zip(names, told, strict=True)), place)
        for of, at, place, *told in rows
    )


def _groups(question: _Question) -> tuple[Group, ...]:
    by = f"ifNull(`{question.indicator.group_by}`, '')"
    rows = question.ask(
        f"SELECT {by} AS dimension, countIf({question.is_good}), countIf({question.is_valid}) AS every "
        f"FROM {question.rows} WHERE {question.is_valid} GROUP BY dimension "
        f"ORDER BY every DESC, dimension LIMIT {GROUPS_MAX}"
    )
    return tuple(Group(str(dimension), int(good), int(valid)) for dimension, good, valid in rows)


def _told(fields: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {_shown(value)}" for name, value in fields.items())


def _shown(value: Any) -> str:
    if value is None:
        return "unknown"
    return f"{value:g}" if isinstance(value, float) else str(value)


def triable(definitions: Sequence[Definition]) -> list[Definition]:
    """Those whose events stand in the tables."""
    return [each for each in definitions if each.indicator.source in VIEW_OF]
