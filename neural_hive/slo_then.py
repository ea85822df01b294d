"""Budgets as they were believed at a time, beside the same windows as they are known now.

Believed is what the last look before the time has said. Known is what the log says now of the same minutes: with events
that came late, and with what people have excluded, let count again or corrected since.
"""

from datetime import datetime
from typing import Any, Final

import msgspec

from neural_hive.aggregates.budget import BUDGET
from neural_hive.aggregates.burn import Counts, Level, Status, burn_rate, level, remaining, status
from neural_hive.listing.pages import plain_row
from neural_hive.sdk.tables import Reader
from neural_hive.slo_explaining import Window
from neural_hive.slo_times import literal

ROWS_MAX: Final = 10_000
_BELIEVED: Final = (
    *(
        "slo_id",
        "budget_id",
        "dimension",
        "revision",
        "target",
        "window_kind",
        "window_days",
        "starts_at",
        "upto",
    ),
    *("good", "valid", "remaining", "status", "level", "evaluated_at"),
)
_WINDOWS: Final = ("sums.window", "sums.good", "sums.valid", "sums.burn_rate")
_KNOWN: Final = ("known.1", "known.2", "known.3")
_WHERE: Final = (
    "WHERE {slo:String} IN ('', slo_id) AND ({service:String} = '' OR slo_id IN "
    "(SELECT slo_id FROM slos_versions WHERE service_name = {service:String})) "
    "AND (slo_id, measure) IN (SELECT slo_id, max(measure) FROM budgets_as_of(at = AT) GROUP BY slo_id) "
    f"ORDER BY remaining, budget_id LIMIT {ROWS_MAX}"
)


class Known(msgspec.Struct, frozen=True):
    """What a budget's windows are known to hold now, and what that would have meant."""

    good: int
    valid: int
    remaining: float
    status: Status
    level: Level
    windows: tuple[Window, ...]


class BudgetThen(msgspec.Struct, frozen=True):
    """A budget as it was believed at a time."""

    slo_id: str
    budget_id: str
    dimension: str
    revision: int
    target: float
    window_kind: str
    window_days: int
    starts_at: datetime
    upto: datetime
    good: int
    valid: int
    remaining: float
    status: str
    level: str
    evaluated_at: datetime
    windows: tuple[Window, ...]
    known: Known | None = None  # None: that was not asked for


def budgets_then(
    reader: Reader, at: int, known_now: bool = False, slo_id: str = "", service: str = ""
) -> list[BudgetThen]:
    """The budgets of SLOs, or of one, at a time (µs since 1970 UTC), the most spent first. Raises ClickHouseError."""
    view = "budgets_known" if known_now else "budgets_as_of"
    columns = (*_BELIEVED, *_WINDOWS, *(_KNOWN if known_now else ()))
    where = _WHERE.replace("AT", literal(at))
    rows = reader.rows(
        f"SELECT {', '.join(columns)} FROM {view}(at = {literal(at)}) {where}",
        {"slo": slo_id, "service": service},
    )
    return [_then(row) for row in rows]


def _then(row: tuple[Any, ...]) -> BudgetThen:
    told = plain_row(_BELIEVED, row[: len(_BELIEVED)])
    names, goods, valids, rates, *known = row[len(_BELIEVED) :]
    windows = tuple(Window(*each) for each in zip(names, goods, valids, rates, strict=True))
    return BudgetThen(
        **told, windows=windows, known=_known(told["target"], windows, *known) if known else None
    )


def _known(
    target: float, believed: tuple[Window, ...], names: list[str], goods: list[int], valids: list[int]
) -> Known:
    """By the formulas that the budget itself is looked at with."""
    found = {name: Counts(int(g), int(v)) for name, g, v in zip(names, goods, valids, strict=True)}
    counts = {window.window: found.get(window.window, Counts()) for window in believed}
    rates = {name: burn_rate(each, target) for name, each in counts.items()}
    whole = counts[BUDGET]
    left = remaining(whole, target)
    return Known(
        whole.good,
        whole.valid,
        left,
        status(left),
        level(rates),
        tuple(Window(name, each.good, each.valid, rates[name]) for name, each in counts.items()),
    )
