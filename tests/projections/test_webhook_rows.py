"""The read models of webhooks: a delivery's way to its end, and a subscription's."""

from typing import Any

import msgspec

from neural_hive.projections.http_store import HttpStore
from neural_hive.projections.read_models import rebuild
from neural_hive.projections.webhook_deliveries import WEBHOOK_DELIVERIES
from neural_hive.projections.webhook_subscriptions import WEBHOOK_SUBSCRIPTIONS
from neural_hive.schemas.codec import encode_event
from tests.projections.grammar import given
from tests.projections.support import AT, envelope

TARGET = {
    "delivery_id": "d", "subscription_id": "s", "routing_id": "w", "url": "https://h/", "event_id": "e",
    "event_type": "TicketFailed", "topic": "execution.tickets", "partition": 1, "offset": 2, "expires_at": AT + 9,
}  # fmt: skip


def _event(aggregate: str, event_type: str, version: int, /, **payload: Any) -> bytes:
    head = msgspec.structs.replace(envelope(event_type, aggregate[0], version), aggregate_type=aggregate)
    return encode_event(head, payload)


def test_a_delivery(store: HttpStore) -> None:
    steps = [("SENDING", 1, None), ("WAITING", 1, 500), ("SENDING", 2, None), ("WAITING", 2, 500)]
    steps += [("DEAD", 2, None), ("SENDING", 3, None), ("DELIVERED", 3, 204)]
    failed = {"status_code": 500, "reason": "HTTP 500", "duration_ms": 7}
    given(
        store,
        _event("delivery", "DeliveryScheduled", 1, **TARGET, scheduled_at=AT, attempt=1, due_at=AT, views=[]),
        _event("delivery", "DeliveryFailed", 2, attempt=1, failures=1, retry_at=AT + 5, **failed),
        _event("delivery", "DeliveryDue", 3, **TARGET, attempt=2, released_at=AT + 5),
        _event("delivery", "DeliveryFailed", 4, attempt=2, failures=2, retry_at=0, **failed),
        _event("delivery", "DeliveryDead", 5, attempt=2, failures=2, reason="it failed", died_at=AT + 6),
        _event("delivery", "DeliveryDue", 6, **TARGET, attempt=3, released_at=AT + 7, reason="again"),
        _event(
            "delivery", "DeliverySucceeded", 7, attempt=3, status_code=204, duration_ms=3, delivered_at=AT + 8
        ),
    ).then_rows(
        WEBHOOK_DELIVERIES,
        *(
            {"delivery_id": "d", "status": status, "attempt": attempt, "status_code": code}
            for status, attempt, code in steps
        ),
    )
    rebuild(store, WEBHOOK_DELIVERIES)
    columns = "status, workflow_id, event_type_told, failures, isNull(died_at), isNull(due_at), reason"
    assert store.rows(f"SELECT {columns} FROM webhook_deliveries") == [
        ("DELIVERED", "w", "TicketFailed", 2, 1, 1, None)
    ]


def test_a_subscription(store: HttpStore) -> None:
    changed = {"subscription_id": "s", "reason": "because", "changed_at": AT + 1}
    wanted = {"event_types": ["*"], "plan_ids": ["p"], "task_types": ["BUILD"], "statuses": []}
    given(
        store,
        _event(
            "subscription", "SubscriptionCreated", 1, subscription_id="s", url="u", created_at=AT, **wanted
        ),
        _event("subscription", "SubscriptionPaused", 2, **changed),
        _event("subscription", "SubscriptionResumed", 3, **changed),
        _event("subscription", "SubscriptionDisabled", 4, **changed),
    ).then_rows(
        WEBHOOK_SUBSCRIPTIONS,
        *(
            {"subscription_id": "s", "status": status}
            for status in ("ACTIVE", "PAUSED", "ACTIVE", "DISABLED")
        ),
    )
    rebuild(store, WEBHOOK_SUBSCRIPTIONS)
    columns = "status, url, event_types, plan_ids, task_types, reason"
    assert store.rows(f"SELECT {columns} FROM webhook_subscriptions") == [
        ("DISABLED", "u", ["*"], ["p"], ["BUILD"], "because")
    ]
