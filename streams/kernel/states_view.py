"""Views of aggregates: each as its owner knows it, a moment later, by its id; folded by its own `evolve`."""

from collections.abc import Callable
from typing import Any, TypeVar

from neural_hive.aggregates.aggregate import Aggregate, event_of
from neural_hive.schemas.codec import decode
from neural_hive.schemas.envelope import Envelope
from neural_hive.streams.kernel.broadcast import View

S = TypeVar("S")


def states_view(
    aggregate: Aggregate[S], is_kept: Callable[[S], bool] = lambda state: True
) -> View[dict[str, S]]:
    """The view of an aggregate's topic, without the states that are not kept.

    What is not kept is unknown until it begins again, by the first of the aggregate's events: what else happens to it
    changes nothing, as events of other aggregates of the topic do.
    """
    begins = aggregate.events[0]

    def add(known: dict[str, S], record: Any) -> dict[str, S]:
        decoded = decode(record.value(), "event")
        assert isinstance(decoded.head, Envelope)
        if decoded.head.aggregate_type != aggregate.name:
            return known
        event, name = event_of(aggregate, decoded.head.event_type, decoded.payload), decoded.head.aggregate_id
        before = known.get(name)
        if before is None and not isinstance(event, begins):
            return known
        after = aggregate.evolve(before, event)
        if is_kept(after):
            return {**known, name: after}
        return {other: state for other, state in known.items() if other != name}

    return View(aggregate.topic, {}, add)
