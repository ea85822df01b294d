"""A subscription: who is told of which events by webhook.

Protects: nobody is told of what happened before it was asked for; a receiver that says that it is gone is left alone
until a person resumes it; what has ended stays ended until somebody subscribes anew.

Secrets are no part of it: who sends finds them in files under the subscription's id.
"""

from enum import StrEnum
from typing import Final, assert_never

import msgspec

from neural_hive.aggregates.agent import NAME, webhook_problem
from neural_hive.aggregates.aggregate import Aggregate, Command, Event, Rejected, members
from neural_hive.aggregates.incident import INCIDENT
from neural_hive.aggregates.person import person
from neural_hive.aggregates.ticket import TICKET
from neural_hive.aggregates.vocabulary import TaskType
from neural_hive.aggregates.workflow import WORKFLOW

WATCHED: Final = (TICKET, WORKFLOW, INCIDENT)  # whose events can be told
EVENT_TYPES: Final = tuple(sorted(event.__name__ for watched in WATCHED for event in watched.events))
DISPATCHED: Final = "TicketDispatched"  # the only one that may name where it wants to be told
FILTER_MAX: Final = 100  # values of one filter
FILTER_CHARS_MAX: Final = 200
REASON_CHARS_MAX: Final = 1_000


class Filter(msgspec.Struct, frozen=True):
    """Which events are told: those that fit all that is not empty."""

    event_types: tuple[str, ...]  # names, or what they begin with and *
    plan_ids: tuple[str, ...] = ()
    task_types: tuple[TaskType, ...] = ()
    statuses: tuple[str, ...] = ()

    @property
    def asks_for_subject(self) -> bool:
        """Whether it asks for what most events do not tell themselves."""
        return bool(self.plan_ids or self.task_types)


class Subscribe(Command, frozen=True):
    """Tell somebody of events from now on."""

    subscription_id: str
    url: str  # empty: where the agent of each dispatched ticket wants to be called
    filter: Filter
    requested_by: str
    now: int  # µs


class Pause(Command, frozen=True):
    """Post nothing for now; what happens meanwhile waits."""

    reason: str
    requested_by: str
    now: int


class Resume(Command, frozen=True):
    """Work again."""

    reason: str
    requested_by: str
    now: int


class Disable(Command, frozen=True):
    """Its receiver is gone."""

    reason: str
    now: int


class End(Command, frozen=True):
    """Tell nothing more."""

    reason: str
    requested_by: str
    now: int


SubscriptionCommand = Subscribe | Pause | Resume | Disable | End


class SubscriptionCreated(Event, frozen=True):
    """Somebody is told of these events from now on."""

    subscription_id: str
    url: str
    event_types: tuple[str, ...]
    plan_ids: tuple[str, ...]
    task_types: tuple[TaskType, ...]
    statuses: tuple[str, ...]
    created_at: int
    requested_by: str = ""


class _Changed(Event, frozen=True):
    subscription_id: str
    reason: str
    changed_at: int
    requested_by: str = ""


class SubscriptionPaused(_Changed, frozen=True):
    """Nothing is posted for a subscription for now; what happens meanwhile waits."""


class SubscriptionResumed(_Changed, frozen=True):
    """A subscription works again."""


class SubscriptionDisabled(_Changed, frozen=True):
    """A receiver said that it is gone: it is told nothing more, until somebody resumes it."""


class SubscriptionEnded(_Changed, frozen=True):
    """Somebody is told of events no more."""


SubscriptionEvent = (
    SubscriptionCreated | SubscriptionPaused | SubscriptionResumed | SubscriptionDisabled | SubscriptionEnded
)


class Standing(StrEnum):
    """What becomes of the events of a subscription."""

    ACTIVE = "ACTIVE"
    PAUSED = "PAUSED"  # they wait
    DISABLED = "DISABLED"  # they are not told
    ENDED = "ENDED"  # nor are these


class Subscription(msgspec.Struct, frozen=True):
    """What the events so far make of a subscription."""

    subscription_id: str
    url: str
    filter: Filter
    standing: Standing
    since: int  # µs: what was appended before is not told


def decide(found: Subscription | None, command: SubscriptionCommand) -> list[SubscriptionEvent]:
    """The events that follow from a command; nothing, if it is so already. Raises Rejected: it makes no sense."""
    match command:
        case Subscribe():
            return _subscribe(found, command)
        case Pause():
            return _change(found, SubscriptionPaused, command, command.requested_by, (Standing.ACTIVE,))
        case Resume():
            stopped = (Standing.PAUSED, Standing.DISABLED)
            return _change(found, SubscriptionResumed, command, command.requested_by, stopped)
        case Disable():
            open_ = (Standing.ACTIVE, Standing.PAUSED)
            return _change(found, SubscriptionDisabled, command, "", open_)
        case End():
            left = (Standing.ACTIVE, Standing.PAUSED, Standing.DISABLED)
            return _change(found, SubscriptionEnded, command, command.requested_by, left)
        case _:
            assert_never(command)


def _subscribe(found: Subscription | None, command: Subscribe) -> list[SubscriptionEvent]:
    _check(command)
    wanted = command.filter
    is_same = found is not None and (found.url, found.filter) == (command.url, wanted)
    if found is not None and is_same and found.standing in (Standing.ACTIVE, Standing.PAUSED):
        return []
    return [
        SubscriptionCreated(
            command.subscription_id,
            command.url,
            wanted.event_types,
            wanted.plan_ids,
            wanted.task_types,
            wanted.statuses,
            command.now,
            person(command.requested_by, "requested_by"),
        )
    ]


def _check(command: Subscribe) -> None:
    wanted = command.filter
    if not NAME.fullmatch(command.subscription_id):
        raise Rejected(
            "a subscription's id must be 1 to 128 letters, digits, dots, - or _, "
            f"not {command.subscription_id[:140]!r}"
        )
    if wrong := webhook_problem(command.url):
        raise Rejected(wrong)
    if not command.url and wanted.event_types != (DISPATCHED,):
        raise Rejected(f"without a URL only {DISPATCHED} can be told: its agent may say where")
    if not wanted.event_types:
        raise Rejected("name the events that shall be told, or *")
    for pattern in wanted.event_types:
        if not any(_fits(pattern, known) for known in EVENT_TYPES):
            raise Rejected(f"there is no event {pattern[:140]!r}; there are: {', '.join(EVENT_TYPES)}")
    if TaskType.UNKNOWN in wanted.task_types:
        raise Rejected("task_types holds one that this build does not know")
    for values in msgspec.structs.astuple(wanted):
        if len(values) > FILTER_MAX or any(not 0 < len(value) <= FILTER_CHARS_MAX for value in values):
            raise Rejected(f"a filter can have {FILTER_MAX} values of 1 to {FILTER_CHARS_MAX} characters")


def _fits(pattern: str, event_type: str) -> bool:
    """Whether an event's name fits a pattern."""
    if pattern.endswith("*"):
        return event_type.startswith(pattern[:-1])
    return event_type == pattern


def takes(wanted: Filter, event_type: str) -> bool:
    """Whether an event's type is among those that are told."""
    return any(_fits(pattern, event_type) for pattern in wanted.event_types)


def _change(
    found: Subscription | None,
    event: type[_Changed],
    command: Pause | Resume | Disable | End,
    by: str,
    from_: tuple[Standing, ...],
) -> list[SubscriptionEvent]:
    if found is None:
        raise Rejected("there is no such subscription")
    if found.standing is Standing.ENDED and not isinstance(command, End | Disable):
        raise Rejected("the subscription has ended: subscribe anew")
    if found.standing not in from_:
        return []
    changed: SubscriptionEvent = event(  # type: ignore[assignment]  # one of the four
        found.subscription_id, command.reason[:REASON_CHARS_MAX], command.now, person(by, "requested_by")
    )
    return [changed]


def evolve(found: Subscription | None, event: SubscriptionEvent) -> Subscription:
    """What an event makes of the subscription."""
    if isinstance(event, SubscriptionCreated):
        wanted = Filter(event.event_types, event.plan_ids, event.task_types, event.statuses)
        return Subscription(event.subscription_id, event.url, wanted, Standing.ACTIVE, event.created_at)
    assert found is not None, "the history of a subscription begins with SubscriptionCreated"
    change = msgspec.structs.replace
    match event:
        case SubscriptionPaused():
            return change(found, standing=Standing.PAUSED)
        case SubscriptionResumed():
            # What waited in a pause is told; what a receiver that was gone has missed is not.
            since = found.since if found.standing is Standing.PAUSED else event.changed_at
            return change(found, standing=Standing.ACTIVE, since=since)
        case SubscriptionDisabled():
            return change(found, standing=Standing.DISABLED)
        case SubscriptionEnded():
            return change(found, standing=Standing.ENDED)
        case _:
            assert_never(event)


SUBSCRIPTION = Aggregate(
    "subscription", "webhooks.subscriptions", Subscription, members(SubscriptionEvent), decide, evolve
)
