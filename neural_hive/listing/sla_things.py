"""SLOs, policies, budgets, freezes and violations, and by what each can be asked for."""

from typing import Final

from neural_hive.listing.filters import Filter, fixed, moving
from neural_hive.listing.listing import Listing

_IS_OF_SERVICE: Final = "slo_id IN (SELECT slo_id FROM slos WHERE service_name IN {values})"
_STANDS: Final = "(slo_id, measure) IN (SELECT slo_id, measure FROM slos WHERE status != 'REMOVED')"
# Whom a freeze concerns: all, the service itself, or a namespace in which the service has promised something.
_CONCERNS: Final = (
    "scope = 'GLOBAL' OR (scope = 'SERVICE' AND subject IN {values}) OR (scope = 'NAMESPACE' AND subject IN "
    "(SELECT namespace FROM slos WHERE service_name IN {values} AND namespace != ''))"
)
_ENABLED: Final = Filter("toString(ifNull(enabled, false)) IN {values}", moves=True)
_FREEZE_EVENTS: Final = (
    "(SELECT concat(freeze_id, ':', toString(version)) AS change_id, valid_from AS appended_at, * "
    "FROM freezes_versions)"
)

SLOS: Final = Listing(
    "slos",
    "slo_id",
    "changed_at",
    "event_type = 'SloDefined' AND version = 1",
    {
        "service_name": moving("service_name"),
        "layer": moving("layer"),
        "slo_type": moving("slo_type"),
        "enabled": _ENABLED,
        "status": moving("status"),
    },
)
POLICIES: Final = Listing(
    "freeze_policies",
    "policy_id",
    "changed_at",
    "event_type = 'FreezePolicyDefined' AND version = 1",
    {
        "scope": moving("scope"),
        "subject": moving("subject"),
        "enabled": _ENABLED,
        "status": moving("status"),
    },
)
# The first row of a budget is its first look: what stands before that are counts alone.
BUDGETS: Final = Listing(
    "budgets",
    "budget_id",
    "evaluated_at",
    "(budget_id, version) IN (SELECT budget_id, min(version) FROM budgets_versions GROUP BY budget_id)",
    {
        "slo_id": fixed("slo_id"),
        "service_name": Filter(_IS_OF_SERVICE),
        "stands": Filter(f"if({_STANDS}, 'true', 'false') IN {{values}}"),
        "status": moving("status"),
        "level": moving("level"),
    },
)
FREEZES: Final = Listing(
    "freezes",
    "freeze_id",
    "activated_at",
    "event_type = 'FreezeActivated' AND version = 1",
    {
        "policy_id": fixed("policy_id"),
        "slo_id": fixed("slo_id"),
        "service_name": Filter(_CONCERNS, moves=True),
        "status": moving("status"),
    },
)
FREEZE_CHANGES: Final = Listing(
    _FREEZE_EVENTS,
    "change_id",
    "appended_at",
    "1",
    {
        "freeze_id": fixed("freeze_id"),
        "policy_id": fixed("policy_id"),
        "slo_id": fixed("slo_id"),
        "service_name": Filter(_CONCERNS),
    },
    firsts=_FREEZE_EVENTS,
)
VIOLATIONS: Final = Listing(
    "violations",
    "violation_id",
    "opened_at",
    "event_type = 'ViolationOpened' AND version = 1",
    {
        "slo_id": fixed("slo_id"),
        "service_name": moving("service_name"),
        "kind": fixed("kind"),
        "severity": fixed("severity"),
        "status": moving("status"),
    },
)
SLO_ALERTS: Final = Listing(
    "slo_alerts",
    "alert_id",
    "noted_at",
    "event_type = 'AlertFired' AND version = 1",
    {"slo_id": fixed("slo_id"), "status": moving("status")},
)
