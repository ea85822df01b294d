"""Reads SLOs and budgets, typed: for the HTTP API, the page and others.

Of policies, freezes, violations and alerts `listing.pages` gives pages, by the listings in `listing.sla_things`.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, TypeVar

import msgspec

from neural_hive.aggregates.burn import PAIRS
from neural_hive.aggregates.sli_source import Source
from neural_hive.aggregates.slo import Indicator, Part
from neural_hive.listing.pages import one, page
from neural_hive.listing.sla_things import SLOS
from neural_hive.sdk.tables import Reader
from neural_hive.sdk.views import Page, rows_as, select
from neural_hive.slo_views import (
    AdjustmentInfo,
    BudgetInfo,
    BudgetSummary,
    BurnRates,
    BurnRule,
    BurnWindow,
    SloInfo,
)

T = TypeVar("T", bound=msgspec.Struct)
_SUMMARY: Final = (
    "SELECT count(), countIf(status = 'HEALTHY'), countIf(status = 'WARNING'), countIf(status = 'CRITICAL'), "
    "countIf(status = 'EXHAUSTED'), ifNull(avgOrNull(remaining), 0) FROM budgets WHERE (slo_id, measure) IN "
    "(SELECT slo_id, measure FROM slos WHERE status != 'REMOVED' AND {service:String} IN ('', service_name))"
)
_SUMS: Final = (
    "SELECT sums.window, sums.good, sums.valid, sums.burn_rate FROM budgets WHERE budget_id = {id:String}"
)
_OF_BUDGET: Final = "slo_id = {slo:String} AND dimension = {dimension:String}"


class _SloRow(msgspec.Struct, frozen=True):
    """The same as the table has it."""

    slo_id: str
    status: str = ""
    name: str = ""
    slo_type: str = ""
    service_name: str = ""
    target: float = 0.0
    source: Source = Source.UNKNOWN
    good: str = ""
    valid: str = ""
    group_by: str = ""
    good_promql: str = ""
    valid_promql: str = ""
    metric_name: str = ""
    window_kind: str = ""
    window_days: int = 0
    layer: str = ""
    namespace: str = ""
    description: str = ""
    labels: dict[str, str] = {}
    enabled: bool = True
    revision: int = 0
    measure: int = 0
    requested_by: str = ""
    reason: str = ""
    changed_at: datetime | None = None


def slo(reader: Reader, slo_id: str) -> SloInfo | None:
    """An SLO as it stands; None: there is none. Raises ClickHouseError."""
    found = one(reader, SLOS, _SloRow, slo_id)
    return _with_parts(reader, (found,))[0] if found else None


def slos(reader: Reader, wanted: Mapping[str, Any], limit: int, cursor: str) -> Page[SloInfo]:
    """A page of SLOs. Raises BadCursor, ClickHouseError."""
    found = page(reader, SLOS, _SloRow, wanted, limit, cursor)
    return Page(_with_parts(reader, found.items), found.next)


def _with_parts(reader: Reader, rows: tuple[_SloRow, ...]) -> tuple[SloInfo, ...]:
    composite = [row.slo_id for row in rows if row.source is Source.COMPOSITE]
    sql = "SELECT slo_id, parts.slo_id, parts.weight FROM slos WHERE slo_id IN {ids:Array(String)}"
    found = reader.rows(sql, {"ids": composite}) if composite else []
    parts = {str(name): tuple(map(Part, names, weights)) for name, names, weights in found}
    return tuple(_slo_of(row, parts.get(row.slo_id, ())) for row in rows)


def _slo_of(row: _SloRow, parts: tuple[Part, ...]) -> SloInfo:
    said = msgspec.structs.asdict(row)
    indicator = {name: said[name] for name in Indicator.__struct_fields__ if name != "parts"}
    rest = {name: value for name, value in said.items() if name in SloInfo.__struct_fields__}
    return SloInfo(**rest, indicator=Indicator(**indicator, parts=parts))


def budget(reader: Reader, slo_id: str, dimension: str = "") -> BudgetInfo | None:
    """An SLO's budget as it was looked at last; None: nothing was counted yet. Raises ClickHouseError."""
    rest = f"WHERE {_OF_BUDGET} ORDER BY measure DESC LIMIT 1"
    asked = {"slo": slo_id, "dimension": dimension}
    found = rows_as(BudgetInfo, reader.rows(select(BudgetInfo, "budgets", rest), asked))
    return found[0] if found else None


def summary(reader: Reader, service_name: str = "") -> BudgetSummary:
    """How all budgets do, or those of a service. Raises ClickHouseError."""
    [row] = reader.rows(_SUMMARY, {"service": service_name})
    return BudgetSummary(*row)


def burn_rates(reader: Reader, found: BudgetInfo) -> BurnRates:
    """How fast a budget burns. Raises ClickHouseError."""
    rows = reader.rows(_SUMS, {"id": found.budget_id})
    windows = tuple(map(BurnWindow, *rows[0])) if rows else ()
    rates = {window.window: window.burn_rate for window in windows}
    rules = (
        BurnRule(p.level, p.rate, p.long, p.short, min(rates.get(p.long, 0), rates.get(p.short, 0)) >= p.rate)
        for p in PAIRS
    )
    place = found.slo_id, found.budget_id, found.dimension
    return BurnRates(*place, found.level, found.upto, windows, tuple(rules))


def looks(
    reader: Reader, budget_id: str, before: int, limit: int
) -> tuple[tuple[BudgetInfo, ...], int | None]:
    """What was believed of a budget, the newest look first; and the `before` of what follows, if there is more.

    `before`: only versions below it; 0: from the newest on. Raises ClickHouseError.
    """
    shown = (
        "(SELECT *, arrayFirst(s -> s.window = 'budget', sums).good AS good, "
        "arrayFirst(s -> s.window = 'budget', sums).valid AS valid, "
        "arrayFirst(s -> s.window = '1h', sums).burn_rate AS burn_1h, "
        "arrayFirst(s -> s.window = '6h', sums).burn_rate AS burn_6h, "
        "arrayFirst(s -> s.window = '24h', sums).burn_rate AS burn_24h, "
        "arrayFirst(s -> s.window = '3d', sums).burn_rate AS burn_3d FROM budgets_versions)"
    )
    return _versions(reader, BudgetInfo, shown, budget_id, before, limit)


def adjustments(
    reader: Reader, budget_id: str, before: int, limit: int
) -> tuple[tuple[AdjustmentInfo, ...], int | None]:
    """What persons have corrected of a budget, as `looks` gives it."""
    return _versions(reader, AdjustmentInfo, "budget_adjustments", budget_id, before, limit)


def _versions(
    reader: Reader, kind: type[T], table: str, budget_id: str, before: int, limit: int
) -> tuple[tuple[T, ...], int | None]:
    rest = (
        "WHERE budget_id = {id:String} AND ({before:UInt64} = 0 OR version < {before:UInt64}) "
        "ORDER BY version DESC LIMIT {count:UInt32}"
    )
    asked = {"id": budget_id, "before": before, "count": limit + 1}
    found = rows_as(kind, reader.rows(select(kind, table, rest), asked))
    following = found[limit - 1].version if len(found) > limit else None  # type: ignore[attr-defined]
    return found[:limit], following
