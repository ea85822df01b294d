"""What every partition reads of the subscriptions: those that are told something, folded by their own `evolve`."""

from typing import Any, Final

from neural_hive.aggregates.aggregate import event_of
from neural_hive.aggregates.subscription import (
    SUBSCRIPTION,
    Standing,
    Subscription,
    SubscriptionEvent,
    evolve,
)
from neural_hive.schemas.codec import decode
from neural_hive.schemas.envelope import Envelope
from neural_hive.streams.kernel.broadcast import View

Subscriptions = dict[str, Subscription]


def _with(known: Subscriptions, record: Any) -> Subscriptions:
    decoded = decode(record.value(), "event")
    assert isinstance(decoded.head, Envelope)
    if decoded.head.aggregate_type != SUBSCRIPTION.name:
        return known
    event: SubscriptionEvent = event_of(  # type: ignore[assignment]  # it gives events of this aggregate
        SUBSCRIPTION, decoded.head.event_type, decoded.payload
    )
    subscription = evolve(known.get(event.subscription_id), event)
    changed = {**known, subscription.subscription_id: subscription}
    if subscription.standing is Standing.ENDED:
        del changed[subscription.subscription_id]
    return changed


SUBSCRIPTIONS: Final[View[Subscriptions]] = View(SUBSCRIPTION.topic, {}, _with)
