"""Reads SLOs, typed: for the HTTP API, the page and others.

Budgets are read by `budget_reads`. Of policies, freezes, violations and alerts `listing.pages` gives pages, by the
listings in `listing.sla_things`.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec

from neural_hive.aggregates.sli_source import Source
from neural_hive.aggregates.slo import Indicator, Part
from neural_hive.listing.pages import one, page
from neural_hive.listing.sla_things import SLOS
from neural_hive.sdk.tables import Reader
from neural_hive.sdk.views import Page
from neural_hive.slo_views import SloInfo


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
