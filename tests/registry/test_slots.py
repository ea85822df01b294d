"""Slots on the real fold and codec: granted, waited for, given back, and never more than there are."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from neural_hive.aggregates.agent import AGENT, AgentRegistered, AgentType, Presence, Silence, refusal
from neural_hive.aggregates.aggregate import Rejected
from neural_hive.aggregates.pheromone import TRAIL
from neural_hive.aggregates.slot import (
    SLOT,
    WAITING_MAX,
    SlotDenied,
    SlotExpired,
    SlotGranted,
    SlotOutcome,
    SlotRequested,
    SlotReturned,
    SlotWithdrawn,
    Status,
    held_key,
    slot_id_of,
    waiting_key,
)
from neural_hive.streams.kernel.state import counter_key
from neural_hive.streams.registry.messages import (
    DeregisterAgent,
    Heartbeat,
    RegisterAgent,
    ReleaseSlots,
    ReserveSlots,
    SlotRelease,
    SlotRequest,
)
from neural_hive.streams.registry.slots import SLOTS_MAX
from neural_hive.streams.registry.system import build
from tests.privacy.memory_keys import hidden
from tests.registry.kernel_unit import SECOND, KernelUnit

SILENCE = Silence(30_000, 90_000, 180_000, 600_000)
LEASE_S = 60


@pytest.fixture
def unit() -> Iterator[KernelUnit]:
    made = KernelUnit(build(SILENCE))
    made.handle(agent(2))
    yield made
    made.close()


def agent(capacity: int, name: str = "a") -> RegisterAgent:
    return RegisterAgent(name, AgentType.WORKER, ("python",), (), capacity, hidden("ann"))


def asked(
    unit: KernelUnit, ticket: str, place: int = 0, lease_s: float = LEASE_S, **more: int
) -> SlotRequest:
    attempt, allocation = more.get("attempt", 1), more.get("allocation", 0)
    return SlotRequest(ticket, attempt, place, unit.now + int(lease_s * SECOND), allocation)


def reserve(unit: KernelUnit, *requests: SlotRequest, workflow: str = "w", name: str = "a") -> list[Any]:
    return unit.handle(ReserveSlots(name, workflow, requests))


def given_back(
    ticket: str, outcome: str = "COMPLETED", domain: str = "BUILD", attempt: int = 1
) -> SlotRelease:
    return SlotRelease(ticket, attempt, SlotOutcome(outcome), domain)


def release(unit: KernelUnit, *releases: SlotRelease) -> list[Any]:
    return unit.handle(ReleaseSlots("a", "w", releases))


def story(events: list[Any]) -> list[str]:
    return [
        f"{type(e).__name__.removeprefix('Slot')} {e.ticket_id}" for e in events if hasattr(e, "ticket_id")
    ]


def count(unit: KernelUnit, key: str) -> int:
    return unit.fold.count(counter_key(key))


def told(unit: KernelUnit) -> list[tuple[str, str, list[str]]]:
    """Since the last time: what was answered to which workflow about which tickets."""
    answers, unit.answers = unit.answers, []
    return [
        (name.removeprefix("Slots"), payload["workflow_id"], [slot["ticket_id"] for slot in payload["slots"]])
        for name, payload in answers
    ]


def test_slots_are_granted_in_order_of_place_and_the_rest_waits(unit: KernelUnit) -> None:
    events = reserve(unit, *(asked(unit, f"t{place}", place) for place in (3, 1, 2, 0)))
    assert story(events) == ["Granted t0", "Granted t1", "Requested t2", "Requested t3"]
    assert told(unit) == [("Granted", "w", ["t0", "t1"])]
    assert story(release(unit, given_back("t1"))) == ["Returned t1", "Granted t2"]
    assert told(unit) == [("Granted", "w", ["t2"])]
    assert (count(unit, held_key("a")), count(unit, waiting_key("a"))) == (2, 1)


def test_an_earlier_place_overtakes_those_that_came_before(unit: KernelUnit) -> None:
    reserve(unit, *(asked(unit, f"old{n}", 5) for n in range(4)), workflow="first")
    reserve(unit, asked(unit, "urgent", 1), workflow="second")
    told(unit)
    assert story(release(unit, given_back("old0"))) == ["Returned old0", "Granted urgent"]
    assert told(unit) == [("Granted", "second", ["urgent"])]


def test_answers_repeat_the_allocation_and_say_why(unit: KernelUnit) -> None:
    reserve(unit, asked(unit, "t", allocation=7))
    reserve(unit, asked(unit, "u", allocation=8), name="nobody")
    (granted, denied) = unit.answers
    assert granted[1]["slots"] == [{"ticket_id": "t", "attempt": 1, "allocation": 7}]
    assert denied[1]["slots"] == [{"ticket_id": "u", "attempt": 1, "allocation": 8}]
    assert denied[1]["reason"] == "there is no such agent"


def test_a_repeated_message_yields_nothing_and_answers_nothing(unit: KernelUnit) -> None:
    message = ReserveSlots("a", "w", (asked(unit, "t"), asked(unit, "u"), asked(unit, "v")))
    unit.handle(message, "one")
    told(unit)
    assert unit.handle(message, "one") == []
    back = ReleaseSlots("a", "w", (given_back("t"),))
    assert story(unit.handle(back, "two")) == ["Returned t", "Granted v"]
    assert unit.handle(back, "two") == []
    assert unit.handle(message, "three") != [], "who has given back may ask again"
    assert [answer[0] for answer in told(unit)] == ["Granted"]


@pytest.mark.parametrize(
    ("outcome", "levels"),
    [("COMPLETED", (1.0, 0.0)), ("FAILED", (0.0, 1.0)), ("TIMED_OUT", (0.0, 1.0))],
)
def test_how_it_ended_leaves_a_trail_once(
    unit: KernelUnit, outcome: str, levels: tuple[float, float]
) -> None:
    reserve(unit, asked(unit, "t"))
    release(unit, given_back("t", outcome))
    release(unit, given_back("t", outcome))
    trail = unit.state(TRAIL, "a/BUILD")
    assert (trail.success_level, trail.failure_level) == levels


@pytest.mark.parametrize(
    ("outcome", "domain"), [("CANCELLED", "BUILD"), ("WITHDRAWN", "BUILD"), ("FAILED", "")]
)
def test_what_was_not_tried_leaves_none(unit: KernelUnit, outcome: str, domain: str) -> None:
    reserve(unit, asked(unit, "t"))
    assert story(release(unit, given_back("t", outcome, domain))) == ["Returned t"]
    assert unit.state(TRAIL, "a/BUILD") is None


def test_a_lease_that_ends_gives_the_slot_to_the_next(unit: KernelUnit) -> None:
    unit.now += SECOND
    unit.handle(Heartbeat("a", 1.0, 0.5, 0))
    reserve(unit, asked(unit, "t", lease_s=5), asked(unit, "u"), asked(unit, "v", lease_s=30))
    assert story(unit.pass_time(6)) == ["Expired t", "Granted v"]
    assert story(release(unit, given_back("t"))) == ["Returned t"], "late, and it counts"
    assert unit.state(TRAIL, "a/BUILD").success_level == 1.0
    assert count(unit, held_key("a")) == 2


def test_who_waits_beyond_its_lease_is_denied(unit: KernelUnit) -> None:
    reserve(unit, asked(unit, "t"), asked(unit, "u"), asked(unit, "v", lease_s=5))
    told(unit)
    assert story(unit.pass_time(6)) == ["Denied v"]
    assert told(unit) == [("Denied", "w", ["v"])]


def test_a_request_taken_back_waits_no_more(unit: KernelUnit) -> None:
    reserve(unit, *(asked(unit, f"t{n}", n) for n in range(4)))
    assert story(release(unit, given_back("t2", "WITHDRAWN"))) == ["Withdrawn t2"]
    assert story(release(unit, given_back("t0", "WITHDRAWN"))) == ["Returned t0", "Granted t3"]


def test_all_who_wait_are_denied_when_the_agent_is_silent(unit: KernelUnit) -> None:
    unit.handle(agent(1))
    reserve(unit, *(asked(unit, f"t{n}", n, 500) for n in range(3)))
    reserve(unit, asked(unit, "x", 9, 500), workflow="other")
    told(unit)
    assert story(unit.pass_time(100)) == ["Denied t1", "Denied t2", "Denied x"]
    assert told(unit) == [("Denied", "w", ["t1", "t2"]), ("Denied", "other", ["x"])]
    assert story(reserve(unit, asked(unit, "t1"))) == ["Denied t1"]
    assert count(unit, held_key("a")) == 1, "what is held stays until it is given back"
    unit.handle(Heartbeat("a", 1.0, 0.0, 0))
    release(unit, given_back("t0"))
    assert story(reserve(unit, asked(unit, "t1"))) == ["Granted t1"]


def test_all_who_wait_are_denied_when_the_agent_leaves(unit: KernelUnit) -> None:
    reserve(unit, *(asked(unit, f"t{n}", n) for n in range(3)))
    assert story(unit.handle(DeregisterAgent("a", "done", hidden("ann")))) == ["Denied t2"]


def test_more_capacity_is_given_to_those_who_wait(unit: KernelUnit) -> None:
    reserve(unit, *(asked(unit, f"t{n}", n) for n in range(5)))
    assert story(unit.handle(agent(4))) == ["Granted t2", "Granted t3"]
    unit.handle(agent(1))
    assert story(release(unit, *(given_back(f"t{n}") for n in range(3)))) == [
        f"Returned t{n}" for n in range(3)
    ], "one is held still, and the agent has one"
    assert story(release(unit, given_back("t3"))) == ["Returned t3", "Granted t4"]


def test_an_agent_that_takes_nothing_for_now_sends_all_who_wait_elsewhere(unit: KernelUnit) -> None:
    reserve(unit, *(asked(unit, f"t{n}", n) for n in range(3)))
    assert story(unit.handle(agent(0))) == ["Denied t2"]
    assert story(release(unit, given_back("t0"))) == ["Returned t0"]
    assert story(reserve(unit, asked(unit, "t3"))) == ["Denied t3"]
    assert unit.handle(agent(0)) == [], "the same again is a sign of life"
    unit.handle(agent(2))
    assert story(reserve(unit, asked(unit, "t4"))) == ["Granted t4"], "one is held still"


def test_a_full_queue_sends_on(unit: KernelUnit) -> None:
    reserve(unit, *(asked(unit, f"t{n}", n) for n in range(WAITING_MAX + 3)))
    kinds = Counter(name for name, _, tickets in told(unit) for _ in tickets)
    assert kinds == {"Granted": 2, "Denied": 1}
    assert count(unit, waiting_key("a")) == WAITING_MAX
    assert unit.handle(DeregisterAgent("a", "done", hidden("ann")))
    assert count(unit, waiting_key("a")) == 0


def test_messages_that_make_no_sense_are_refused_whole(unit: KernelUnit) -> None:
    with pytest.raises(Rejected, match="agent_id must be"):
        reserve(unit, asked(unit, "t"), name="a/b")
    with pytest.raises(Rejected, match="place must not be negative"):
        reserve(unit, asked(unit, "t"), asked(unit, "u", -1))
    with pytest.raises(Rejected, match="does not know"):
        release(unit, given_back("t", "UNKNOWN"))
    with pytest.raises(Rejected, match="send several"):
        release(unit, *[given_back("t")] * (SLOTS_MAX + 1))
    assert count(unit, held_key("a")) == 0


NAMES = ("a", "b")
TICKETS = st.sampled_from([f"t{n}" for n in range(8)])
ENDS = (SlotDenied, SlotWithdrawn, SlotReturned, SlotExpired)


class Slots(RuleBasedStateMachine):
    """Anybody asks, gives back, repeats, goes silent, comes back, at any time."""

    def __init__(self) -> None:
        super().__init__()
        self.unit = KernelUnit(build(SILENCE))
        self.capacity = dict.fromkeys(NAMES, 0)
        self.sent: list[tuple[Any, str]] = []
        self.waiting: dict[tuple[str, str, int], int] = {}  # what waits, and its place
        self.held: set[tuple[str, str, int]] = set()

    def teardown(self) -> None:
        assert self.unit.refolded_rows() == self.unit.rows()
        self.unit.close()

    def _send(self, message: Any) -> None:
        message_id = f"m{len(self.sent)}"
        self.sent.append((message, message_id))
        self._follow(self.unit.handle(message, message_id))

    def _follow(self, events: list[Any]) -> None:
        for event in events:
            if isinstance(event, AgentRegistered):
                self.capacity[event.agent_id] = event.capacity
            if not isinstance(event, (SlotRequested, SlotGranted, *ENDS)):
                continue
            slot = (event.agent_id, event.ticket_id, event.attempt)
            match event:
                case SlotRequested():
                    assert slot not in self.waiting and slot not in self.held
                    self.waiting[slot] = event.place
                case SlotGranted():
                    mine = {key: place for key, place in self.waiting.items() if key[0] == event.agent_id}
                    assert event.place == min(mine.values(), default=event.place), "the first in order"
                    assert event.held == sum(held[0] == event.agent_id for held in self.held) + 1
                    assert event.held <= event.capacity == self.capacity[event.agent_id]
                    self.waiting.pop(slot, None)
                    self.held.add(slot)
                case SlotReturned():
                    self.held.discard(slot)  # gone already, if its lease had ended
                case SlotExpired():
                    self.held.remove(slot)
                case SlotWithdrawn():
                    del self.waiting[slot]
                case SlotDenied():
                    self.waiting.pop(slot, None)
        self._answered(events)

    def _answered(self, events: list[Any]) -> None:
        """Every grant and denial is told, once, to the workflow that asked."""
        answers, self.unit.answers = self.unit.answers, []
        heard = Counter(
            (name, p["agent_id"], p["workflow_id"], s["ticket_id"], s["attempt"])
            for name, p in answers
            if name in ("SlotsGranted", "SlotsDenied")  # else see test_losses.py
            for s in p["slots"]
        )
        happened = Counter(
            ("SlotsGranted" if isinstance(e, SlotGranted) else "SlotsDenied", e.agent_id, e.workflow_id,
             e.ticket_id, e.attempt)
            for e in events
            if isinstance(e, SlotGranted | SlotDenied)
        )  # fmt: skip
        assert heard == happened

    @rule(name=st.sampled_from(NAMES), capacity=st.integers(1, 3))
    def register(self, name: str, capacity: int) -> None:
        self._send(agent(capacity, name))

    @rule(
        name=st.sampled_from(NAMES),
        workflow=st.sampled_from(["w1", "w2"]),
        requests=st.lists(
            st.tuples(TICKETS, st.integers(1, 2), st.integers(0, 12), st.sampled_from([-1, 5, 60, 400])),
            min_size=1, max_size=6,
        ),
    )  # fmt: skip
    def ask(self, name: str, workflow: str, requests: list[tuple[str, int, int, int]]) -> None:
        slots = tuple(
            SlotRequest(ticket, attempt, place, self.unit.now + lease_s * SECOND)
            for ticket, attempt, place, lease_s in requests
        )
        self._send(ReserveSlots(name, workflow, slots))

    @rule(
        name=st.sampled_from(NAMES),
        releases=st.lists(
            st.tuples(TICKETS, st.integers(1, 2), st.sampled_from(list(SlotOutcome)[1:])),
            min_size=1,
            max_size=4,
        ),
    )
    def give_back(self, name: str, releases: list[tuple[str, int, SlotOutcome]]) -> None:
        self._send(
            ReleaseSlots(name, "w1", tuple(SlotRelease(t, attempt, o, "BUILD") for t, attempt, o in releases))
        )

    @rule(name=st.sampled_from(NAMES))
    def beat(self, name: str) -> None:
        known = self.unit.state(AGENT, name)
        if known is not None and known.presence is Presence.REGISTERED:
            self._send(Heartbeat(name, 1.0, 0.0, 0))

    @rule(name=st.sampled_from(NAMES))
    def leave(self, name: str) -> None:
        if self.unit.state(AGENT, name) is not None:
            self._send(DeregisterAgent(name, "done", hidden("ann")))

    @precondition(lambda self: self.sent)
    @rule(data=st.data())
    def repeat(self, data: st.DataObject) -> None:
        message, message_id = data.draw(st.sampled_from(self.sent[-8:]))
        if not isinstance(
            message, Heartbeat
        ):  # one that came to nothing is refused later, when the agent is gone
            self._follow(self.unit.handle(message, message_id))

    @rule(seconds=st.sampled_from([1, 7, 61, 95, 300, 700]))
    def wait(self, seconds: int) -> None:
        self._follow(self.unit.pass_time(seconds))

    @invariant()
    def nobody_waits_while_there_is_room(self) -> None:
        for name in NAMES:
            known = self.unit.state(AGENT, name)
            held = sum(slot[0] == name for slot in self.held)
            waiting = sum(slot[0] == name for slot in self.waiting)
            assert (count(self.unit, held_key(name)), count(self.unit, waiting_key(name))) == (held, waiting)
            if refusal(known):
                assert waiting == 0
            elif waiting:
                assert held >= known.profile.capacity

    @invariant()
    def states_agree(self) -> None:
        for name, ticket, attempt in self.held:
            assert self._status(name, ticket, attempt) is Status.GRANTED
        for name, ticket, attempt in self.waiting:
            assert self._status(name, ticket, attempt) is Status.REQUESTED

    def _status(self, name: str, ticket: str, attempt: int) -> Status:
        status: Status = self.unit.state(SLOT, slot_id_of(name, ticket, attempt)).status
        return status


TestSlots = Slots.TestCase
TestSlots.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
