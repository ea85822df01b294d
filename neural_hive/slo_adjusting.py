"""What a person asks of budgets and freezes, as messages: the terminal and the HTTP API ask in the same words."""

from neural_hive.aggregates.budget import AdjustmentKind
from neural_hive.aggregates.identity import derived_id
from neural_hive.aggregates.sla_window import MINUTE
from neural_hive.sdk.tables import Reader
from neural_hive.streams.sla.messages import AdjustBudget, ResolveFreeze

_ID_CHARS = 8
_ROUTE = "SELECT slo_id, policy_id FROM freezes WHERE freeze_id = {freeze:String}"


def exclusion(
    slo_id: str, starts_at: int, ends_at: int, reason: str, by: str, dimension: str = "", name: str = ""
) -> AdjustBudget:
    """What happens from one time to another (µs) shall not count. `name`: its id; "": one is made of the rest."""
    times = starts_at, ends_at
    made = name or derived_id("exclude", slo_id, dimension, *map(str, times))[:_ID_CHARS]
    kind = AdjustmentKind.EXCLUDE
    return AdjustBudget(slo_id, made, kind, *times, reason, dimension=dimension, requested_by=by)


def lifting(slo_id: str, name: str, reason: str, by: str, dimension: str = "") -> AdjustBudget:
    """What was excluded shall count again."""
    kind = AdjustmentKind.LIFT
    return AdjustBudget(slo_id, name, kind, 0, 0, reason, dimension=dimension, requested_by=by)


def correction(
    slo_id: str, minute: int, good: int, valid: int, reason: str, by: str, dimension: str = ""
) -> AdjustBudget:
    """So many good and valid events more (fewer, below 0) in a minute (its beginning, µs)."""
    parts = slo_id, dimension, str(minute), str(good), str(valid), reason
    made = derived_id("correct", *parts)[:_ID_CHARS]
    times = minute, minute + MINUTE
    return AdjustBudget(
        slo_id, made, AdjustmentKind.CORRECT, *times, reason, dimension, good, valid, requested_by=by
    )


def resolving(reader: Reader, freeze_id: str, reason: str, by: str) -> ResolveFreeze | None:
    """A freeze shall end; None: the tables know no such freeze. Raises ClickHouseError."""
    rows = reader.rows(_ROUTE, {"freeze": freeze_id})
    if not rows:
        return None
    slo_id, policy_id = rows[0]
    return ResolveFreeze(freeze_id, str(slo_id or policy_id), reason, by)
