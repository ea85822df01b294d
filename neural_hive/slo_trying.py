"""A dry run of an SLO: what it would have counted in a time, by the same text, in SQL.

Tickets, workflows and metric windows are looked at event by event; of a composite SLO, what its parts have counted.
Nothing is counted or changed. The terminal and the API ask the same function: `tried`.
"""

from typing import Any, Final

import msgspec

from neural_hive.aggregates.aggregate import Rejected
from neural_hive.aggregates.metric_window import TOPIC as WINDOWS
from neural_hive.aggregates.sla_window import WindowKind
from neural_hive.aggregates.sli_expression import Expression, FieldType
from neural_hive.aggregates.sli_source import FIELDS, Source
from neural_hive.aggregates.slo import Definition, Indicator, Part, SloType, check
from neural_hive.projections.avro_types import quoted
from neural_hive.sdk.tables import Reader
from neural_hive.slo_rows import LIMITS, Judged, judged
from neural_hive.slo_times import Over, literal, since_of, time_at
from neural_hive.slo_tried import HAPPENED, Example, Group, Tried, named, shown
from neural_hive.slo_trying_parts import parts_tried

EXAMPLES_MAX: Final = 5
VALUES_MAX: Final = 5
GROUPS_MAX: Final = 20
_REFUSED: Final = (
    "SELECT count(), argMax(reason, source_timestamp) FROM dead_letters "
    f"WHERE source_topic = {quoted(WINDOWS)} AND startsWith(processor, 'sli.') AND source_timestamp >= "
)
_DEFINITION: Final = (
    "SELECT slo_id, name, slo_type, service_name, target, source, good, valid, group_by, good_promql, valid_promql, "
    "window_kind, window_days, parts.slo_id, parts.weight FROM slos WHERE slo_id = {slo:String}"
)


class CannotTry(ValueError):
    """An SLO whose events stand in no table; the text says who is asked instead."""


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
        names,
        weights,
    ) = rows[0]
    indicator = Indicator(
        Source(source),
        good or "",
        valid or "",
        by or "",
        good_promql or "",
        valid_promql or "",
        parts=tuple(map(Part, names, weights)),
    )
    window = WindowKind(window_kind), int(days)
    return Definition(name, what, SloType(kind), service, float(target), indicator, *window)


def tried(reader: Reader, wanted: Definition, over: Over, now: int) -> Tried:
    """What a definition would have counted in the time before `now`, µs since 1970 UTC.

    Raises CannotTry: its source is in no table; ClickHouseError: nobody answers, or it took too long.
    """
    source = wanted.indicator.source
    if source is Source.PROMQL:
        raise CannotTry(f"{wanted.slo_id}: events of {source} stand in no table; their server is asked")
    since = since_of(wanted.window_kind, wanted.window_days, over, now)
    about = Tried(wanted.slo_id, source, time_at(since), time_at(now), wanted.target, 0, 0, 0)
    try:
        check(wanted)
    except Rejected as error:
        return msgspec.structs.replace(about, problems=(str(error),))
    if source is Source.COMPOSITE:
        return parts_tried(reader, wanted, about, since, now)
    asked = wanted.indicator
    return _counted(_Question(reader, asked, judged(asked, since, now)), about)


class _Question(msgspec.Struct, frozen=True):
    reader: Reader
    indicator: Indicator
    judged: Judged

    def ask(self, sql: str) -> list[tuple[Any, ...]]:
        return self.reader.rows(f"{sql} {LIMITS}")


def _counted(question: _Question, about: Tried) -> Tried:
    of, each = question.judged, question.judged.events
    sums = f"sum({each}), sumIf({each}, {of.is_good}), sumIf({each}, {of.is_valid})"
    [(events, good, valid)] = question.ask(f"SELECT {sums} FROM {of.rows}")
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
    of, asked = question.judged, question.indicator
    if not events:
        nothing = f"none of the {HAPPENED[of.source]} in this time: try a longer one"
        return (nothing, *(_refused(question) if of.source is Source.TELEMETRY else ()))
    if not valid:
        return (f"none of them is valid: {asked.valid}", *_values(question, of.valid, "1"))
    if not good:
        return (f"none of the valid ones is good: {asked.good}", *_values(question, of.good, of.is_valid))
    return ()


def _refused(question: _Question) -> tuple[str, ...]:
    """Metric windows that were sent since, and refused: their events are not among those that came."""
    [(count, reason)] = question.ask(f"{_REFUSED}{literal(question.judged.since)}")
    return (f"  {int(count):,} windows were refused since, the last one: {reason}",) if int(count) else ()


def _values(question: _Question, expression: Expression, where: str) -> tuple[str, ...]:
    """What stands in the fields that an expression asks for."""
    of, told = question.judged, []
    for name in sorted(expression.fields):
        if FIELDS[of.source][name] is FieldType.NUMBER:
            sql = f"SELECT min(`{name}`), max(`{name}`), sumIf({of.events}, `{name}` IS NULL)"
            [(low, high, unknown)] = question.ask(f"{sql} FROM {of.rows} WHERE {where}")
            more = f", {int(unknown):,} unknown" if int(unknown) else ""
            told.append(f"  {name}: {shown(low)} to {shown(high)}{more}")
            continue
        sql = f"SELECT `{name}`, sum({of.events}) AS times FROM {of.rows} WHERE {where} GROUP BY `{name}`"
        rows = question.ask(f"{sql} ORDER BY times DESC, `{name}` LIMIT {VALUES_MAX + 1}")
        values = {shown(value): int(times) for value, times in rows}
        told.append(f"  {name}: {named(values, VALUES_MAX)}")
    return tuple(told)


def _examples(question: _Question) -> tuple[Example, ...]:
    of = question.judged
    sql = f"SELECT {of.columns} FROM {of.rows} WHERE {of.is_bad} ORDER BY {of.newest_first} LIMIT {EXAMPLES_MAX}"
    return tuple(of.example(row) for row in question.ask(sql))


def _groups(question: _Question) -> tuple[Group, ...]:
    of, by = question.judged, f"ifNull(`{question.indicator.group_by}`, '')"
    rows = question.ask(
        f"SELECT {by} AS dimension, sumIf({of.events}, {of.is_good}), sumIf({of.events}, {of.is_valid}) AS every "
        f"FROM {of.rows} WHERE {of.is_valid} GROUP BY dimension ORDER BY every DESC, dimension LIMIT {GROUPS_MAX}"
    )
    return tuple(Group(str(dimension), int(good), int(valid)) for dimension, good, valid in rows)
