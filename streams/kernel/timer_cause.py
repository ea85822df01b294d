"""What a timer that fires is to its handler: a message of its own, whose id follows from the state."""

from neural_hive.aggregates.identity import derived_id
from neural_hive.connectors.tracing import root_of
from neural_hive.streams.kernel.fold import Fold, Route
from neural_hive.streams.kernel.state import Timer, row_key
from neural_hive.streams.kernel.unit import Cause, cause_digest


def cause_of(fold: Fold, timer: Timer, partition: int) -> Cause:
    """The cause of what follows when the timer fires in this state.

    After an outage timers that came due meanwhile fire in turn, each at its own time: an aggregate may come to wait for
    a time at which it was woken before. With its version this is another message, and no repeat.
    """
    row = fold.row(fold.aggregates[timer.aggregate], row_key(timer.aggregate, timer.aggregate_id))
    version = row.version if row is not None else 0
    message_id = derived_id(timer.aggregate_id, timer.name, str(timer.due), str(version))
    route = Route(timer.routing_id, timer.correlation_id, timer.trace_id)
    return Cause(
        message_id, cause_digest(message_id), route, timer.due, "", partition, 0, 0, root_of(timer.trace_id)
    )
