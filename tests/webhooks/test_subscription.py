"""A subscription: who is told of what, from when on, and whose word ends that."""

import msgspec
import pytest

from neural_hive.aggregates.subscription import (
    EVENT_TYPES,
    SUBSCRIPTION,
    Disable,
    End,
    Filter,
    Pause,
    Resume,
    Standing,
    Subscribe,
    SubscriptionCreated,
    SubscriptionDisabled,
    SubscriptionEnded,
    SubscriptionPaused,
    SubscriptionResumed,
    takes,
)
from neural_hive.aggregates.vocabulary import TaskType
from neural_hive.aggregates.webhook_subject import SUBJECT, Note, SubjectNoted
from tests.grammar import given

NOW = 1_700_000_000_000_000
URL = "https://hooks.example/x"
WANTED = Subscribe("s", URL, Filter(("Ticket*",), ("p",), (TaskType.BUILD,), ("FAILED",)), "ann", NOW)
CREATED = SubscriptionCreated("s", URL, ("Ticket*",), ("p",), (TaskType.BUILD,), ("FAILED",), NOW, "ann")


def test_it_begins_once() -> None:
    given(SUBSCRIPTION).when(WANTED).then(CREATED)
    later = msgspec.structs.replace(WANTED, now=NOW + 5)
    given(SUBSCRIPTION, CREATED).when(later).then_nothing()
    other = msgspec.structs.replace(later, url=URL + "2")
    changed = given(SUBSCRIPTION, CREATED).when(other)
    changed.then_types(SubscriptionCreated)
    assert (changed.state.url, changed.state.since) == (URL + "2", NOW + 5)


def test_it_is_paused_and_resumed() -> None:
    paused = SubscriptionPaused("s", "why", NOW + 1, "bob")
    given(SUBSCRIPTION, CREATED).when(Pause("why", "bob", NOW + 1)).then(paused)
    given(SUBSCRIPTION, CREATED, paused).when(Pause("why", "bob", NOW + 2)).then_nothing()
    resumed = given(SUBSCRIPTION, CREATED, paused).when(Resume("", "bob", NOW + 2))
    resumed.then(SubscriptionResumed("s", "", NOW + 2, "bob"))
    assert (resumed.state.standing, resumed.state.since) == (Standing.ACTIVE, NOW)
    given(SUBSCRIPTION, CREATED).when(Resume("", "bob", NOW + 2)).then_nothing()


def test_a_receiver_that_is_gone_misses_what_happens_until_somebody_resumes_it() -> None:
    disabled = SubscriptionDisabled("s", "HTTP 410", NOW + 1)
    given(SUBSCRIPTION, CREATED).when(Disable("HTTP 410", NOW + 1)).then(disabled)
    given(SUBSCRIPTION, CREATED, disabled).when(Disable("HTTP 410", NOW + 2)).then_nothing()
    assert given(SUBSCRIPTION, CREATED, disabled).when(Resume("", "", NOW + 9)).state.since == NOW + 9
    given(SUBSCRIPTION, CREATED, disabled).when(WANTED).then_types(SubscriptionCreated)


def test_it_ends_once() -> None:
    ended = SubscriptionEnded("s", "", NOW + 1, "ann")
    given(SUBSCRIPTION, CREATED).when(End("", "ann", NOW + 1)).then(ended)
    given(SUBSCRIPTION, CREATED, ended).when(End("", "ann", NOW + 2)).then_nothing()
    given(SUBSCRIPTION, CREATED, ended).when(Disable("", NOW + 2)).then_nothing()
    given(SUBSCRIPTION, CREATED, ended).when(Pause("", "", NOW + 2)).then_rejected("has ended")
    given(SUBSCRIPTION, CREATED, ended).when(WANTED).then_types(SubscriptionCreated)
    given(SUBSCRIPTION).when(End("", "", NOW)).then_rejected("no such subscription")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"subscription_id": "a b"}, "id must be"),
        ({"subscription_id": "../../etc/passwd"}, "id must be"),
        ({"url": "ftp://h/x"}, "webhook_url must be"),
        ({"url": "https://user:secret@h/"}, "webhook_url must be"),
        ({"url": ""}, "only TicketDispatched"),
        ({"filter": Filter(())}, "name the events"),
        ({"filter": Filter(("TicketFell",))}, "there is no event 'TicketFell'"),
        ({"filter": Filter(("Tickets*",))}, "there is no event"),
        ({"filter": Filter(("*",), task_types=(TaskType.UNKNOWN,))}, "task_types"),
        ({"filter": Filter(("*",), plan_ids=("p",) * 101)}, "100 values"),
        ({"filter": Filter(("*",), plan_ids=("p" * 201,))}, "200 characters"),
        ({"filter": Filter(("*",), statuses=("",))}, "1 to 200"),
    ],
)
def test_what_makes_no_sense_is_refused(changes: dict, reason: str) -> None:
    given(SUBSCRIPTION).when(msgspec.structs.replace(WANTED, **changes)).then_rejected(reason)


def test_agents_are_called_where_they_want_to_be() -> None:
    wanted = msgspec.structs.replace(WANTED, url="", filter=Filter(("TicketDispatched",)))
    given(SUBSCRIPTION).when(wanted).then_types(SubscriptionCreated)


def test_patterns() -> None:
    assert takes(Filter(("*",)), "TicketFailed") and takes(Filter(("Ticket*",)), "TicketFailed")
    assert not takes(Filter(("Workflow*", "TicketFail")), "TicketFailed")
    assert {"TicketDispatched", "WorkflowFailed", "IncidentOpened"} <= set(EVENT_TYPES)


def test_a_subject_is_noted_once() -> None:
    noted = SubjectNoted("t", "p", "BUILD")
    given(SUBJECT).when(Note("t", "p", "BUILD")).then(noted)
    given(SUBJECT, noted).when(Note("t", "q", "TEST")).then_nothing()
