"""What is said to the webhooks' processor: by people, and by who posts."""

import msgspec

from neural_hive.aggregates.delivery import Outcome
from neural_hive.aggregates.vocabulary import TaskType

COMMANDS = "webhooks.commands"
RESULTS = "webhooks.results"


class Subscribe(msgspec.Struct, frozen=True):
    """Somebody wants to be told of events."""

    subscription_id: str
    url: str
    event_types: tuple[str, ...]
    plan_ids: tuple[str, ...] = ()
    task_types: tuple[TaskType, ...] = ()
    statuses: tuple[str, ...] = ()
    requested_by: str = ""


class PauseSubscription(msgspec.Struct, frozen=True):
    """Nothing shall be posted for a subscription for now."""

    subscription_id: str
    reason: str = ""
    requested_by: str = ""


class ResumeSubscription(msgspec.Struct, frozen=True):
    """A subscription shall work again."""

    subscription_id: str
    reason: str = ""
    requested_by: str = ""


class Unsubscribe(msgspec.Struct, frozen=True):
    """A subscription shall end."""

    subscription_id: str
    reason: str = ""
    requested_by: str = ""


class DisableSubscription(msgspec.Struct, frozen=True):
    """A receiver says that it is gone."""

    subscription_id: str
    reason: str


class Redeliver(msgspec.Struct, frozen=True):
    """A delivery shall be tried again, at once."""

    delivery_id: str
    routing_id: str
    reason: str
    requested_by: str = ""


class ReportDelivery(msgspec.Struct, frozen=True):
    """The sender says what became of an attempt at a delivery."""

    delivery_id: str
    routing_id: str
    attempt: int
    outcome: Outcome
    status_code: int = 0
    reason: str = ""
    duration_ms: int = 0
    retry_after_ms: int = 0
