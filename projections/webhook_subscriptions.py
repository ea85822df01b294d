"""Webhook subscriptions: who is told of which events, and whether that is so now."""

from typing import Final

from neural_hive.projections.archive import EVENTS
from neural_hive.projections.projection import TIME, WORD, Column, Projection, by_type

STATUS_AFTER: Final = {
    "SubscriptionCreated": "ACTIVE",
    "SubscriptionPaused": "PAUSED",
    "SubscriptionResumed": "ACTIVE",
    "SubscriptionDisabled": "DISABLED",
    "SubscriptionEnded": "ENDED",
}
_CREATED: Final = ("SubscriptionCreated",)

WEBHOOK_SUBSCRIPTIONS: Final = Projection(
    name="webhook_subscriptions",
    source=EVENTS,
    types=tuple(STATUS_AFTER),
    key=(Column("subscription_id"),),
    columns=(
        Column("status", WORD, sql=by_type(STATUS_AFTER)),
        Column("url"),
        Column("event_types", "Array(String)", told_by=_CREATED),
        Column("plan_ids", "Array(String)", told_by=_CREATED),
        Column("task_types", "Array(String)", told_by=_CREATED),
        Column("statuses", "Array(String)", told_by=_CREATED),
        Column("created_at", TIME),
        Column("changed_at", TIME, told_by=_CREATED),
        Column("reason", told_by=_CREATED),
        Column("requested_by"),
    ),
)
