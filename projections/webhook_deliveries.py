"""Webhook deliveries: what is told to whom, how far each is, and what the receiver said last."""

from typing import Final

from neural_hive.projections.archive import EVENTS
from neural_hive.projections.projection import TIME, WORD, Column, Projection

_BEGINNINGS: Final = ("DeliveryScheduled", "DeliveryDue")
_STATUS: Final = (
    "multiIf(event_type = 'DeliveryScheduled', if(JSONExtractInt(payload, 'attempt') > 0, 'SENDING', 'WAITING'), "
    "event_type = 'DeliveryDue', 'SENDING', event_type IN ('DeliveryPostponed', 'DeliveryFailed'), 'WAITING', "
    "event_type = 'DeliverySucceeded', 'DELIVERED', event_type = 'DeliveryDead', 'DEAD', "
    "event_type = 'DeliveryDropped', 'DROPPED', NULL)"
)

WEBHOOK_DELIVERIES: Final = Projection(
    name="webhook_deliveries",
    source=EVENTS,
    types=(
        *_BEGINNINGS,
        *("DeliveryPostponed", "DeliveryFailed", "DeliverySucceeded", "DeliveryDead", "DeliveryDropped"),
    ),
    key=(Column("delivery_id", sql="aggregate_id"),),
    columns=(
        Column("status", WORD, sql=_STATUS),
        Column("subscription_id"),
        Column("event_type_told", WORD, paths=("event_type",)),
        Column("event_id"),
        Column("workflow_id", paths=("routing_id",)),
        Column("url"),
        Column("attempt", "UInt32"),
        Column("failures", "UInt32"),
        Column("status_code", "UInt16", told_by=("DeliveryDue",)),
        Column("reason", told_by=("DeliverySucceeded", "DeliveryDue")),
        Column("duration_ms", "Int64"),
        Column("scheduled_at", TIME),
        Column("due_at", TIME, paths=("due_at", "retry_at"), told_by=("DeliverySucceeded", "DeliveryDead")),
        Column("delivered_at", TIME),
        Column("died_at", TIME, told_by=("DeliveryDue", "DeliverySucceeded")),
        Column("expires_at", TIME),
    ),
)
