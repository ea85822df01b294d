"""SLOs, budgets, freezes and violations as they are read."""

from datetime import datetime

import msgspec

from neural_hive.aggregates.slo import Indicator


class SloInfo(msgspec.Struct, frozen=True):
    """An SLO as it stands; REMOVED: it is measured no longer. `measure` rises when something else is counted."""

    slo_id: str
    status: str
    name: str
    slo_type: str
    service_name: str
    target: float
    indicator: Indicator
    window_kind: str
    window_days: int
    layer: str
    namespace: str
    description: str
    labels: dict[str, str]
    enabled: bool
    revision: int
    measure: int
    requested_by: str
    reason: str
    changed_at: datetime | None


class PolicyInfo(msgspec.Struct, frozen=True):
    """A freeze policy as it stands; REMOVED: it freezes nothing any more."""

    policy_id: str
    status: str = ""
    name: str = ""
    scope: str = ""
    subject: str = ""
    actions: tuple[str, ...] = ()
    trigger_percent: float = 0.0
    unfreeze_percent: float = 0.0
    trigger_level: str = ""
    description: str = ""
    enabled: bool = True
    revision: int = 0
    requested_by: str = ""
    reason: str = ""
    changed_at: datetime | None = None


class BudgetInfo(msgspec.Struct, frozen=True):
    """An error budget, as it was looked at. `remaining`: share that is left; burn rates: 1 uses up exactly it."""

    budget_id: str
    slo_id: str = ""
    dimension: str = ""
    status: str = ""
    level: str = ""
    remaining: float = 0.0
    budget_total: float = 0.0
    budget_consumed: int = 0
    good: int = 0
    valid: int = 0
    burn_1h: float = 0.0
    burn_6h: float = 0.0
    burn_24h: float = 0.0
    burn_3d: float = 0.0
    exhausted_at: datetime | None = None  # 1970: as it burns now it will not be
    target: float = 0.0
    window_kind: str = ""
    window_days: int = 0
    starts_at: datetime | None = None
    upto: datetime | None = None
    revision: int = 0
    measure: int = 0
    evaluated_at: datetime | None = None
    version: int = 0


class BudgetSummary(msgspec.Struct, frozen=True):
    """How many budgets do how well; `average`: share that is left, of all of them."""

    total: int
    healthy: int
    warning: int
    critical: int
    exhausted: int
    average: float


class BurnWindow(msgspec.Struct, frozen=True):
    """What one of the windows holds, and how fast it burns."""

    window: str
    good: int
    valid: int
    burn_rate: float


class BurnRule(msgspec.Struct, frozen=True):
    """A level that is reached if both windows burn at least at a rate."""

    level: str
    rate: float
    long: str
    short: str
    is_met: bool


class BurnRates(msgspec.Struct, frozen=True):
    """How fast an SLO's budget burns, window by window, and which rules that meets."""

    slo_id: str
    budget_id: str
    dimension: str
    level: str
    upto: datetime | None
    windows: tuple[BurnWindow, ...]
    rules: tuple[BurnRule, ...]


class AdjustmentInfo(msgspec.Struct, frozen=True):
    """What a person has corrected: EXCLUDE, LIFT or CORRECT."""

    budget_id: str
    adjustment_id: str = ""
    slo_id: str = ""
    kind: str = ""
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    good: int = 0
    valid: int = 0
    requested_by: str = ""
    reason: str = ""
    adjusted_at: datetime | None = None
    version: int = 0


class FreezeInfo(msgspec.Struct, frozen=True):
    """A freeze as it stands: ACTIVE or RESOLVED, and what it was decided from last."""

    freeze_id: str
    status: str = ""
    policy_id: str = ""
    policy_revision: int = 0
    scope: str = ""
    subject: str = ""
    actions: tuple[str, ...] = ()
    slo_id: str = ""
    budget_id: str = ""
    remaining: float = 0.0
    level: str = ""
    upto: datetime | None = None
    reason: str = ""
    requested_by: str = ""
    activated_at: datetime | None = None
    resolved_at: datetime | None = None
    by_hand: bool = False
    duration_ms: int = 0


class FreezeChange(msgspec.Struct, frozen=True):
    """A freeze began, ended, or (FreezeRearmed) can begin again after a person had ended it."""

    change_id: str
    freeze_id: str = ""
    event_type: str = ""
    appended_at: datetime | None = None
    policy_id: str = ""
    policy_revision: int = 0
    scope: str = ""
    subject: str = ""
    slo_id: str = ""
    budget_id: str = ""
    remaining: float = 0.0
    level: str = ""
    reason: str = ""
    requested_by: str = ""
    by_hand: bool = False
    duration_ms: int = 0  # of one that ended


class ViolationInfo(msgspec.Struct, frozen=True):
    """An SLO that is violated, or soon will be: OPEN, or CLOSED again."""

    violation_id: str
    status: str = ""
    kind: str = ""
    severity: str = ""
    slo_id: str = ""
    budget_id: str = ""
    service_name: str = ""
    remaining: float = 0.0
    level: str = ""
    burn_rate: float = 0.0
    upto: datetime | None = None
    opened_at: datetime | None = None
    closed_at: datetime | None = None
    duration_ms: int = 0


class SloAlertInfo(msgspec.Struct, frozen=True):
    """An alert that another program has told of: FIRING or RESOLVED, by its clock."""

    alert_id: str
    status: str = ""
    slo_id: str = ""
    fingerprint: str = ""
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    receiver: str = ""
    generator_url: str = ""
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    requested_by: str = ""
    noted_at: datetime | None = None
