"""Slots of the agents: who asked gets one, waits for one, or is told to look elsewhere.

Only the partition that owns an agent gives its slots away, so however many ask at once, no more are held than it has.
"""

from collections.abc import Iterable
from typing import Final

import msgspec

from neural_hive.aggregates.agent import AGENT, NAME, Agent, refusal
from neural_hive.aggregates.aggregate import Event, Rejected
from neural_hive.aggregates.pheromone import TRAIL, Reinforce, trail_id_of
from neural_hive.aggregates.slot import (
    SLOT,
    TRIED,
    WAITING_MAX,
    Attempt,
    DenySlot,
    EndLease,
    GrantSlot,
    RequestSlot,
    ReturnSlot,
    Room,
    SlotDenied,
    SlotGranted,
    SlotOutcome,
    SlotReturned,
    held_key,
    slot_id_of,
    waiting_key,
)
from neural_hive.streams.kernel.system import Unit
from neural_hive.streams.registry.losses import note_given_back
from neural_hive.streams.registry.messages import (
    ANSWERS,
    ReleaseSlots,
    ReserveSlots,
    SlotRef,
    SlotsDenied,
    SlotsGranted,
)

# In one message: as many as can wait and be held, so that all of a workflow can be given back at once.
SLOTS_MAX: Final = 20_000


class Answers:
    """What those who asked are to be told, in as few messages as can be."""

    def __init__(self) -> None:
        self._granted: dict[str, list[SlotRef]] = {}
        self._denied: dict[tuple[str, str], list[SlotRef]] = {}

    def note(self, events: Iterable[Event]) -> None:
        """Takes what has happened to slots."""
        for event in events:
            if isinstance(event, SlotGranted):
                self._granted.setdefault(event.workflow_id, []).append(_ref(event))
            elif isinstance(event, SlotDenied):
                self._denied.setdefault((event.workflow_id, event.reason), []).append(_ref(event))

    def send(self, unit: Unit, agent_id: str) -> None:
        """Sends them, one for each workflow and reason."""
        for workflow_id, slots in self._granted.items():
            _send(unit, SlotsGranted(agent_id, workflow_id, tuple(slots)))
        for (workflow_id, reason), slots in self._denied.items():
            _send(unit, SlotsDenied(agent_id, workflow_id, tuple(slots), reason))


def _ref(event: SlotGranted | SlotDenied) -> SlotRef:
    return SlotRef(event.ticket_id, event.attempt, event.allocation)


def _send(unit: Unit, answer: SlotsGranted | SlotsDenied) -> None:
    unit.send(ANSWERS, type(answer).__name__, answer.workflow_id, msgspec.to_builtins(answer))


def reserve(unit: Unit, message: ReserveSlots) -> None:
    """Each request is granted, waits, or is denied. Raises Rejected."""
    agent_id, workflow_id = message.agent_id, message.workflow_id
    _check(agent_id, len(message.requests))
    agent = unit.load(AGENT, agent_id)
    answers = Answers()
    for asked in sorted(message.requests, key=lambda request: (request.place, request.ticket_id)):
        slot_id = slot_id_of(agent_id, asked.ticket_id, asked.attempt)
        attempt = Attempt(agent_id, workflow_id, asked.ticket_id, asked.attempt, asked.allocation)
        room = _room(unit, agent_id, agent)
        request = RequestSlot(attempt, asked.place, asked.lease_ends_at, room, unit.now)
        answers.note(unit.execute(SLOT, slot_id, request))
    answers.send(unit, agent_id)


def release(unit: Unit, message: ReleaseSlots) -> None:
    """Slots come back, requests end, outcomes leave their trails; then the next ones get what is free.

    Raises Rejected.
    """
    agent_id = message.agent_id
    _check(agent_id, len(message.releases))
    returned = False
    for given in message.releases:
        if given.outcome is SlotOutcome.UNKNOWN:
            raise Rejected("outcome holds one that this build does not know")
        slot_id = slot_id_of(agent_id, given.ticket_id, given.attempt)
        events = unit.execute(SLOT, slot_id, ReturnSlot(given.outcome, given.domain, unit.now))
        is_returned = any(isinstance(e, SlotReturned) for e in events)
        returned = returned or is_returned
        if given.domain and given.outcome in TRIED and is_returned:
            success = given.outcome is SlotOutcome.COMPLETED
            _reinforce(unit, agent_id, given.domain, success)
    if returned:
        note_given_back(unit, agent_id, message.workflow_id)
    settle(unit, agent_id)


def _reinforce(unit: Unit, agent_id: str, domain: str, success: bool) -> None:
    unit.execute(TRAIL, trail_id_of(domain, agent_id), Reinforce(domain, agent_id, success, unit.now))


def end_lease(unit: Unit, slot_id: str) -> None:
    """A slot that nobody gave back goes to the next one; who waited in vain is told so."""
    slot = unit.load(SLOT, slot_id)
    assert slot is not None, "a timer of a slot follows from its state"
    answers = Answers()
    answers.note(unit.execute(SLOT, slot_id, EndLease(unit.now)))
    answers.send(unit, slot.attempt.agent_id)
    note_given_back(unit, slot.attempt.agent_id, slot.attempt.workflow_id)
    settle(unit, slot.attempt.agent_id)


def settle(unit: Unit, agent_id: str) -> None:
    """Brings those who wait in line with the agent: all are denied if it takes no work, else the first get what is
    free. To be called when the agent has changed or a slot has come back.
    """
    agent = unit.load(AGENT, agent_id)
    answers = Answers()
    if reason := refusal(agent):
        for slot_id in unit.first(waiting_key(agent_id), WAITING_MAX):
            answers.note(unit.execute(SLOT, slot_id, DenySlot(reason, unit.now)))
    else:
        while (free := _free(_room(unit, agent_id, agent))) and (
            following := unit.first(waiting_key(agent_id), free)
        ):
            events = [event for slot_id in following for event in _grant(unit, slot_id, agent)]
            answers.note(events)
            if not events:
                break
    answers.send(unit, agent_id)


def _grant(unit: Unit, slot_id: str, agent: Agent | None) -> list[Event]:
    assert agent is not None
    return unit.execute(SLOT, slot_id, GrantSlot(_room(unit, agent.agent_id, agent), unit.now))


def _room(unit: Unit, agent_id: str, agent: Agent | None) -> Room:
    return Room(
        unit.count(held_key(agent_id)),
        unit.count(waiting_key(agent_id)),
        agent.profile.capacity if agent is not None else 0,
        refusal(agent),
    )


def _free(room: Room) -> int:
    return max(room.capacity - room.held, 0)


def _check(agent_id: str, count: int) -> None:
    if not NAME.fullmatch(agent_id):
        raise Rejected(f"agent_id must be 1 to 128 letters, digits, dots, - or _, not {agent_id[:140]!r}")
    if count > SLOTS_MAX:
        raise Rejected(
            f"a message may speak of {SLOTS_MAX:,} slots, and this one does of {count:,}: send several"
        )
