"""A delivery: attempts with growing waits, an end that the log tells, and words that count once."""

import msgspec
import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st

from neural_hive.aggregates.aggregate import Rejected
from neural_hive.aggregates.delivery import (
    DELIVERY,
    EXPIRED,
    JITTER,
    PUT_OFF_MS_MAX,
    RETRY_AFTER_MS_MAX,
    Delivery,
    DeliveryDead,
    DeliveryDropped,
    DeliveryDue,
    DeliveryFailed,
    DeliveryPostponed,
    DeliveryScheduled,
    DeliverySucceeded,
    Drop,
    Outcome,
    PutOff,
    Record,
    Redeliver,
    Release,
    Schedule,
    Status,
    Target,
    decide,
    delivery_id_of,
    evolve,
    timers,
)
from tests.grammar import given

NOW = 1_700_000_000_000_000
HOUR_US = 3_600_000_000
RETRIES_MS = (5_000, 60_000)
TARGET = Target(
    *(delivery_id_of("s", "e"), "s", "w-1", "https://h/x", "e", "TicketFailed", "execution.tickets"),
    *(3, 17, NOW + 24 * HOUR_US),
)
SCHEDULED = DeliveryScheduled(*msgspec.structs.astuple(TARGET), NOW, 1, NOW)


def due(attempt: int, now: int = NOW, **more: str) -> DeliveryDue:
    return DeliveryDue(*msgspec.structs.astuple(TARGET), attempt, now, **more)


def told(outcome: Outcome, attempt: int = 1, status_code: int = 500, now: int = NOW, **more: int) -> Record:
    given_ms = {"duration_ms": 12, "retry_after_ms": 0} | more
    return Record(
        attempt, outcome, status_code, f"HTTP {status_code}", **given_ms, retries_ms=RETRIES_MS, now=now
    )


def failed(attempt: int, failures: int, retry_at: int) -> DeliveryFailed:
    return DeliveryFailed(attempt, 500, "HTTP 500", 12, failures, retry_at)


def test_it_is_scheduled_once() -> None:
    given(DELIVERY).when(Schedule(TARGET, NOW)).then(SCHEDULED)
    given(DELIVERY, SCHEDULED).when(Schedule(TARGET, NOW)).then_nothing()


def test_what_is_paused_waits_from_the_beginning() -> None:
    (event,) = given(DELIVERY).when(Schedule(TARGET, NOW, put_off="paused")).events
    assert (event.attempt, event.due_at) == (0, NOW + 10_000_000)
    assert timers(evolve(None, event)) == {"due": event.due_at}


def test_it_is_delivered() -> None:
    taken = given(DELIVERY, SCHEDULED).when(told(Outcome.DELIVERED, status_code=204))
    taken.then(DeliverySucceeded(1, 204, 12, NOW))
    assert timers(taken.state) == {} and taken.state.status is Status.DELIVERED


def test_it_is_tried_again_later_and_later_and_then_it_is_dead() -> None:
    (first,) = given(DELIVERY, SCHEDULED).when(told(Outcome.FAILED)).events
    assert _share(first.retry_at - NOW, 5_000_000)
    again = given(DELIVERY, SCHEDULED, first).when(Release("https://h/new", first.retry_at))
    assert again.events == [msgspec.structs.replace(due(2, first.retry_at), url="https://h/new")]
    (second,) = given(DELIVERY, SCHEDULED, first, due(2)).when(told(Outcome.FAILED, 2)).events
    assert _share(second.retry_at - NOW, 60_000_000)
    last = given(DELIVERY, SCHEDULED, first, due(2), second, due(3)).when(told(Outcome.FAILED, 3))
    last.then(failed(3, 3, 0), DeliveryDead(3, 3, "it failed 3 times, the last time: HTTP 500", NOW))
    assert last.state.status is Status.DEAD


def _share(wait_us: int, base_us: int) -> bool:
    return (1 - JITTER) * base_us <= wait_us <= (1 + JITTER) * base_us


def test_waits_follow_from_the_id_and_differ_between_ids() -> None:
    waits = set()
    for number in range(50):
        target = msgspec.structs.replace(TARGET, delivery_id=delivery_id_of("s", str(number)))
        state = evolve(None, decide(None, Schedule(target, NOW))[0])
        (one,), (other,) = (decide(state, told(Outcome.FAILED)) for _ in range(2))
        assert one == other
        waits.add(one.retry_at)
    assert len(waits) > 40


def test_a_receiver_may_ask_for_a_longer_wait_but_not_for_any() -> None:
    (event,) = given(DELIVERY, SCHEDULED).when(told(Outcome.FAILED, retry_after_ms=90_000)).events
    assert event.retry_at == NOW + 90_000_000
    (event,) = given(DELIVERY, SCHEDULED).when(told(Outcome.FAILED, retry_after_ms=10**12)).events
    assert event.retry_at == NOW + RETRY_AFTER_MS_MAX * 1_000


def test_who_is_gone_is_not_tried_again() -> None:
    gone = given(DELIVERY, SCHEDULED).when(told(Outcome.GONE, status_code=410))
    gone.then_types(DeliveryFailed, DeliveryDead)
    assert "gone" in gone.events[1].reason


def test_what_cannot_be_made_is_dead_at_once() -> None:
    unfit = given(DELIVERY, SCHEDULED).when(told(Outcome.UNFIT))
    unfit.then(DeliveryDead(1, 0, "HTTP 500", NOW))


def test_what_is_put_off_costs_no_try() -> None:
    events, waits = [SCHEDULED], []
    for attempt in range(1, 12):
        (put_off,) = given(DELIVERY, *events).when(told(Outcome.POSTPONED, attempt)).events
        waits.append((put_off.due_at - NOW) // 1_000)
        events += [put_off, due(attempt + 1)]
    assert waits[0] <= 12_000 and max(waits) <= PUT_OFF_MS_MAX * (1 + JITTER)
    assert waits[8] > 5 * waits[0]
    assert given(DELIVERY, *events).state.failures == 0
    (asked,) = given(DELIVERY, *events).when(told(Outcome.POSTPONED, 12, retry_after_ms=3_000)).events
    assert _share(asked.due_at - NOW, 3_000_000)


def test_a_paused_one_is_put_off_and_a_dropped_one_ends() -> None:
    waiting = (SCHEDULED, failed(1, 1, NOW + 1))
    given(DELIVERY, *waiting).when(PutOff("paused", NOW)).then_types(DeliveryPostponed)
    given(DELIVERY, *waiting).when(Drop("ended", NOW)).then(DeliveryDropped(1, "ended", NOW))
    given(DELIVERY, SCHEDULED).when(Drop("ended", NOW)).then_nothing()


def test_nothing_is_told_that_nobody_waits_for() -> None:
    late = NOW + 24 * HOUR_US - 1
    ended = given(DELIVERY, SCHEDULED).when(told(Outcome.FAILED, now=late))
    ended.then_types(DeliveryFailed, DeliveryDead)
    assert ended.events[1].reason.startswith(EXPIRED) and ended.events[0].retry_at == 0
    given(DELIVERY, SCHEDULED).when(told(Outcome.POSTPONED, now=late)).then_types(DeliveryDead)


def test_a_late_word_changes_nothing() -> None:
    waiting = (SCHEDULED, failed(1, 1, NOW + 1))
    given(DELIVERY, *waiting).when(told(Outcome.DELIVERED)).then_nothing()
    given(DELIVERY, *waiting, due(2)).when(told(Outcome.DELIVERED, attempt=1)).then_nothing()
    given(DELIVERY, SCHEDULED, DeliverySucceeded(1, 200, 1, NOW)).when(told(Outcome.FAILED)).then_nothing()


def test_a_person_may_have_it_tried_again() -> None:
    command = Redeliver("https://h/x", "", "ann", NOW + 9, NOW)
    given(DELIVERY, SCHEDULED).when(command).then_rejected("being delivered")
    dead = (SCHEDULED, failed(1, 1, 0), DeliveryDead(1, 1, "x", NOW))
    again = given(DELIVERY, *dead).when(command)
    (event,) = again.events
    assert (event.attempt, event.requested_by, event.expires_at) == (2, "ann", NOW + 9)
    assert event.reason and again.state.failures == 0 and again.state.status is Status.SENDING


def test_what_is_not_there_is_refused() -> None:
    for command in (told(Outcome.DELIVERED), Release("u", NOW), PutOff("", NOW), Drop("", NOW)):
        given(DELIVERY).when(command).then_rejected("no such delivery")
    given(DELIVERY, SCHEDULED).when(told(Outcome.UNKNOWN)).then_rejected("outcome")


COMMANDS = st.one_of(
    st.builds(
        told,
        st.sampled_from([outcome for outcome in Outcome if outcome is not Outcome.UNKNOWN]),
        st.integers(1, 6),
        st.integers(0, 599),
        st.integers(NOW, NOW + 48 * HOUR_US),
    ),
    st.just(Release("https://h/x", NOW)),
    st.just(PutOff("paused", NOW)),
    st.just(Drop("ended", NOW)),
    st.just(Redeliver("https://h/x", "r", "ann", NOW + HOUR_US, NOW)),
)


@for_all(st.lists(COMMANDS, max_size=40))
def test_whatever_comes_attempts_are_numbered_and_only_what_waits_has_a_timer(commands: list) -> None:
    state: Delivery = evolve(None, SCHEDULED)
    attempt = 1
    for command in commands:
        try:
            events = decide(state, command)
        except Rejected:
            continue
        for event in events:
            if isinstance(event, DeliveryDue):
                assert event.attempt == attempt + 1
                attempt += 1
            assert event.attempt == attempt
            state = evolve(state, event)
        assert bool(timers(state)) == (state.status is Status.WAITING)
        if isinstance(command, Record):
            assert decide(state, command) == [], "the same report again must change nothing"
    assert state.failures <= len(RETRIES_MS) + 1


@pytest.mark.parametrize("outcome", [outcome for outcome in Outcome if outcome is not Outcome.UNKNOWN])
def test_every_outcome_is_answered(outcome: Outcome) -> None:
    assert given(DELIVERY, SCHEDULED).when(told(outcome)).events
