"""How an SLO's numbers came about: which events, which formula, whose corrections."""

from datetime import datetime
from typing import Any, Final

import msgspec

from neural_hive.aggregates.composite import PART, whole_weights
from neural_hive.connectors.clickhouse import ClickHouseError
from neural_hive.projections.budgets_known import excluded
from neural_hive.replay.moment import place_of
from neural_hive.sdk.tables import Reader
from neural_hive.slo_bad_events import Sum, bad_events
from neural_hive.slo_times import literal
from neural_hive.slo_tried import Example

SOURCES_MAX: Final = 20
ADJUSTMENTS_MAX: Final = 50
_TABLES: Final = ("budgets", "budget_adjustments", "sli_counts")
_NUMBERS: Final = (
    *(
        "budget_id",
        "target",
        "good",
        "valid",
        "budget_total",
        "budget_consumed",
        "remaining",
        "status",
        "level",
    ),
    *("starts_at", "upto", "measure"),
)
_BUDGET: Final = (
    f"SELECT {', '.join(_NUMBERS)}, sums.window, sums.good, sums.valid, sums.burn_rate FROM {{budgets}} "
    "WHERE slo_id = {{slo:String}} AND dimension = {{dimension:String}} ORDER BY measure DESC LIMIT 1"
)
_ADJUSTMENTS: Final = (
    "SELECT adjustment_id, kind, starts_at, ends_at, good, valid, reason FROM {budget_adjustments} "
    f"WHERE budget_id = {{{{budget:String}}}} ORDER BY adjusted_at DESC LIMIT {ADJUSTMENTS_MAX}"
)
_BAD: Final = (
    "SELECT c.at AS minute, counted_from, c.valid - c.good AS bad, "
    "arrayExists(t -> assumeNotNull(t.1 <= c.at AND c.at < t.2), x.times) AS is_excluded, "
    "arrayCount(o -> toStartOfHour(o.at) = toStartOfHour(c.at), all_counts) = 1 AS is_alone "
    "FROM (SELECT *, counts AS all_counts FROM {sli_counts} WHERE budget_id = {{budget:String}}) AS s "
    "ARRAY JOIN counts AS c "
    f"LEFT JOIN ({excluded('{budget_adjustments}')}) AS x ON s.budget_id = x.budget_id "
    "WHERE bad > 0 AND minute >= {{since:DateTime64(6, 'UTC')}} AND minute < {{until:DateTime64(6, 'UTC')}} "
    f"ORDER BY minute DESC LIMIT {SOURCES_MAX}"
)
_EVENTS: Final = (
    "SELECT concat(topic, ':', toString(partition), ':', toString(offset)) AS place, toString(event_type), "
    "aggregate_id FROM events WHERE topic IN {topics:Array(String)} AND offset IN {offsets:Array(UInt64)} "
    "AND place IN {places:Array(String)}"
)
_PARTS: Final = (
    "SELECT parts.slo_id, parts.weight FROM slos WHERE slo_id = {slo:String} AND source = 'COMPOSITE'"
)
_TOLD: Final = (
    "SELECT splitByChar(':', assumeNotNull(counted_from))[2] AS part, sum(c.good), sum(c.valid) FROM sli_counts "
    "ARRAY JOIN counts AS c WHERE budget_id = {budget:String} AND NOT c.is_excluded "
    f"AND startsWith(counted_from, '{PART}') "
    "AND c.at >= (SELECT max(starts_at) FROM budgets WHERE budget_id = {budget:String}) "
    "AND c.at < (SELECT max(upto) FROM budgets WHERE budget_id = {budget:String}) GROUP BY part"
)


class Window(msgspec.Struct, frozen=True):
    """What one of the windows holds."""

    window: str
    good: int
    valid: int
    burn_rate: float


class Adjustment(msgspec.Struct, frozen=True):
    """What a person has corrected."""

    adjustment_id: str
    kind: str
    starts_at: datetime
    ends_at: datetime
    good: int
    valid: int
    reason: str


class Bad(msgspec.Struct, frozen=True):
    """Events that were not good."""

    minute: datetime
    place: str  # topic, partition and offset of what they were counted from; promql: and the minute
    count: int
    is_excluded: bool = False  # it does not count
    event_type: str = ""  # of the event at that place; empty: it is none, or not archived yet
    subject: str = ""  # the ticket or workflow that it is of
    events: tuple[Example, ...] = ()  # where several events were counted: the newest that were bad

    def text(self) -> str:
        """In words."""
        told = f"{self.minute:%Y-%m-%d %H:%M}  {self.count:,}  {self.place}"
        event = f"  {self.event_type} {self.subject}" if self.event_type else ""
        own = told + event + ("  excluded" if self.is_excluded else "")
        return "\n".join([own, *(f"  {each.text()}" for each in self.events)])


class PartShare(msgspec.Struct, frozen=True):
    """What a part of a composite SLO has told it within the budget's window, weighted."""

    slo_id: str
    weight: int  # each of its events counts so often
    good: int
    valid: int

    def text(self) -> str:
        """In words."""
        bad, weight = self.valid - self.good, self.weight
        own = f" = {weight:,} × {bad // weight:,} of {self.valid // weight:,}" if weight != 1 else ""
        return f"{bad:,} bad of {self.valid:,}{own}  {self.slo_id}"


class Explanation(msgspec.Struct, frozen=True):
    """All that a budget's numbers follow from."""

    slo_id: str
    budget_id: str
    target: float
    good: int
    valid: int
    budget_total: float
    budget_consumed: int
    remaining: float
    status: str
    level: str
    starts_at: datetime
    upto: datetime
    windows: tuple[Window, ...]
    adjustments: tuple[Adjustment, ...]
    bad: tuple[Bad, ...]
    parts: tuple[PartShare, ...] = ()  # of a composite SLO, who has told most bad events first
    unnamed: str = ""  # why the events of sums are not named

    def text(self) -> str:
        """In words."""
        allowed = 1 - self.target
        lines = [
            f"{self.slo_id}: {self.remaining:.2%} of its budget is left, {self.status}; it burns {self.level}",
            f"counted from {self.starts_at:%Y-%m-%d %H:%M} to {self.upto:%Y-%m-%d %H:%M} UTC, as the log has it",
            "",
            f"valid events       {self.valid:,}",
            f"bad events         {self.budget_consumed:,} = {self.valid:,} - {self.good:,} good ones",
            f"may be bad         {self.budget_total:,.1f} = {self.valid:,} × (1 - {self.target:g})",
            f"left               {self.remaining:.2%} = 1 - {self.budget_consumed:,} / {self.budget_total:,.1f}",
            "",
            f"burn rate = bad / valid / {allowed:.6g}; 1 uses up exactly the budget",
        ]
        lines += [
            f"{w.window:>8}  {w.burn_rate:8.2f}  {w.valid - w.good:,} bad of {w.valid:,}"
            for w in self.windows
        ]
        if self.parts:
            lines += ["", "events of its parts in that time, each as often as its weight says"]
            lines += [part.text() for part in self.parts]
        if self.adjustments:
            lines += ["", "corrected by persons, the newest first"]
            lines += [
                f"{a.kind:>8}  {a.starts_at:%Y-%m-%d %H:%M} to {a.ends_at:%Y-%m-%d %H:%M}  {a.good:+d} good "
                f"{a.valid:+d} valid  {a.reason} ({a.adjustment_id})"
                for a in self.adjustments
            ]
        if self.bad:
            lines += ["", f"bad events, the newest {SOURCES_MAX} minutes that have any"]
            lines += [b.text() for b in self.bad]
        if self.unnamed:
            lines.append(self.unnamed)
        return "\n".join(lines)


def explained(reader: Reader, slo_id: str, dimension: str = "", at: int = 0) -> Explanation | None:
    """An SLO's numbers and what they follow from, now or as they were believed at a time (µs since 1970 UTC).

    None: there are none yet, or were none then. Raises ClickHouseError.
    """
    rows = reader.rows(_of(_BUDGET, at), {"slo": slo_id, "dimension": dimension})
    if not rows:
        return None
    *numbers, names, good, valid, rates = rows[0]
    found: dict[str, Any] = dict(zip(_NUMBERS, numbers, strict=True))
    asked: dict[str, Any] = {"budget": found["budget_id"]}
    times = {"since": _text(found["starts_at"]), "until": _text(found["upto"])}
    rows = reader.rows(_of(_BAD, at), {**asked, **times})
    bad, unnamed = _named(reader, slo_id, found.pop("measure"), dimension, rows)
    return Explanation(
        slo_id=slo_id,
        windows=tuple(Window(*each) for each in zip(names, good, valid, rates, strict=True)),
        adjustments=tuple(Adjustment(*row) for row in reader.rows(_of(_ADJUSTMENTS, at), asked)),
        bad=_with_events(reader, bad),
        parts=() if at else _parts(reader, slo_id, asked),
        unnamed=unnamed,
        **found,
    )


def _parts(reader: Reader, slo_id: str, asked: dict[str, Any]) -> tuple[PartShare, ...]:
    rows = reader.rows(_PARTS, {"slo": slo_id})
    if not rows or not rows[0][0]:
        return ()
    names, weights = rows[0]
    told = {str(part): (int(good), int(valid)) for part, good, valid in reader.rows(_TOLD, asked)}
    shares = [
        PartShare(name, weight, *told.get(name, (0, 0)))
        for name, weight in zip(names, whole_weights(weights), strict=True)
    ]
    return tuple(sorted(shares, key=lambda share: (share.good - share.valid, share.slo_id)))


def _named(
    reader: Reader, slo_id: str, measure: int, dimension: str, rows: list[tuple[Any, ...]]
) -> tuple[list[Bad], str]:
    """What was bad, with the events of sums; and why those are not named, if they are not."""
    bad = [Bad(*row[:4]) for row in rows]
    sums = [Sum(one.minute, one.place, bool(row[4])) for one, row in zip(bad, rows, strict=True)]
    try:
        events = bad_events(reader, slo_id, int(measure), dimension, sums)
    except ClickHouseError as error:  # it may take long to look for them, and what is known is worth telling
        return bad, f"which of the events were bad was not found out: {error}"
    pairs = zip(bad, sums, strict=True)
    return [msgspec.structs.replace(one, events=events.get(each, ())) for one, each in pairs], ""


def _of(sql: str, at: int) -> str:
    """A query over the tables as they are now (at 0) or were."""
    as_of = f"_as_of(at = {literal(at)})" if at else ""
    return sql.format(**{name: name + as_of for name in _TABLES})


def _with_events(reader: Reader, found: list[Bad]) -> tuple[Bad, ...]:
    """What happened at each place."""
    places = [place for bad in found if (place := place_of(bad.place))]
    if not places:
        return tuple(found)
    asked = {
        "topics": sorted({place.topic for place in places}),
        "offsets": sorted({place.offset for place in places}),
        "places": sorted(map(str, places)),
    }
    events = {place: (kind, subject) for place, kind, subject in reader.rows(_EVENTS, asked)}
    change = msgspec.structs.replace
    return tuple(
        change(bad, event_type=told[0], subject=told[1]) if (told := events.get(bad.place)) else bad
        for bad in found
    )


def _text(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S.%f}"
