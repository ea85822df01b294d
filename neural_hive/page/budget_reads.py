"""SLOs, error budgets, freezes and policies as the tables tell them: one look for all who show them.

The newest look at each budget is read by its key: `budgets` would fold every look that there ever was.
"""

from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from neural_hive.projections.budgets import BUDGETS
from neural_hive.sdk.tables import Reader
from neural_hive.sdk.views import rows_as, select
from neural_hive.slo_views import AdjustmentInfo, FreezeInfo, PolicyInfo

ROWS_MAX: Final = 500
POINTS_MAX: Final = 300
_COMPUTED: Final = ", ".join(f"{sql} AS {name}" for name, sql in BUDGETS.computed)
_LAST: Final = (
    f"SELECT *, {_COMPUTED} FROM budgets_versions WHERE (budget_id, version) IN "
    "(SELECT budget_id, max(version) FROM budgets_versions GROUP BY budget_id)"
)
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
    f"LEFT JOIN ({_LAST}) AS b ON s.slo_id = b.slo_id AND s.measure = b.measure)"
)

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


def summary(reader: Reader) -> Summary:
    """How all of them stand. Raises ClickHouseError."""
    rows = reader.rows(f"SELECT ifNull(status, ''), count(), sum(remaining) FROM {_JOINED} GROUP BY 1")
    looked = [(int(count), float(left)) for status, count, left in rows if status]
    count = sum(count for count, _ in looked)
    average = sum(left for _, left in looked) / count if count else None
    return Summary({str(status): int(count) for status, count, _ in rows}, average)


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
    asked: dict[str, Any] = {"budget": budget_id, "since": _moment(since), "step": step_s}
    return rows_as(Look, reader.rows(sql, asked))


def violations(reader: Reader, budget_id: str, most: int = 50) -> tuple[Violated, ...]:
    """What was opened and closed of a budget, the newest first. Raises ClickHouseError."""
    rest = "WHERE budget_id = {budget:String} ORDER BY at DESC, event_type, kind LIMIT {most:UInt32}"
    asked = {"budget": budget_id, "most": most}
    return rows_as(Violated, reader.rows(select(Violated, _TOLD_VIOLATIONS, rest), asked))


def adjustments(reader: Reader, budget_id: str, most: int = 50) -> tuple[AdjustmentInfo, ...]:
    """Who has corrected a budget, the newest first. Raises ClickHouseError."""
    rest = "WHERE budget_id = {budget:String} ORDER BY adjusted_at DESC LIMIT {most:UInt32}"
    asked = {"budget": budget_id, "most": most}
    return rows_as(AdjustmentInfo, reader.rows(select(AdjustmentInfo, "budget_adjustments", rest), asked))


def freezes(
    reader: Reader, only_active: bool = True, budget_id: str = "", most: int = ROWS_MAX
) -> tuple[FreezeInfo, ...]:
    """Freezes, of one budget or of all, the newest first. Raises ClickHouseError."""
    rest = (
        "WHERE (status = 'ACTIVE' OR NOT {active:Bool}) AND {budget:String} IN ('', budget_id) "
        "ORDER BY activated_at DESC, freeze_id LIMIT {most:UInt32}"
    )
    asked = {"active": int(only_active), "budget": budget_id, "most": most}
    return rows_as(FreezeInfo, reader.rows(select(FreezeInfo, "freezes", rest), asked))


def frozen_times(
    reader: Reader, budget_id: str, since: datetime, most: int = 100
) -> tuple[tuple[datetime, datetime], ...]:
    """From when to when a budget has frozen something, as far as it is over, the newest first.

    Raises ClickHouseError.
    """
    sql = (
        "SELECT resolved_at - toIntervalMillisecond(duration_ms), resolved_at FROM freezes_versions "
        "WHERE event_type = 'FreezeResolved' AND budget_id = {budget:String} "
        "AND resolved_at >= {since:DateTime64(6, 'UTC')} ORDER BY resolved_at DESC LIMIT {most:UInt32}"
    )
    rows = reader.rows(sql, {"budget": budget_id, "since": _moment(since), "most": most})
    return tuple((began.replace(tzinfo=UTC), ended.replace(tzinfo=UTC)) for began, ended in rows)


def policies(reader: Reader, most: int = ROWS_MAX) -> tuple[PolicyInfo, ...]:
    """The policies that are defined, by their ids. Raises ClickHouseError."""
    rest = "WHERE status != 'REMOVED' ORDER BY policy_id LIMIT {most:UInt32}"
    return rows_as(PolicyInfo, reader.rows(select(PolicyInfo, "freeze_policies", rest), {"most": most}))


def held_tickets(reader: Reader) -> dict[str, int]:
    """How many tickets each freeze holds back now. Raises ClickHouseError."""
    sql = (
        "SELECT freeze_id, count() FROM (SELECT held_by FROM tickets WHERE ticket_id IN "
        "(SELECT ticket_id FROM tickets_versions WHERE event_type = 'TicketHeld')) "
        "ARRAY JOIN held_by.freeze_id AS freeze_id GROUP BY freeze_id"
    )
    return {str(freeze_id): int(count) for freeze_id, count in reader.rows(sql)}


def _moment(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
