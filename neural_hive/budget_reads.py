"""Error budgets as the tables tell them: as they were looked at last, and look by look; for API, page and others.

The newest look at a budget is read by its key: the view `budgets` would fold every look that there ever was.
"""

from datetime import datetime
from typing import Any, Final, TypeVar

import msgspec

from neural_hive.aggregates.burn import PAIRS, Status
from neural_hive.projections.budgets import BUDGETS
from neural_hive.sdk.tables import Reader
from neural_hive.sdk.views import rows_as, select
from neural_hive.slo_times import moment_text
from neural_hive.slo_views import AdjustmentInfo, BudgetInfo, BudgetSummary, BurnRates, BurnRule, BurnWindow

T = TypeVar("T", bound=msgspec.Struct)
ROWS_MAX: Final = 500
POINTS_MAX: Final = 300
_COMPUTED: Final = ", ".join(f"{sql} AS {name}" for name, sql in BUDGETS.computed)
_LOOKS: Final = f"SELECT *, {_COMPUTED} FROM budgets_versions"


def _newest(of: str = "") -> str:
    """The newest look at each budget, or at those of which all looks are so."""
    last = f"SELECT budget_id, max(version) FROM budgets_versions {of} GROUP BY budget_id"
    return f"({_LOOKS} WHERE (budget_id, version) IN ({last}))"


_NEWEST_OF_SLO: Final = _newest("WHERE slo_id = {slo:String} AND dimension = {dimension:String}")
_PROMISED: Final = (
    "SELECT slo_id, measure, name, slo_type, service_name, layer, namespace, description, source, target, "
    "window_kind, window_days, enabled FROM slos WHERE status != 'REMOVED'"
)
_JOINED: Final = (
    "(SELECT s.*, b.budget_id AS budget_id, b.dimension AS dimension, b.status AS status, b.level AS level, "
    "b.remaining AS remaining, b.good AS good, b.valid AS valid, b.budget_total AS budget_total, "
    "b.budget_consumed AS budget_consumed, b.starts_at AS starts_at, b.upto AS upto, "
    "nullIf(b.exhausted_at, toDateTime64(0, 6, 'UTC')) AS exhausted_at, b.sums.window AS windows, "
    f"b.sums.good AS goods, b.sums.valid AS valids, b.sums.burn_rate AS rates FROM ({_PROMISED}) AS s "
    f"LEFT JOIN {_newest()} AS b ON s.slo_id = b.slo_id AND s.measure = b.measure)"
)

_STATUSES: Final = (Status.HEALTHY, Status.WARNING, Status.CRITICAL, Status.EXHAUSTED)
_TOLD_VIOLATIONS: Final = "(SELECT *, ifNull(closed_at, opened_at) AS at FROM violations_versions)"


class SloBudget(msgspec.Struct, frozen=True):
    """What an SLO promises, and what the last look at its budget has shown; `status` is empty before the first."""

    slo_id: str
    name: str = ""
    slo_type: str = ""
    service_name: str = ""
    layer: str = ""
    namespace: str = ""
    description: str = ""
    source: str = ""
    target: float = 0.0
    window_kind: str = ""
    window_days: int = 0
    enabled: bool = True
    budget_id: str = ""
    dimension: str = ""
    status: str = ""
    level: str = ""
    remaining: float = 1.0  # share of the budget; below 0: overdrawn
    good: int = 0
    valid: int = 0
    budget_total: float = 0.0  # events that may be bad
    budget_consumed: int = 0  # events that are
    starts_at: datetime | None = None
    upto: datetime | None = None
    exhausted_at: datetime | None = None  # None: as it burns now it will not be
    windows: tuple[str, ...] = ()  # and what each of them holds
    goods: tuple[int, ...] = ()
    valids: tuple[int, ...] = ()
    rates: tuple[float, ...] = ()

    def rate(self, window: str) -> float | None:
        """The burn rate of a window; None: nobody has looked yet."""
        return dict(zip(self.windows, self.rates, strict=True)).get(window)


class Summary(msgspec.Struct, frozen=True):
    """All budgets of SLOs that are defined."""

    statuses: dict[str, int] = {}  # "": nothing was counted yet
    average_remaining: float | None = None  # of those that were looked at

    @property
    def total(self) -> int:
        """How many there are."""
        return sum(self.statuses.values())

    def looked_at(self) -> BudgetSummary:
        """The same of those that were looked at."""
        healthy, warning, critical, exhausted = (self.statuses.get(status.value, 0) for status in _STATUSES)
        total, average = self.total - self.statuses.get("", 0), self.average_remaining or 0.0
        return BudgetSummary(total, healthy, warning, critical, exhausted, average)


class Look(msgspec.Struct, frozen=True):
    """What was believed of a budget at a time."""

    upto: datetime
    remaining: float
    burn_1h: float = 0.0
    burn_6h: float = 0.0
    burn_24h: float = 0.0
    burn_3d: float = 0.0


class Violated(msgspec.Struct, frozen=True):
    """A violation was opened or closed."""

    at: datetime
    event_type: str
    kind: str = ""
    severity: str = ""
    remaining: float = 0.0
    burn_rate: float = 0.0
    duration_ms: int = 0


def budgets(
    reader: Reader,
    service: str = "",
    status: str = "",
    text: str = "",
    slo_id: str = "",
    most: int = ROWS_MAX,
) -> tuple[SloBudget, ...]:
    """The SLOs and their budgets, that of which least is left first; a filter that is empty narrows nothing.

    `text` stands in the id or the name. Raises ClickHouseError.
    """
    rest = (
        "WHERE {service:String} IN ('', service_name) AND {status:String} IN ('', ifNull(status, '')) "
        "AND {slo:String} IN ('', slo_id) AND ({text:String} = '' "
        "OR positionCaseInsensitive(concat(slo_id, ' ', name), {text:String}) > 0) "
        "ORDER BY isNull(remaining), remaining, slo_id, dimension LIMIT {most:UInt32}"
    )
    asked = {"service": service, "status": status, "text": text, "slo": slo_id, "most": most}
    return rows_as(SloBudget, reader.rows(select(SloBudget, _JOINED, rest), asked))


def summary(reader: Reader, service: str = "") -> Summary:
    """How all of them stand, or those of a service. Raises ClickHouseError."""
    sql = (
        f"SELECT ifNull(status, ''), count(), sum(remaining) FROM {_JOINED} "
        "WHERE {service:String} IN ('', service_name) GROUP BY 1"
    )
    rows = reader.rows(sql, {"service": service})
    looked = [(int(count), float(left)) for status, count, left in rows if status]
    count = sum(count for count, _ in looked)
    average = sum(left for _, left in looked) / count if count else None
    return Summary({str(status): int(count) for status, count, _ in rows}, average)


def budget(reader: Reader, slo_id: str, dimension: str = "") -> BudgetInfo | None:
    """An SLO's budget as it was looked at last; None: nothing was counted yet. Raises ClickHouseError."""
    sql = select(BudgetInfo, _NEWEST_OF_SLO, "ORDER BY measure DESC LIMIT 1")
    found = rows_as(BudgetInfo, reader.rows(sql, {"slo": slo_id, "dimension": dimension}))
    return found[0] if found else None


def burn_rates(reader: Reader, found: BudgetInfo) -> BurnRates:
    """How fast a budget burns, as that look at it says. Raises ClickHouseError."""
    sql = (
        "SELECT sums.window, sums.good, sums.valid, sums.burn_rate FROM budgets_versions "
        "WHERE budget_id = {id:String} AND version = {version:UInt64} LIMIT 1"
    )
    rows = reader.rows(sql, {"id": found.budget_id, "version": found.version})
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
    return _versions(reader, BudgetInfo, f"({_LOOKS})", budget_id, before, limit)


def history(
    reader: Reader, budget_id: str, since: datetime, until: datetime, points: int = POINTS_MAX
) -> tuple[Look, ...]:
    """The looks at a budget as they were made then: of so many parts of a time, the last of each.

    Raises ClickHouseError.
    """
    step_s = max(int((until - since).total_seconds()) // points, 1)
    sql = (
        "SELECT max(upto) AS at, argMax(remaining, version), "
        + ", ".join(
            f"argMax({sql}, version)" for name, sql in BUDGETS.computed if name in Look.__struct_fields__
        )
        + " FROM budgets_versions WHERE budget_id = {budget:String} AND upto >= {since:DateTime64(6, 'UTC')} "
        "GROUP BY toStartOfInterval(upto, toIntervalSecond({step:UInt32})) ORDER BY at"
    )
    asked: dict[str, Any] = {"budget": budget_id, "since": moment_text(since), "step": step_s}
    return rows_as(Look, reader.rows(sql, asked))


def violations(reader: Reader, budget_id: str, most: int = 50) -> tuple[Violated, ...]:
    """What was opened and closed of a budget, the newest first. Raises ClickHouseError."""
    rest = "WHERE budget_id = {budget:String} ORDER BY at DESC, event_type, kind LIMIT {most:UInt32}"
    asked = {"budget": budget_id, "most": most}
    return rows_as(Violated, reader.rows(select(Violated, _TOLD_VIOLATIONS, rest), asked))


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
