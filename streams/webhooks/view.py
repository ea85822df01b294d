"""What every partition reads of the subscriptions: those that are told something."""

from typing import Final

from neural_hive.aggregates.subscription import SUBSCRIPTION, Standing, Subscription
from neural_hive.streams.kernel.broadcast import View
from neural_hive.streams.kernel.states_view import states_view

Subscriptions = dict[str, Subscription]

SUBSCRIPTIONS: Final[View[Subscriptions]] = states_view(
    SUBSCRIPTION, lambda s: s.standing is not Standing.ENDED
)
