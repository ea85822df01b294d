"""A slot: one of the places that an agent has for work, asked for by one attempt at a ticket.

Protects: no more are granted than the agent has; who waits gets the next one in order, and every request ends:
granted, denied or withdrawn; what is granted ends once, by its return or with its lease.

    REQUESTED → GRANTED → RETURNED | EXPIRED
    REQUESTED → DENIED | WITHDRAWN

An attempt whose request has ended may ask again. How many are held and wait is counted for each agent
(`held_key`, `waiting_key`); who waits stands in the agent's queue, and who holds a slot in another one.
"""

from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Final, assert_never

import msgspec

from neural_hive.aggregates.aggregate import Aggregate, Command, Event, Rejected, members
from neural_hive.aggregates.identity import derived_id

WAITING_MAX: Final = 10_000  # for one agent: beyond it asking elsewhere is sooner than waiting
LEASE_TIMER: Final = "lease"
ID_CHARS_MAX: Final = 256


class SlotOutcome(StrEnum):
    """Why a slot is given back."""

    UNKNOWN = "UNKNOWN"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    TIMED_OUT = "TIMED_OUT"
    CANCELLED = "CANCELLED"
    WITHDRAWN = "WITHDRAWN"  # the attempt never began


TRIED: Final = frozenset({SlotOutcome.COMPLETED, SlotOutcome.FAILED, SlotOutcome.TIMED_OUT})


class Attempt(msgspec.Struct, frozen=True):
    """Which attempt at a ticket, and which of its requests."""

    agent_id: str
    workflow_id: str
    ticket_id: str
    attempt: int  # 1 for the first
    allocation: int = 0  # as who asks counts its requests; answers repeat it


class Room(msgspec.Struct, frozen=True):
    """What an agent has left when a slot is asked for."""

    held: int
    waiting: int
    capacity: int
    refusal: str = ""  # why it takes no work at all; empty: it does


class RequestSlot(Command, frozen=True):
    """An attempt wants a slot."""

    attempt: Attempt
    place: int  # smallest first among those that wait
    lease_ends_at: int  # µs
    room: Room
    now: int  # µs


class GrantSlot(Command, frozen=True):
    """Who waits may have a slot that is free now."""

    room: Room
    now: int  # µs


class DenySlot(Command, frozen=True):
    """Who waits will get none."""

    reason: str
    now: int  # µs


class ReturnSlot(Command, frozen=True):
    """An attempt needs its slot, or its place in the queue, no more."""

    outcome: SlotOutcome
    domain: str
    now: int  # µs


class EndLease(Command, frozen=True):
    """The time of a lease has come."""

    now: int  # µs


SlotCommand = RequestSlot | GrantSlot | DenySlot | ReturnSlot | EndLease


class SlotRequested(Event, frozen=True):
    """An attempt waits for a slot of its agent."""

    agent_id: str
    workflow_id: str
    ticket_id: str
    attempt: int
    allocation: int
    place: int
    lease_ends_at: int
    requested_at: int
    waiting: int  # with this one


class SlotGranted(Event, frozen=True):
    """An attempt has a slot of its agent."""

    agent_id: str
    workflow_id: str
    ticket_id: str
    attempt: int
    allocation: int
    place: int
    lease_ends_at: int
    granted_at: int
    held: int  # with this one
    capacity: int


class SlotDenied(Event, frozen=True):
    """An attempt gets no slot of the agent."""

    agent_id: str
    workflow_id: str
    ticket_id: str
    attempt: int
    allocation: int
    reason: str
    denied_at: int


class SlotReturned(Event, frozen=True):
    """An attempt has given its slot back, or says after the end of its lease how it ended."""

    agent_id: str
    workflow_id: str
    ticket_id: str
    attempt: int
    allocation: int
    outcome: SlotOutcome
    domain: str
    returned_at: int


class SlotExpired(Event, frozen=True):
    """The lease of a slot has ended and nobody had returned it: the next one may have it."""

    agent_id: str
    workflow_id: str
    ticket_id: str
    attempt: int
    allocation: int
    expired_at: int


class SlotWithdrawn(Event, frozen=True):
    """An attempt that waited for a slot wants it no more."""

    agent_id: str
    workflow_id: str
    ticket_id: str
    attempt: int
    allocation: int
    outcome: SlotOutcome
    withdrawn_at: int


SlotEvent = SlotRequested | SlotGranted | SlotDenied | SlotReturned | SlotExpired | SlotWithdrawn


class Status(StrEnum):
    """How far a request has come."""

    REQUESTED = "REQUESTED"
    GRANTED = "GRANTED"
    DENIED = "DENIED"
    RETURNED = "RETURNED"
    EXPIRED = "EXPIRED"
    WITHDRAWN = "WITHDRAWN"


OPEN: Final = (Status.REQUESTED, Status.GRANTED)


class Slot(msgspec.Struct, frozen=True):
    """What the events so far make of a slot."""

    attempt: Attempt
    status: Status
    place: int = 0
    lease_ends_at: int = 0  # µs


def slot_id_of(agent_id: str, ticket_id: str, attempt: int) -> str:
    """The id of the slot of an attempt."""
    return derived_id(agent_id, ticket_id, str(attempt))


def held_key(agent_id: str) -> str:
    """The counter of an agent's slots that are held, and the name of the queue of those who hold them."""
    return f"held:{agent_id}"


def held_place(workflow_id: str) -> str:
    """Where the attempts of a workflow stand among those that hold slots: together."""
    return derived_id(workflow_id)


def waiting_key(agent_id: str) -> str:
    """The counter of those that wait for an agent's slots, and the name of their queue."""
    return f"waiting:{agent_id}"


def decide(slot: Slot | None, command: SlotCommand) -> list[SlotEvent]:
    """The events that follow from a command. Raises Rejected: a request that makes no sense."""
    if isinstance(command, RequestSlot):
        _check(command)
        return [] if slot is not None and slot.status in OPEN else [_asked(command)]
    if slot is None:
        return []
    match command:
        case GrantSlot():
            return _granted(slot, command) if slot.status is Status.REQUESTED else []
        case DenySlot():
            return [_denied(slot.attempt, command.reason, command.now)] if _waits(slot) else []
        case ReturnSlot():
            return _returned(slot, command)
        case EndLease():
            return _ended(slot, command.now)
        case _:
            assert_never(command)


def _names(of: Attempt) -> tuple[str, str, str, int, int]:
    return of.agent_id, of.workflow_id, of.ticket_id, of.attempt, of.allocation


def _check(command: RequestSlot) -> None:
    of = command.attempt
    for name, text in (("workflow_id", of.workflow_id), ("ticket_id", of.ticket_id)):
        if not 1 <= len(text) <= ID_CHARS_MAX:
            raise Rejected(f"{name} must have 1 to {ID_CHARS_MAX} characters, not {len(text):,}")
    if of.attempt < 1:
        raise Rejected(f"attempt counts from 1, and is {of.attempt}")
    if command.place < 0:
        raise Rejected(f"place must not be negative, and is {command.place}")


def _asked(command: RequestSlot) -> SlotEvent:
    of, room, now = command.attempt, command.room, command.now
    if room.refusal:
        return _denied(of, room.refusal, now)
    if command.lease_ends_at <= now:
        return _denied(of, "its lease had ended when it asked", now)
    if room.held < room.capacity:
        return _grant(of, command.place, command.lease_ends_at, room, now)
    if room.waiting >= WAITING_MAX:
        return _denied(of, f"full: {room.waiting:,} wait for the agent", now)
    return SlotRequested(*_names(of), command.place, command.lease_ends_at, now, room.waiting + 1)


def _grant(of: Attempt, place: int, lease_ends_at: int, room: Room, now: int) -> SlotGranted:
    return SlotGranted(*_names(of), place, lease_ends_at, now, room.held + 1, room.capacity)


def _granted(slot: Slot, command: GrantSlot) -> list[SlotEvent]:
    if slot.lease_ends_at <= command.now:  # its timer is due too, and comes after this
        return [_out_of_time(slot, command.now)]
    if command.room.held >= command.room.capacity:
        return []
    return [_grant(slot.attempt, slot.place, slot.lease_ends_at, command.room, command.now)]


def _denied(of: Attempt, reason: str, now: int) -> SlotDenied:
    return SlotDenied(*_names(of), reason, now)


def _out_of_time(slot: Slot, now: int) -> SlotDenied:
    return _denied(slot.attempt, "no slot was free before the end of its lease", now)


def _waits(slot: Slot) -> bool:
    return slot.status is Status.REQUESTED


def _returned(slot: Slot, command: ReturnSlot) -> list[SlotEvent]:
    of = _names(slot.attempt)
    late = slot.status is Status.EXPIRED and command.outcome in TRIED
    if slot.status is Status.GRANTED or late:
        return [SlotReturned(*of, command.outcome, command.domain, command.now)]
    return [SlotWithdrawn(*of, command.outcome, command.now)] if _waits(slot) else []


def _ended(slot: Slot, now: int) -> list[SlotEvent]:
    if slot.status not in OPEN or now < slot.lease_ends_at:
        return []
    if _waits(slot):
        return [_out_of_time(slot, now)]
    return [SlotExpired(*_names(slot.attempt), now)]


def evolve(slot: Slot | None, event: SlotEvent) -> Slot:
    """What an event makes of the slot."""
    of = Attempt(event.agent_id, event.workflow_id, event.ticket_id, event.attempt, event.allocation)
    match event:
        case SlotRequested():
            return Slot(of, Status.REQUESTED, event.place, event.lease_ends_at)
        case SlotGranted():
            return Slot(of, Status.GRANTED, event.place, event.lease_ends_at)
        case SlotDenied():
            return Slot(of, Status.DENIED)
        case SlotReturned():
            return Slot(of, Status.RETURNED)
        case SlotExpired():
            return Slot(of, Status.EXPIRED)
        case SlotWithdrawn():
            return Slot(of, Status.WITHDRAWN)
        case _:
            assert_never(event)


def timers(slot: Slot) -> Mapping[str, int]:
    """When the lease ends: of who holds the slot, and of who waits for it."""
    return {LEASE_TIMER: slot.lease_ends_at} if slot.status in OPEN else {}


def counters(event: SlotEvent, before: Slot | None, after: Slot) -> Iterator[tuple[str, int]]:
    """How many are held and wait, for each agent."""
    was = before.status if before is not None else None
    for status, key in ((Status.GRANTED, held_key), (Status.REQUESTED, waiting_key)):
        if change := (after.status is status) - (was is status):
            yield key(event.agent_id), change


def queues(slot: Slot) -> Mapping[str, str]:
    """Who waits stands in the queue of its agent, and who holds a slot among those that do."""
    of = slot.attempt
    match slot.status:
        case Status.REQUESTED:
            return {waiting_key(of.agent_id): f"{slot.place:020d}"}
        case Status.GRANTED:
            return {held_key(of.agent_id): held_place(of.workflow_id)}
        case _:
            return {}


SLOT = Aggregate("slot", "registry.slots", Slot, members(SlotEvent), decide, evolve, timers, counters, queues)
