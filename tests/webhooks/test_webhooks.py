"""The system: which events become deliveries of whom, and what a report, a pause or an end makes of them."""

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from prometheus_client import REGISTRY

from neural_hive.aggregates.aggregate import Rejected
from neural_hive.aggregates.delivery import (
    DELIVERY,
    DeliveryDead,
    DeliveryDropped,
    DeliveryDue,
    DeliveryFailed,
    DeliveryPostponed,
    DeliveryScheduled,
    DeliverySucceeded,
    Outcome,
    Status,
    delivery_id_of,
)
from neural_hive.aggregates.incident import IncidentOpened, Kind, Severity
from neural_hive.aggregates.subscription import SubscriptionCreated, SubscriptionDisabled
from neural_hive.aggregates.ticket import TicketCancelled, TicketCreated, TicketFailed
from neural_hive.aggregates.ticketing import tickets_of
from neural_hive.aggregates.vocabulary import TaskType
from neural_hive.aggregates.webhook_subject import SubjectNoted
from neural_hive.aggregates.workflow import WorkflowCompleted
from neural_hive.replay.checks.refold import Mailed
from neural_hive.schemas.codec import BadRecord, encode_message
from neural_hive.schemas.envelope import Header
from neural_hive.streams.kernel.inbox import open_mail
from neural_hive.streams.kernel.reading import MessageReader
from neural_hive.streams.webhooks import metrics as webhooks_metrics
from neural_hive.streams.webhooks.messages import (
    DisableSubscription,
    PauseSubscription,
    Redeliver,
    ReportDelivery,
    ResumeSubscription,
    Subscribe,
    Unsubscribe,
)
from neural_hive.streams.webhooks.system import SUBSCRIPTIONS_MAX, Tries, build
from tests.aggregates.making import decision, task
from tests.privacy.memory_keys import hidden
from tests.webhooks.events import dispatched
from tests.webhooks.kernel_unit import WORKFLOW, WebhooksUnit

TICKETS, WORKFLOWS, INCIDENTS = "execution.tickets", "orchestration.workflows", "orchestration.incidents"
URL = "https://hooks.example/x"
CANCELLED = TicketCancelled("t-1", WORKFLOW, "because", 1)
FAILED = TicketFailed("t-1", WORKFLOW, 1, "a", 1, 2, 1, {}, (), "it broke")


@pytest.fixture
def unit() -> Iterator[WebhooksUnit]:
    system = build(Tries((5_000, 60_000)))
    webhooks_metrics.watch(system)
    made = WebhooksUnit(system)
    yield made
    assert made.rows() == made.refolded_rows(), "the state is the fold of the log"
    made.close()


def subscribed(unit: WebhooksUnit, name: str = "s", events: tuple[str, ...] = ("*",), **more: Any) -> None:
    unit.handle(Subscribe(name, more.pop("url", URL), events, **more))


def report(scheduled: Any, outcome: Outcome, attempt: int = 1, **more: Any) -> ReportDelivery:
    return ReportDelivery(scheduled.delivery_id, WORKFLOW, attempt, outcome, reason="HTTP", **more)


def types(events: list[Any]) -> list[type]:
    return [type(event) for event in events]


def test_each_who_wants_an_event_is_told_once(unit: WebhooksUnit) -> None:
    assert unit.happens(TICKETS, CANCELLED) == []
    subscribed(unit, "b", ("Ticket*",))
    subscribed(unit, "a", ("TicketCancelled", "WorkflowCompleted"))
    subscribed(unit, "c", ("Workflow*",))
    events = unit.happens(TICKETS, CANCELLED, event_id="e-1")
    assert [(event.subscription_id, event.url, event.attempt) for event in events] == [
        ("a", URL, 1),
        ("b", URL, 1),
    ]
    assert events[0].delivery_id == delivery_id_of("a", "e-1")
    assert (events[0].topic, events[0].partition, events[0].offset) == (TICKETS, 0, 2)
    assert events[0].views[0].next_offsets == (7,)
    assert unit.happens(TICKETS, CANCELLED, event_id="e-1") == [], "the same event again"
    done = WorkflowCompleted(WORKFLOW, 1, 1)
    assert [event.subscription_id for event in unit.happens(WORKFLOWS, done)] == ["a", "c"]
    opened = IncidentOpened("i", WORKFLOW, Kind.NO_AGENT, Severity.HIGH, "none", (), 1)
    assert unit.happens(INCIDENTS, opened) == []


def test_nobody_is_told_of_what_was_before(unit: WebhooksUnit) -> None:
    subscribed(unit)
    now = unit.now
    unit.now = now - 1
    assert unit.happens(TICKETS, CANCELLED) == []
    unit.now = now
    assert types(unit.happens(TICKETS, CANCELLED)) == [DeliveryScheduled]


def test_filters_by_plan_type_and_status(unit: WebhooksUnit) -> None:
    made = decision(task("a"))
    (ticket,) = tickets_of(made, 1)
    created = TicketCreated(**msgspec.structs.asdict(ticket))
    other = msgspec.structs.replace(created, ticket_id="t-2", plan_id="other")
    subscribed(unit, "by-status", ("Ticket*",), statuses=("FAILED",))
    assert unit.happens(TICKETS, created, "t-1") == []
    subscribed(unit, "by-plan", ("TicketFailed",), plan_ids=(created.plan_id,))
    subscribed(unit, "by-type", ("TicketFailed",), task_types=(TaskType.EXECUTE,))
    subscribed(unit, "by-other-type", ("TicketFailed",), task_types=(TaskType.DEPLOY,))
    assert types(unit.happens(TICKETS, created, "t-1")) == [SubjectNoted]
    assert types(unit.happens(TICKETS, created, "t-1")) == [], "it is noted once"
    assert types(unit.happens(TICKETS, other, "t-2")) == [SubjectNoted]
    told = {event.subscription_id for event in unit.happens(TICKETS, FAILED, "t-1")}
    assert told == {"by-status", "by-plan", "by-type"}
    told = {event.subscription_id for event in unit.happens(TICKETS, FAILED, "t-2")}
    assert told == {"by-status", "by-type"}
    told = {event.subscription_id for event in unit.happens(TICKETS, FAILED, "t-unknown")}
    assert told == {"by-status"}


def test_agents_are_told_of_their_tickets_where_they_want_it(unit: WebhooksUnit) -> None:
    unit.handle(Subscribe("agents", "", ("TicketDispatched",)))
    (event,) = unit.happens(TICKETS, dispatched("t-1", WORKFLOW, "https://forge.example/"))
    assert event.url == "https://forge.example/"
    assert unit.happens(TICKETS, dispatched("t-2", WORKFLOW, "")) == []
    unit.handle(report(event, Outcome.GONE, status_code=410))
    assert [name for _, name, _ in unit.sent] == ["DeadLetter"], (
        "one agent that is gone ends nothing for the others"
    )


def test_attempts_until_it_is_dead_and_a_letter_says_so(unit: WebhooksUnit) -> None:
    subscribed(unit)
    (scheduled,) = unit.happens(TICKETS, CANCELLED)
    assert types(unit.handle(report(scheduled, Outcome.FAILED))) == [DeliveryFailed]
    assert unit.pass_time(3) == []
    (due,) = unit.pass_time(4)
    assert (type(due), due.attempt, due.url) == (DeliveryDue, 2, URL)
    unit.handle(report(scheduled, Outcome.FAILED, 2))
    (due,) = unit.pass_time(80)
    assert types(unit.handle(report(scheduled, Outcome.FAILED, 3))) == [DeliveryFailed, DeliveryDead]
    assert unit.pass_time(10**6) == []
    (letter,) = unit.letters()
    assert f"redeliver {scheduled.delivery_id}" in letter and "TicketCancelled to s" in letter
    (again,) = unit.handle(Redeliver(scheduled.delivery_id, WORKFLOW, "fixed", hidden("ann")))
    assert (type(again), again.attempt) == (DeliveryDue, 4)
    assert types(unit.handle(report(scheduled, Outcome.DELIVERED, 4))) == [DeliverySucceeded]


def test_a_report_counts_once(unit: WebhooksUnit) -> None:
    subscribed(unit)
    (scheduled,) = unit.happens(TICKETS, CANCELLED)
    failed = report(scheduled, Outcome.FAILED)
    assert unit.handle(failed, "m") and unit.handle(failed, "m") == [] and unit.handle(failed, "n") == []
    with pytest.raises(Rejected, match="no such delivery"):
        unit.handle(ReportDelivery("other", WORKFLOW, 1, Outcome.DELIVERED))


def test_a_new_url_counts_for_what_is_tried_again(unit: WebhooksUnit) -> None:
    subscribed(unit)
    (scheduled,) = unit.happens(TICKETS, CANCELLED)
    unit.handle(report(scheduled, Outcome.FAILED))
    subscribed(unit, url=URL + "/new")
    (due,) = unit.pass_time(10)
    assert due.url == URL + "/new"


def test_in_a_pause_what_happens_waits(unit: WebhooksUnit) -> None:
    subscribed(unit)
    unit.handle(PauseSubscription("s", "maintenance"))
    (scheduled,) = unit.happens(TICKETS, CANCELLED)
    assert scheduled.attempt == 0
    assert types(unit.pass_time(12)) == [DeliveryPostponed]
    assert set(types(unit.pass_time(3_600))) == {DeliveryPostponed}
    unit.handle(ResumeSubscription("s"))
    assert types(unit.pass_time(800)) == [DeliveryDue]


def test_waiting_in_a_pause_has_an_end(unit: WebhooksUnit) -> None:
    subscribed(unit)
    unit.handle(PauseSubscription("s"))
    unit.happens(TICKETS, CANCELLED)
    events = unit.pass_time(4 * 86_400)
    assert types(events[-1:]) == [DeliveryDead] and len(events) < 900 and len(unit.letters()) == 1


def test_what_waits_is_dropped_at_the_end(unit: WebhooksUnit) -> None:
    subscribed(unit)
    (scheduled,) = unit.happens(TICKETS, CANCELLED)
    unit.handle(report(scheduled, Outcome.FAILED))
    unit.handle(Unsubscribe("s"))
    assert types(unit.pass_time(10)) == [DeliveryDropped]
    assert unit.happens(TICKETS, CANCELLED) == []
    with pytest.raises(Rejected, match="s is ENDED"):
        unit.handle(Redeliver(scheduled.delivery_id, WORKFLOW, "again"))


def test_a_receiver_that_is_gone_is_told_nothing_more(unit: WebhooksUnit) -> None:
    subscribed(unit)
    (first,) = unit.happens(TICKETS, CANCELLED)
    (second,) = unit.happens(TICKETS, CANCELLED)
    unit.handle(report(second, Outcome.FAILED))
    unit.handle(report(first, Outcome.GONE, status_code=410))
    (_, _, told), *_ = [sent for sent in unit.sent if sent[1] == "DisableSubscription"]
    (event,) = unit.handle(msgspec.convert(told, DisableSubscription))
    assert isinstance(event, SubscriptionDisabled)
    assert unit.happens(TICKETS, CANCELLED) == [] and types(unit.pass_time(10)) == [DeliveryDropped]
    unit.handle(ResumeSubscription("s"))
    assert types(unit.happens(TICKETS, CANCELLED)) == [DeliveryScheduled]


def test_there_are_only_so_many_subscriptions(unit: WebhooksUnit) -> None:
    subscribed(unit)
    one = unit.subscriptions["s"]
    unit.subscriptions = {str(number): one for number in range(SUBSCRIPTIONS_MAX)}
    with pytest.raises(Rejected, match="can be no more"):
        subscribed(unit, "new")
    assert types(unit.handle(Subscribe("7", URL, ("*",)))) == [SubscriptionCreated]


def test_what_is_counted(unit: WebhooksUnit) -> None:
    def values() -> list[float]:
        names = ("neural_hive_webhooks_enqueued_total", "neural_hive_webhooks_dead_total")
        return [REGISTRY.get_sample_value(name) or 0.0 for name in names]

    before = values()
    subscribed(unit)
    (scheduled,) = unit.happens(TICKETS, CANCELLED)
    unit.handle(report(scheduled, Outcome.FAILED))
    unit.pass_time(10)
    unit.handle(report(scheduled, Outcome.UNFIT, 2))
    assert [after - first for after, first in zip(values(), before, strict=True)] == [2.0, 1.0]
    assert unit.state(DELIVERY, scheduled.delivery_id).status is Status.DEAD


def test_what_is_no_event_in_an_event_topic_is_refused(unit: WebhooksUnit) -> None:
    header = Header("m", "Subscribe", 1, WORKFLOW, "c", "", "0" * 32, "0" * 16, "p")
    payload = msgspec.to_builtins(Subscribe("s", URL, ("*",)))
    for value in (b"", b"nonsense", encode_message(header, payload)):
        record = Mailed(TICKETS, 0, 5, 1, WORKFLOW.encode(), value, ())
        with pytest.raises(BadRecord):
            open_mail(unit.system, MessageReader(), record, 0, {TICKETS: 1})
