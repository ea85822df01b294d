"""What the sender reads of the log: attempts that are to be made, and that attempts are over."""

from typing import Final

import msgspec

from neural_hive.aggregates.delivery import Target
from neural_hive.schemas.catalogue import UnknownSchema, registered
from neural_hive.schemas.codec import decode, schema_id
from neural_hive.schemas.envelope import Envelope
from neural_hive.streams.work_ledger import Key

_ORDERS: Final = frozenset({"DeliveryScheduled", "DeliveryDue"})
_ENDS: Final = frozenset(
    {"DeliveryPostponed", "DeliveryFailed", "DeliverySucceeded", "DeliveryDead", "DeliveryDropped"}
)


class Newer(Exception):
    """A newer build wrote an event that may be an order; the text says what to do."""


class Order(msgspec.Struct):
    """One attempt that is to be made."""

    target: Target
    attempt: int
    trace_id: str
    correlation_id: str
    event_id: str  # of the order itself
    places: list[tuple[int, int]] = []

    @property
    def key(self) -> Key:
        """Which attempt it is."""
        return self.target.delivery_id, self.attempt


class Over(msgspec.Struct, frozen=True):
    """The log says that an attempt is over."""

    key: Key


def order_of(value: bytes) -> Order | Over | None:
    """What an event of webhooks.deliveries means to the sender; None: nothing. Raises BadRecord, Newer."""
    row = registered().get(schema_id(value))
    if row is None:
        raise Newer(f"a newer build wrote an event with schema id {schema_id(value)}: update the sender")
    if row.name not in _ORDERS and row.name not in _ENDS:
        return None
    try:
        decoded = decode(value, "event")
    except UnknownSchema as error:
        raise Newer(str(error)) from error
    head, payload = decoded.head, decoded.payload
    assert isinstance(head, Envelope)
    if row.name in _ENDS:
        return Over((head.aggregate_id, payload["attempt"]))
    if not payload["attempt"]:
        return None  # it waits
    target = msgspec.convert({name: payload[name] for name in Target.__struct_fields__}, Target)
    return Order(target, payload["attempt"], head.trace_id, head.correlation_id, head.event_id)
