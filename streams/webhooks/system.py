"""Webhooks: who has subscribed to events is told of them, each at least once, or the log says why not.

    execution.tickets, orchestration.workflows, orchestration.incidents
                        → for each subscription that wants the event a delivery     → webhooks.deliveries
    webhooks.results    → the sender says what became of an attempt: it is over, tried again later, or dead
                                                                     → webhooks.deliveries, dead.letters
    timer "due"         → the next attempt is to be made             → webhooks.deliveries
    webhooks.commands   → subscribe, pause, resume, unsubscribe      → webhooks.subscriptions
                        → redeliver                                  → webhooks.deliveries

A delivery stands in the partition of its event. Subscriptions are read whole by every partition. Who posts
(`sender.py`) reads webhooks.deliveries, as a worker reads its tickets, and knows nothing else.
"""

from typing import Any, Final

import msgspec

from neural_hive.aggregates.aggregate import Rejected
from neural_hive.aggregates.delivery import (
    DELIVERY,
    DUE_TIMER,
    DeliveryDead,
    Drop,
    Outcome,
    PutOff,
    Record,
    Release,
    Schedule,
    Target,
    delivery_id_of,
)
from neural_hive.aggregates.delivery import Redeliver as TryAgain
from neural_hive.aggregates.subscription import (
    SUBSCRIPTION,
    WATCHED,
    Disable,
    End,
    Filter,
    Pause,
    Resume,
    Standing,
    Subscription,
)
from neural_hive.aggregates.subscription import Subscribe as Begin
from neural_hive.aggregates.ticket import ViewPosition
from neural_hive.aggregates.webhook_subject import SUBJECT
from neural_hive.streams.kernel.inbox import DEAD_LETTERS
from neural_hive.streams.kernel.system import Happened, System, Unit
from neural_hive.streams.webhooks.matching import facts_of, note, wants
from neural_hive.streams.webhooks.messages import (
    COMMANDS,
    RESULTS,
    DisableSubscription,
    PauseSubscription,
    Redeliver,
    ReportDelivery,
    ResumeSubscription,
    Subscribe,
    Unsubscribe,
)
from neural_hive.streams.webhooks.view import SUBSCRIPTIONS, Subscriptions

NAME: Final = "webhooks"
VIEW: Final = "subscriptions"
SUBSCRIPTIONS_MAX: Final = 1_000  # each event is compared with each of them
PAUSED: Final = "the subscription is paused"
SOURCES: Final = tuple(watched.topic for watched in WATCHED)
_AGE_MAX_S: Final = 1e9


class Tries(msgspec.Struct, frozen=True):
    """How often and how long a delivery is tried."""

    retries_ms: tuple[int, ...] = (5_000, 30_000, 300_000, 1_800_000, 7_200_000, 18_000_000, 36_000_000)
    age_ms_max: int = 259_200_000


USUAL_TRIES: Final = Tries()


def build(tries: Tries = USUAL_TRIES) -> System:
    """The system, with what deliveries get when they are scheduled."""
    aggregates = SUBSCRIPTION, DELIVERY, SUBJECT
    webhooks = System(NAME, aggregates, (__name__,), views={VIEW: SUBSCRIPTIONS}, awaited=(VIEW,))

    def tell(unit: Unit, happened: Happened) -> None:
        known: Subscriptions = unit.view(VIEW).value
        note(unit, happened, known)
        facts = facts_of(unit, happened)
        for name in sorted(known):
            if wants(known[name], facts, unit.now):
                _schedule(unit, happened, known[name], tries)

    for topic in SOURCES:
        webhooks.on_events(topic)(tell)

    @webhooks.on(RESULTS, ReportDelivery, route="routing_id")
    def record(unit: Unit, report: ReportDelivery) -> None:
        _record(unit, report, tries)

    @webhooks.on_timer(DELIVERY, DUE_TIMER)
    def look_again(unit: Unit, delivery_id: str) -> None:
        _look_again(unit, delivery_id)

    @webhooks.on(COMMANDS, Redeliver, route="routing_id")
    def redeliver(unit: Unit, command: Redeliver) -> None:
        _redeliver(unit, command, tries)

    @webhooks.on(COMMANDS, Subscribe, route="subscription_id")
    def subscribe(unit: Unit, wanted: Subscribe) -> None:
        _subscribe(unit, wanted)

    @webhooks.on(COMMANDS, PauseSubscription, route="subscription_id")
    def pause(unit: Unit, command: PauseSubscription) -> None:
        wanted = Pause(command.reason, command.requested_by, unit.now)
        unit.execute(SUBSCRIPTION, command.subscription_id, wanted)

    @webhooks.on(COMMANDS, ResumeSubscription, route="subscription_id")
    def resume(unit: Unit, command: ResumeSubscription) -> None:
        wanted = Resume(command.reason, command.requested_by, unit.now)
        unit.execute(SUBSCRIPTION, command.subscription_id, wanted)

    @webhooks.on(COMMANDS, Unsubscribe, route="subscription_id")
    def unsubscribe(unit: Unit, command: Unsubscribe) -> None:
        wanted = End(command.reason, command.requested_by, unit.now)
        unit.execute(SUBSCRIPTION, command.subscription_id, wanted)

    @webhooks.on(COMMANDS, DisableSubscription, route="subscription_id")
    def disable(unit: Unit, command: DisableSubscription) -> None:
        unit.execute(SUBSCRIPTION, command.subscription_id, Disable(command.reason, unit.now))

    return webhooks


def _subscribe(unit: Unit, wanted: Subscribe) -> None:
    known = unit.view(VIEW).value
    if wanted.subscription_id not in known and len(known) >= SUBSCRIPTIONS_MAX:
        raise Rejected(f"there are {SUBSCRIPTIONS_MAX:,} subscriptions, and there can be no more: end some")
    asked = Filter(wanted.event_types, wanted.plan_ids, wanted.task_types, wanted.statuses)
    command = Begin(wanted.subscription_id, wanted.url, asked, wanted.requested_by, unit.now)
    unit.execute(SUBSCRIPTION, wanted.subscription_id, command)


def _schedule(unit: Unit, happened: Happened, subscription: Subscription, tries: Tries) -> None:
    url = subscription.url or happened.payload.get("webhook_url", "")
    if not url:
        return  # its agent reads the log
    event, record = happened.envelope, happened.record
    delivery_id = delivery_id_of(subscription.subscription_id, event.event_id)
    target = Target(
        delivery_id,
        subscription.subscription_id,
        happened.routing_id,
        url,
        event.event_id,
        event.event_type,
        record.topic,
        record.partition,
        record.offset,
        unit.now + tries.age_ms_max * 1_000,
    )
    put_off = PAUSED if subscription.standing is Standing.PAUSED else ""
    unit.execute(DELIVERY, delivery_id, Schedule(target, unit.now, put_off, _seen(unit)))


def _seen(unit: Unit) -> tuple[ViewPosition, ...]:
    """How much of the subscriptions was known."""
    view = unit.view(VIEW)
    offsets = tuple(view.positions[partition] for partition in sorted(view.positions))
    return (ViewPosition(SUBSCRIPTION.topic, offsets, round(min(view.age_s, _AGE_MAX_S) * 1_000)),)


def _record(unit: Unit, report: ReportDelivery, tries: Tries) -> None:
    told = Record(
        report.attempt,
        report.outcome,
        report.status_code,
        report.reason,
        report.duration_ms,
        report.retry_after_ms,
        tries.retries_ms,
        unit.now,
    )
    _bury(unit, report.delivery_id, unit.execute(DELIVERY, report.delivery_id, told))
    delivery = unit.load(DELIVERY, report.delivery_id)
    if report.outcome is Outcome.GONE and delivery is not None:
        name = delivery.target.subscription_id
        known = unit.view(VIEW).value.get(name)
        if (
            known is not None and known.url == delivery.target.url
        ):  # one of many agents that is gone ends nothing
            gone = {"subscription_id": name, "reason": report.reason}
            unit.send(COMMANDS, "DisableSubscription", name, gone)


def _look_again(unit: Unit, delivery_id: str) -> None:
    delivery = unit.load(DELIVERY, delivery_id)
    assert delivery is not None, "a timer belongs to a state"
    target = delivery.target
    known: Subscription | None = unit.view(VIEW).value.get(target.subscription_id)
    if known is None:
        events = unit.execute(DELIVERY, delivery_id, Drop("the subscription has ended", unit.now))
    elif known.standing is Standing.DISABLED:
        events = unit.execute(DELIVERY, delivery_id, Drop("the subscription is disabled", unit.now))
    elif known.standing is Standing.PAUSED:
        events = unit.execute(DELIVERY, delivery_id, PutOff(PAUSED, unit.now))
    else:
        events = unit.execute(DELIVERY, delivery_id, Release(known.url or target.url, unit.now))
    _bury(unit, delivery_id, events)


def _redeliver(unit: Unit, command: Redeliver, tries: Tries) -> None:
    delivery = unit.load(DELIVERY, command.delivery_id)
    if delivery is None:
        raise Rejected("there is no such delivery")
    known: Subscription | None = unit.view(VIEW).value.get(delivery.target.subscription_id)
    if known is None or known.standing is not Standing.ACTIVE:
        standing = known.standing if known else Standing.ENDED
        raise Rejected(
            f"the subscription {delivery.target.subscription_id} is {standing}: nothing is posted for it"
        )
    url, expires_at = known.url or delivery.target.url, unit.now + tries.age_ms_max * 1_000
    again = TryAgain(url, command.reason, command.requested_by, expires_at, unit.now)
    unit.execute(DELIVERY, command.delivery_id, again)


def _bury(unit: Unit, delivery_id: str, events: list[Any]) -> None:
    """A dead letter of a delivery that died: it stands with what else could not be done. It holds no record to be
    sent again: the reason says how the delivery is.
    """
    for dead in events:
        if not isinstance(dead, DeliveryDead):
            continue
        delivery = unit.load(DELIVERY, delivery_id)
        assert delivery is not None
        target = delivery.target
        what = f"webhook {delivery_id} ({target.event_type} to {target.subscription_id}): {dead.reason}"
        letter = {
            "source_topic": "",
            "source_partition": target.partition,
            "source_offset": 0,
            "source_timestamp_ms": unit.now // 1_000,
            "key": target.routing_id.encode(),
            "value": b"",
            "headers": [],
            "reason": f"{what}. Try it again with `neural-hive webhooks redeliver {delivery_id}`",
            "error_type": "DeliveryDead",
            "processor": NAME,
            "aggregate_id": delivery_id,
        }
        unit.send(DEAD_LETTERS, "DeadLetter", target.routing_id, letter)
