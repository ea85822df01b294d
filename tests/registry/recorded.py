"""Events as they lie in a topic, for what reads them there."""

from typing import Any

import msgspec

from neural_hive.aggregates.aggregate import Aggregate, Event
from neural_hive.aggregates.pheromone import TrailReinforced, trail_id_of
from neural_hive.schemas.codec import encode_event
from neural_hive.schemas.envelope import NO_HASH, Envelope


class Recorded(msgspec.Struct, frozen=True):
    """A record as Kafka's client hands it over."""

    bytes: Any

    def value(self) -> Any:
        return self.bytes


def _owner(event: Any) -> str:
    if isinstance(event, TrailReinforced):
        return trail_id_of(event.domain, event.agent_id)
    return getattr(event, "agent_id", "any")


def recorded(aggregate: Aggregate[Any], event: Event) -> Recorded:
    """The record of an event, with an envelope in which only the types and the id matter."""
    nobody = "00000000-0000-0000-0000-000000000000"
    envelope = Envelope(
        type(event).__name__, aggregate.name, 1, "logic", "test", nobody, _owner(event), 1, 1, "", "", "0" * 32,
        "0" * 16, 1, "", 0, 0, NO_HASH,
    )  # fmt: skip
    return Recorded(encode_event(envelope, msgspec.to_builtins(event)))
