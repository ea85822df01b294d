"""The life of one request for a slot."""

import msgspec
import pytest

from neural_hive.aggregates.slot import (
    LEASE_TIMER,
    SLOT,
    WAITING_MAX,
    Attempt,
    DenySlot,
    EndLease,
    GrantSlot,
    RequestSlot,
    ReturnSlot,
    Room,
    SlotDenied,
    SlotExpired,
    SlotGranted,
    SlotOutcome,
    SlotRequested,
    SlotReturned,
    SlotWithdrawn,
    held_place,
    slot_id_of,
)
from tests.grammar import given

NOW = 1_700_000_000_000_000
LEASE = NOW + 60_000_000
OF = Attempt("a", "w", "t", 1, 3)
NAMES = ("a", "w", "t", 1, 3)
FREE, FULL = Room(held=1, waiting=0, capacity=2), Room(held=2, waiting=4, capacity=2)
WAITING = SlotRequested(*NAMES, 7, LEASE, NOW, 5)
GRANTED = SlotGranted(*NAMES, 7, LEASE, NOW, 2, 2)
DENIED = SlotDenied(*NAMES, "why", NOW)
RETURNED = SlotReturned(*NAMES, SlotOutcome.COMPLETED, "BUILD", NOW)
EXPIRED = SlotExpired(*NAMES, LEASE)
WITHDRAWN = SlotWithdrawn(*NAMES, SlotOutcome.CANCELLED, NOW)


def ask(room: Room = FREE, **changes: object) -> RequestSlot:
    return msgspec.structs.replace(RequestSlot(OF, 7, LEASE, room, NOW), **changes)


def give_back(outcome: SlotOutcome, domain: str = "BUILD") -> ReturnSlot:
    return ReturnSlot(outcome, domain, NOW)


def test_a_free_slot_is_granted_at_once_and_says_what_was_known() -> None:
    given(SLOT).when(ask()).then(GRANTED)


def test_who_finds_none_free_waits() -> None:
    given(SLOT).when(ask(FULL)).then(WAITING)
    given(SLOT, WAITING).when(GrantSlot(FREE, NOW)).then(GRANTED)
    given(SLOT, WAITING).when(GrantSlot(FULL, NOW)).then_nothing()


@pytest.mark.parametrize(
    ("room", "lease_ends_at", "reason"),
    [
        (Room(0, 0, 2, "the agent is DEGRADED"), LEASE, "the agent is DEGRADED"),
        (Room(2, WAITING_MAX, 2), LEASE, "full: 10,000 wait for the agent"),
        (FREE, NOW, "its lease had ended when it asked"),
    ],
)
def test_who_cannot_have_one_is_told_why(room: Room, lease_ends_at: int, reason: str) -> None:
    given(SLOT).when(ask(room, lease_ends_at=lease_ends_at)).then(SlotDenied(*NAMES, reason, NOW))


@pytest.mark.parametrize("history", [(WAITING,), (GRANTED,)])
def test_asking_again_while_it_is_open_changes_nothing(history: tuple[SlotGranted, ...]) -> None:
    given(SLOT, *history).when(ask()).then_nothing()


@pytest.mark.parametrize("end", [DENIED, RETURNED, EXPIRED, WITHDRAWN])
def test_who_has_ended_may_ask_again(end: SlotDenied) -> None:
    given(SLOT, GRANTED, end).when(ask()).then(GRANTED)
    given(SLOT, GRANTED, end).when(GrantSlot(FREE, NOW), DenySlot("", NOW)).then_nothing()
    given(SLOT, GRANTED, end).when(EndLease(LEASE)).then_nothing()


@pytest.mark.parametrize("outcome", list(SlotOutcome))
def test_what_is_given_back_ends(outcome: SlotOutcome) -> None:
    given(SLOT, GRANTED).when(give_back(outcome)).then(SlotReturned(*NAMES, outcome, "BUILD", NOW))
    given(SLOT, GRANTED).when(give_back(outcome), give_back(outcome)).then_nothing()
    given(SLOT, WAITING).when(give_back(outcome)).then(SlotWithdrawn(*NAMES, outcome, NOW))
    given(SLOT, DENIED).when(give_back(outcome)).then_nothing()
    given(SLOT).when(give_back(outcome)).then_nothing()


def test_how_it_ended_counts_after_the_lease_too_and_once() -> None:
    expired = given(SLOT, GRANTED, EXPIRED)
    expired.when(give_back(SlotOutcome.CANCELLED)).then_nothing()
    expired.when(give_back(SlotOutcome.COMPLETED)).then(RETURNED)
    expired.when(give_back(SlotOutcome.COMPLETED), give_back(SlotOutcome.COMPLETED)).then_nothing()


def test_a_lease_ends_when_its_time_has_come() -> None:
    given(SLOT, GRANTED).when(EndLease(LEASE - 1)).then_nothing()
    given(SLOT, GRANTED).when(EndLease(LEASE)).then(EXPIRED)
    given(SLOT, WAITING).when(EndLease(LEASE)).then_types(SlotDenied)
    given(SLOT, WAITING).when(GrantSlot(FREE, LEASE)).then_types(SlotDenied)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"place": -1}, "place must not be negative"),
        ({"attempt": Attempt("a", "w", "t", 0)}, "attempt counts from 1"),
        ({"attempt": Attempt("a", "w", "", 1)}, "ticket_id must have 1 to 256"),
        ({"attempt": Attempt("a", "w" * 257, "t", 1)}, "workflow_id must have 1 to 256"),
    ],
)
def test_what_makes_no_sense_is_refused(changes: dict[str, object], reason: str) -> None:
    given(SLOT).when(ask(**changes)).then_rejected(reason)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("event", "timers", "queues", "moved"),
    [
        (WAITING, {LEASE_TIMER: LEASE}, {"waiting:a": "00000000000000000007"}, {"waiting:a": 1}),
        (GRANTED, {LEASE_TIMER: LEASE}, {"held:a": held_place("w")}, {"held:a": 1}),
        (DENIED, {}, {}, {}),
    ],
)
def test_what_a_state_implies(
    event: SlotGranted, timers: dict[str, int], queues: dict[str, str], moved: dict[str, int]
) -> None:
    first = SLOT.evolve(None, event)
    assert (SLOT.timers(first), SLOT.queues(first)) == (timers, queues)
    assert dict(SLOT.counters(event, None, first)) == moved
    ended = SLOT.evolve(first, WITHDRAWN)
    assert dict(SLOT.counters(WITHDRAWN, first, ended)) == {key: -change for key, change in moved.items()}


def test_each_attempt_has_a_slot_of_its_own() -> None:
    assert len({slot_id_of("a", "t", 1), slot_id_of("a", "t", 2), slot_id_of("b", "t", 1)}) == 3
