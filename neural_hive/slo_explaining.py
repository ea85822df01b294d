"""How an SLO's numbers came about: which events, which formula, whose corrections."""

from datetime import datetime
from typing import Any, Final

import msgspec

from neural_hive.aggregates.composite import PART, whole_weights
from neural_hive.sdk.tables import Reader

SOURCES_MAX: Final = 20
ADJUSTMENTS_MAX: Final = 50
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
    *("starts_at", "upto"),
)
_BUDGET: Final = (
    f"SELECT {', '.join(_NUMBERS)}, sums.window, sums.good, sums.valid, sums.burn_rate FROM budgets "
    "WHERE slo_id = {slo:String} AND dimension = {dimension:String} ORDER BY measure DESC LIMIT 1"
)
_ADJUSTMENTS: Final = (
    "SELECT adjustment_id, kind, starts_at, ends_at, good, valid, reason FROM budget_adjustments "
    f"WHERE budget_id = {{budget:String}} ORDER BY adjusted_at DESC LIMIT {ADJUSTMENTS_MAX}"
)
_BAD: Final = (
    "SELECT c.at, counted_from, c.valid - c.good FROM sli_counts ARRAY JOIN counts AS c "
    "WHERE budget_id = {budget:String} AND c.good < c.valid "
    f"ORDER BY c.at DESC LIMIT {SOURCES_MAX}"
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
            lines += [f"{b.minute:%Y-%m-%d %H:%M}  {b.count:,}  {b.place}" for b in self.bad]
        return "\n".join(lines)


def explained(reader: Reader, slo_id: str, dimension: str = "") -> Explanation | None:
    """An SLO's numbers and what they follow from; None: there are none yet. Raises ClickHouseError."""
    rows = reader.rows(_BUDGET, {"slo": slo_id, "dimension": dimension})
    if not rows:
        return None
    *numbers, names, good, valid, rates = rows[0]
    found: dict[str, Any] = dict(zip(_NUMBERS, numbers, strict=True))
    asked: dict[str, Any] = {"budget": found["budget_id"]}
    return Explanation(
        slo_id=slo_id,
        windows=tuple(Window(*each) for each in zip(names, good, valid, rates, strict=True)),
        adjustments=tuple(Adjustment(*row) for row in reader.rows(_ADJUSTMENTS, asked)),
        bad=tuple(Bad(*row) for row in reader.rows(_BAD, asked)),
        parts=_parts(reader, slo_id, asked),
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
