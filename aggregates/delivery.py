"""A delivery: one event that is to be told to one receiver by webhook.

Protects: it is told at least once, or the log says why not; every attempt has the same id, so that a receiver knows a
repeat; attempts follow each other with growing waits, and there are only so many; a report counts once, and only for
the attempt that is under way.

    SENDING ⇄ WAITING → DELIVERED | DEAD | DROPPED, and from these by a person's word → SENDING
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final, assert_never

import msgspec

from neural_hive.aggregates.aggregate import Aggregate, Command, Event, Rejected, members
from neural_hive.aggregates.identity import derived_id
from neural_hive.aggregates.ticket import ViewPosition

DUE_TIMER: Final = "due"
REASON_CHARS_MAX: Final = 1_000
PUT_OFF_MS: Final = (
    10_000  # how long what cannot be posted now waits for the first time, then twice as long …
)
PUT_OFF_MS_MAX: Final = 600_000
RETRY_AFTER_MS_MAX: Final = 3_600_000  # a receiver may ask for this long a wait, and no longer
JITTER: Final = (
    0.2  # waits are this much shorter or longer, so that what failed together does not return together
)
EXPIRED: Final = "nobody waits for it any more"


class Outcome(StrEnum):
    """What became of an attempt."""

    UNKNOWN = "UNKNOWN"
    DELIVERED = "DELIVERED"
    FAILED = "FAILED"
    POSTPONED = "POSTPONED"  # not made now
    GONE = "GONE"  # the receiver will never take anything again
    UNFIT = "UNFIT"  # it cannot be made, now or later


class Target(msgspec.Struct, frozen=True):
    """What is told to whom."""

    delivery_id: str
    subscription_id: str
    routing_id: str  # the workflow's id
    url: str
    event_id: str
    event_type: str
    topic: str  # where the event stands in the log
    partition: int
    offset: int
    expires_at: int  # µs


class Schedule(Command, frozen=True):
    """Tell an event to a receiver; put off: why not now."""

    target: Target
    now: int  # µs
    put_off: str = ""
    views: tuple[ViewPosition, ...] = ()


class Record(Command, frozen=True):
    """An attempt has ended."""

    attempt: int
    outcome: Outcome
    status_code: int
    reason: str
    duration_ms: int
    retry_after_ms: int
    retries_ms: tuple[int, ...]  # waits after the first, second … failure
    now: int


class Release(Command, frozen=True):
    """The time of the next attempt has come."""

    url: str
    now: int


class PutOff(Command, frozen=True):
    """The time of the next attempt has come, and it cannot be made now."""

    reason: str
    now: int


class Drop(Command, frozen=True):
    """Nobody waits for it any more."""

    reason: str
    now: int


class Redeliver(Command, frozen=True):
    """Try it again at once."""

    url: str
    reason: str
    requested_by: str
    expires_at: int
    now: int


DeliveryCommand = Schedule | Record | Release | PutOff | Drop | Redeliver


class DeliveryScheduled(Target, Event, frozen=True):
    """An event is to be told to a receiver."""

    scheduled_at: int
    attempt: int  # 0: not yet
    due_at: int
    views: tuple[ViewPosition, ...] = ()


class DeliveryDue(Target, Event, frozen=True):
    """The next attempt at a delivery is to be made now."""

    attempt: int
    released_at: int
    reason: str = ""
    requested_by: str = ""


class DeliveryPostponed(Event, frozen=True):
    """An attempt was not made: its receiver has too much to do, is down, or its subscription is paused."""

    attempt: int
    reason: str
    due_at: int


class DeliveryFailed(Event, frozen=True):
    """A receiver did not take an event."""

    attempt: int
    status_code: int
    reason: str
    duration_ms: int
    failures: int
    retry_at: int  # 0: it is not tried again


class DeliverySucceeded(Event, frozen=True):
    """A receiver has taken an event."""

    attempt: int
    status_code: int
    duration_ms: int
    delivered_at: int


class DeliveryDead(Event, frozen=True):
    """An event was not taken, and is not tried again, unless somebody asks for it."""

    attempt: int
    failures: int
    reason: str
    died_at: int


class DeliveryDropped(Event, frozen=True):
    """Nobody waits for a delivery any more: its subscription has ended."""

    attempt: int
    reason: str
    dropped_at: int


DeliveryEvent = (
    DeliveryScheduled
    | DeliveryDue
    | DeliveryPostponed
    | DeliveryFailed
    | DeliverySucceeded
    | DeliveryDead
    | DeliveryDropped
)


class Status(StrEnum):
    """How far a delivery is."""

    SENDING = "SENDING"
    WAITING = "WAITING"
    DELIVERED = "DELIVERED"
    DEAD = "DEAD"
    DROPPED = "DROPPED"


class Delivery(msgspec.Struct, frozen=True):
    """What the events so far make of a delivery."""

    target: Target
    status: Status
    attempt: int
    due_at: int = 0  # µs, while it waits
    failures: int = 0
    put_off: int = 0  # times in a row


def delivery_id_of(subscription_id: str, event_id: str) -> str:
    """The id of the telling of an event to a subscription."""
    return derived_id("webhook", subscription_id, event_id)


def decide(found: Delivery | None, command: DeliveryCommand) -> list[DeliveryEvent]:
    """The events that follow from a command. Raises Rejected: there is no such delivery, or it makes no sense."""
    if isinstance(command, Schedule):
        return _schedule(found, command)
    if found is None:
        raise Rejected("there is no such delivery")
    match command:
        case Record():
            return _record(found, command)
        case Release() if found.status is Status.WAITING:
            return [_due(found, command.url, found.target.expires_at, command.now)]
        case PutOff() if found.status is Status.WAITING:
            return _put_off(found, command.reason, command.now)
        case Drop() if found.status is Status.WAITING:
            return [DeliveryDropped(found.attempt, command.reason[:REASON_CHARS_MAX], command.now)]
        case Release() | PutOff() | Drop():
            return []
        case Redeliver():
            return _redeliver(found, command)
        case _:
            assert_never(command)


def _schedule(found: Delivery | None, command: Schedule) -> list[DeliveryEvent]:
    if found is not None:
        return []
    target, now = msgspec.structs.asdict(command.target), command.now
    attempt, due_at = (0, now + PUT_OFF_MS * 1_000) if command.put_off else (1, now)
    return [
        DeliveryScheduled(**target, scheduled_at=now, attempt=attempt, due_at=due_at, views=command.views)
    ]


def _record(found: Delivery, told: Record) -> list[DeliveryEvent]:
    if found.status is not Status.SENDING or told.attempt != found.attempt:
        return []  # a late word about an attempt that is over
    match told.outcome:
        case Outcome.DELIVERED:
            return [DeliverySucceeded(told.attempt, told.status_code, told.duration_ms, told.now)]
        case Outcome.POSTPONED:
            return _put_off(found, told.reason, told.now, told.retry_after_ms)
        case Outcome.FAILED | Outcome.GONE:
            return _fail(found, told)
        case Outcome.UNFIT:
            return [_dead(found, found.failures, told.reason, told.now)]
        case Outcome.UNKNOWN:
            raise Rejected("outcome is one that this build does not know")
        case _:
            assert_never(told.outcome)


def _fail(found: Delivery, told: Record) -> list[DeliveryEvent]:
    failures, reason = found.failures + 1, told.reason[:REASON_CHARS_MAX]
    retry_at, why = 0, ""
    if told.outcome is Outcome.GONE:
        why = f"the receiver is gone: {reason}"
    elif failures > len(told.retries_ms):
        why = f"it failed {failures} times, the last time: {reason}"
    else:
        wait_ms = _spread(found.target.delivery_id, failures, told.retries_ms[failures - 1])
        asked_ms = min(max(told.retry_after_ms, 0), RETRY_AFTER_MS_MAX)
        retry_at = told.now + max(wait_ms, asked_ms) * 1_000
        if retry_at > found.target.expires_at:
            retry_at, why = 0, f"{EXPIRED}; the last time: {reason}"
    failed = DeliveryFailed(told.attempt, told.status_code, reason, told.duration_ms, failures, retry_at)
    return [failed] if retry_at else [failed, _dead(found, failures, why, told.now)]


def _dead(found: Delivery, failures: int, reason: str, now: int) -> DeliveryDead:
    return DeliveryDead(found.attempt, failures, reason[:REASON_CHARS_MAX], now)


def _put_off(found: Delivery, reason: str, now: int, asked_ms: int = 0) -> list[DeliveryEvent]:
    """Waits for as long as is asked for; if nobody knows how long, longer each time."""
    wait_ms = min(PUT_OFF_MS << min(found.put_off, 20), PUT_OFF_MS_MAX)
    if asked_ms > 0:
        wait_ms = min(asked_ms, RETRY_AFTER_MS_MAX)
    due_at = now + _spread(found.target.delivery_id, -found.attempt, wait_ms) * 1_000
    if due_at > found.target.expires_at:
        return [_dead(found, found.failures, f"{EXPIRED}; it waited since: {reason}", now)]
    return [DeliveryPostponed(found.attempt, reason[:REASON_CHARS_MAX], due_at)]


def _spread(delivery_id: str, number: int, wait_ms: int) -> int:
    """A wait, up to JITTER shorter or longer, as the ids say: the log alone gives it."""
    share = int(derived_id(delivery_id, str(number))[:8], 16) / 0xFFFFFFFF
    return round(wait_ms * (1 - JITTER + 2 * JITTER * share))


def _redeliver(found: Delivery, command: Redeliver) -> list[DeliveryEvent]:
    if found.status is Status.SENDING:
        raise Rejected("it is being delivered: wait for the end of the attempt")
    reason = (command.reason or "somebody asks for it")[:REASON_CHARS_MAX]
    why = reason, command.requested_by[:REASON_CHARS_MAX]
    return [_due(found, command.url, command.expires_at, command.now, *why)]


def _due(found: Delivery, url: str, expires_at: int, now: int, reason: str = "", by: str = "") -> DeliveryDue:
    target = msgspec.structs.asdict(found.target) | {"url": url, "expires_at": expires_at}
    return DeliveryDue(**target, attempt=found.attempt + 1, released_at=now, reason=reason, requested_by=by)


def evolve(found: Delivery | None, event: DeliveryEvent) -> Delivery:
    """What an event makes of the delivery."""
    if isinstance(event, DeliveryScheduled):
        status = Status.SENDING if event.attempt else Status.WAITING
        return Delivery(_target(event), status, event.attempt, 0 if event.attempt else event.due_at)
    assert found is not None, "the history of a delivery begins with DeliveryScheduled"
    change = msgspec.structs.replace
    match event:
        case DeliveryDue():
            # Who asks by hand wants all tries again.
            failures = 0 if event.reason else found.failures
            target = _target(event)
            sending = change(found, target=target, status=Status.SENDING, attempt=event.attempt, due_at=0)
            return change(sending, failures=failures)
        case DeliveryPostponed():
            put_off = found.put_off + 1
            return change(found, status=Status.WAITING, due_at=event.due_at, put_off=put_off)
        case DeliveryFailed():
            status = Status.WAITING if event.retry_at else found.status
            failed = change(found, status=status, due_at=event.retry_at, put_off=0)
            return change(failed, failures=event.failures)
        case DeliverySucceeded():
            return change(found, status=Status.DELIVERED, due_at=0, put_off=0)
        case DeliveryDead():
            return change(found, status=Status.DEAD, due_at=0, put_off=0)
        case DeliveryDropped():
            return change(found, status=Status.DROPPED, due_at=0, put_off=0)
        case _:
            assert_never(event)


def _target(event: DeliveryScheduled | DeliveryDue) -> Target:
    return Target(*(getattr(event, name) for name in Target.__struct_fields__))


def timers(delivery: Delivery) -> Mapping[str, int]:
    """When the next attempt is to be made."""
    return {DUE_TIMER: delivery.due_at} if delivery.status is Status.WAITING else {}


DELIVERY = Aggregate(
    "delivery", "webhooks.deliveries", Delivery, members(DeliveryEvent), decide, evolve, timers
)
