"""Which events were bad in a sum of several: found in the tables of the events, by the SLO's own conditions.

What was counted says between which offsets its events stand (`execution.tickets:2:1700-1950`), as they came or from
history; of a composite SLO also which of its parts has told it (`part:checkout:execution.tickets:2:1700-1950`).
"""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from neural_hive.aggregates.budget import OTHERS
from neural_hive.aggregates.composite import PART
from neural_hive.aggregates.metric_window import TOPIC as WINDOWS
from neural_hive.aggregates.sla_window import HOUR, MINUTE
from neural_hive.aggregates.sli_source import Source
from neural_hive.aggregates.slo import Indicator
from neural_hive.projections.avro_types import quoted
from neural_hive.projections.sli_events import VIEW_OF
from neural_hive.sdk.tables import Reader
from neural_hive.slo_rows import LIMITS, judged
from neural_hive.slo_times import literal
from neural_hive.slo_tried import Example
from neural_hive.streams.sla.history import SOURCE as HISTORY
from neural_hive.streams.sli.index import DIMENSION_CHARS_MAX

EVENTS_MAX: Final = 5  # of one sum
_RANGE: Final = re.compile(r"(?P<topic>[a-z.-]+):(?P<partition>\d+):(?P<first>\d+)(-(?P<last>\d+))?")
_INDICATOR: Final = (
    "SELECT source, good, valid, group_by FROM slos_versions WHERE slo_id = {slo:String} AND status = 'DEFINED' "
    "AND {measure:UInt32} IN (0, measure) ORDER BY version DESC LIMIT 1"
)
_HISTORY: Final = (
    "SELECT source_topic, source_partition, max(to_offset) FROM slo_history_ranges "
    "WHERE slo_id = {slo:String} AND {measure:UInt32} IN (0, measure) GROUP BY source_topic, source_partition"
)


class Sum(msgspec.Struct, frozen=True):
    """Something that was counted in a minute."""

    minute: datetime
    place: str  # see Bad.place
    is_alone: bool  # nothing else of its hour was counted with it: of history it may be the whole hour


class _Of(msgspec.Struct, frozen=True):
    """Whose events they are."""

    slo_id: str
    measure: int  # 0: the newest
    dimension: str


def bad_events(
    reader: Reader, slo_id: str, measure: int, dimension: str, sums: Sequence[Sum]
) -> dict[Sum, tuple[Example, ...]]:
    """The newest bad events of each sum of an SLO that has several.

    Raises ClickHouseError: nobody answers, or it took too long.
    """
    of: dict[_Of, list[Sum]] = {}
    for each in sums:
        part = each.place.removeprefix(PART).split(":", 1)[0] if each.place.startswith(PART) else ""
        of.setdefault(_Of(part, 0, "") if part else _Of(slo_id, measure, dimension), []).append(each)
    return {name: found for who, theirs in of.items() for name, found in _found(reader, who, theirs).items()}


def _found(reader: Reader, of: _Of, sums: Sequence[Sum]) -> dict[Sum, tuple[Example, ...]]:
    rows = reader.rows(_INDICATOR, {"slo": of.slo_id, "measure": of.measure})
    if not rows or rows[0][0] not in VIEW_OF or of.dimension == OTHERS:
        return {}  # of what has no value of its own nobody knows which values it had
    source, *texts = rows[0]
    good, valid, by = (text or "" for text in texts)
    indicator = Indicator(Source(source), good, valid, by)
    history = _upto(reader, of) if any(_is_joined(each.place) for each in sums) else {}
    wheres = {each: where for each in sums if (where := _where(each, indicator.source, history))}
    if not wheres:
        return {}
    return _asked(reader, indicator, of.dimension, wheres)


def _asked(
    reader: Reader, indicator: Indicator, dimension: str, wheres: Mapping[Sum, str]
) -> dict[Sum, tuple[Example, ...]]:
    begins = [_us(each.minute) for each in wheres]
    rows = judged(indicator, min(begins), max(begins) + HOUR)
    numbered = ", ".join(f"{where}, {number}" for number, where in enumerate(wheres.values()))
    which = f"multiIf({numbered}, -1)"
    asked = f"{rows.is_bad} AND which >= 0"
    if by := indicator.group_by:
        asked += f" AND substringUTF8(ifNull(`{by}`, ''), 1, {DIMENSION_CHARS_MAX}) = {quoted(dimension)}"
    found: dict[Sum, tuple[Example, ...]] = {}
    sums = list(wheres)
    sql = (
        f"SELECT {which} AS which, {rows.columns} FROM {rows.rows} WHERE {asked} "
        f"ORDER BY {rows.newest_first} LIMIT {EVENTS_MAX} BY which {LIMITS}"
    )
    for number, *row in reader.rows(sql):
        each = sums[int(number)]
        found[each] = (*found.get(each, ()), rows.example(row))
    return found


def _where(each: Sum, source: Source, history: Mapping[tuple[str, int], int]) -> str:
    """Where the events of a sum stand, as a condition; empty: it has one event, or they stand nowhere."""
    place = each.place.split(":", 2)[2] if each.place.startswith(PART) else each.place
    is_history = place.startswith(HISTORY)
    begin = _us(each.minute)
    is_hour = is_history and each.is_alone and begin % HOUR == 0
    within = f"at >= {literal(begin)} AND at < {literal(begin + (HOUR if is_hour else MINUTE))}"
    if _is_joined(each.place):
        ends = [_in(topic, partition, 0, end - 1) for (topic, partition), end in sorted(history.items())]
        return f"({within} AND ({' OR '.join(ends)}))" if ends else ""
    found = _RANGE.fullmatch(place.removeprefix(HISTORY))
    if found is None or (found["last"] is None and found["topic"] != WINDOWS):
        return ""
    first, last = int(found["first"]), int(found["last"] or found["first"])
    return f"({within} AND {_in(found['topic'], int(found['partition']), first, last - is_history)})"


def _in(topic: str, partition: int, first: int, last: int) -> str:
    return f"(topic = {quoted(topic)} AND partition = {partition} AND offset BETWEEN {first} AND {last})"


def _is_joined(place: str) -> bool:
    """Whether it is a whole history: one that has joined when all of it was counted."""
    own = place.split(":", 2)[2] if place.startswith(PART) else place
    return own.startswith(HISTORY) and own.endswith(":history")


def _upto(reader: Reader, of: _Of) -> dict[tuple[str, int], int]:
    """How far history goes in each partition: what stands there or behind was counted as it came."""
    rows: list[tuple[Any, ...]] = reader.rows(_HISTORY, {"slo": of.slo_id, "measure": of.measure})
    return {(str(topic), int(partition)): int(end) for topic, partition, end in rows}


def _us(at: datetime) -> int:
    return round(at.replace(tzinfo=UTC).timestamp()) * 1_000_000  # a full minute
