"""Freezes that begin and end while plans are carried out; and what must hold of deployments then.

The SLA calculator is not in these worlds: its events are, as its aggregate makes them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import msgspec

from neural_hive.aggregates.aggregate import Aggregate, Event, event_of
from neural_hive.aggregates.burn import Level
from neural_hive.aggregates.freeze import FREEZE, DeployFreeze, Standing, Weigh, freeze_id_of
from neural_hive.aggregates.freeze_policy import Action, FreezePolicy, Policy, Scope
from neural_hive.aggregates.incident import Kind
from neural_hive.schemas.codec import decode, encode_event
from neural_hive.schemas.envelope import NO_HASH, Envelope
from neural_hive.schemas.topics import partition_of
from tests.simulation.history import History, Written
from tests.simulation.hive_exceptions import excepting

if TYPE_CHECKING:
    from tests.simulation.world import World

SERVICES: Final = ("shop", "till", "1")  # the last one: as agents' outputs say
_POLICIES: Final = tuple(
    FreezePolicy(Policy(name, name, scope, subject, (action,), 10.0, 50.0), revision)
    for revision, (name, scope, subject, action) in enumerate(
        (
            ("shop", Scope.SERVICE, "shop", Action.BLOCK_DEPLOY),
            ("one", Scope.SERVICE, "1", Action.BLOCK_DEPLOY),
            ("eu", Scope.NAMESPACE, "eu", Action.BLOCK_DEPLOY),
            ("all", Scope.GLOBAL, "", Action.BLOCK_DEPLOY),
            ("told", Scope.GLOBAL, "", Action.ALERT_ONLY),
        ),
        1,
    )
)
_BUDGET: Final = "budget"


class Freezes:
    """Who freezes."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._known: dict[str, DeployFreeze] = {}
        self._count = 0

    def turn(self) -> None:
        """One begins or ends."""
        policy = self._world.chance.choice(_POLICIES)
        found = self._known.get(policy.policy.policy_id)
        self._weigh(policy, 0.05 if found is None or found.standing is not Standing.ACTIVE else 1.0)

    def end(self) -> None:
        """None holds any more."""
        for policy in _POLICIES:
            self._weigh(policy, 1.0)

    def _weigh(self, policy: FreezePolicy, remaining: float) -> None:
        name, now = policy.policy.policy_id, self._world.broker.now
        weigh = Weigh(policy, "slo", _BUDGET, remaining, Level.NORMAL, now, True, now)
        for event in FREEZE.decide(self._known.get(name), weigh):
            self._known[name] = FREEZE.evolve(self._known.get(name), event)
            self.write(FREEZE, name, freeze_id_of(name, _BUDGET), event)

    def write(self, aggregate: Aggregate[Any], key: str, aggregate_id: str, event: Event) -> None:
        """Appends an event to their topic."""
        self._count += 1
        head = Envelope(
            type(event).__name__, aggregate.name, 1, "l", "sla", f"freeze event {self._count}", aggregate_id,
            self._count, self._world.broker.now, "c", "c", "0" * 32, "0" * 16, self._count, "", 0, 0, NO_HASH,
        )  # fmt: skip
        place = FREEZE.topic, partition_of(key.encode(), 2)
        self._world.broker.append(place, key.encode(), encode_event(head, msgspec.to_builtins(event)))


def check(history: History) -> None:
    """Raises AssertionError."""
    undone: set[str] = set()
    held: dict[str, dict[str, Any]] = {}
    deploys: dict[str, dict[str, str]] = {}
    for written in history.events:
        told, ticket_id = written.payload, written.payload.get("ticket_id", "")
        match written.kind:
            case "TicketCreated" if told["task"]["task_type"] == "DEPLOY":
                deploys[ticket_id] = told["task"]["parameters"]
            case "TicketReady" if told["compensates"]:
                undone.add(ticket_id)
            case "TicketHeld":
                held[ticket_id] = told
                assert ticket_id in deploys and ticket_id not in undone
                by, but = _frozen(history, written, told["held_at"], told)
                assert [f["freeze_id"] for f in told["freezes"]] == by, f"held by {told}, and frozen by {by}"
                assert told["freeze_count"] == len(by) > 0
                assert not but, f"{ticket_id} is held, and excepted by {but}"
            case "TicketReleased" if told["views"]:
                _check_gone(history, written, told["released_at"], held.pop(ticket_id))
            case "TicketReleased" | "TicketCancelled":
                held.pop(ticket_id, None)
            case "TicketAllocated":
                assert ticket_id not in held, f"{ticket_id} is given out while it is held"
                place = deploys.get(ticket_id, {})
                if place and ticket_id not in undone and "${" not in place["service"]:
                    _check_gone(history, written, told["allocated_at"], place)
    assert not held, f"{held.keys()} are held for ever"
    _check_incidents(history)


def _check_gone(history: History, written: Written, at: int, place: Mapping[str, str]) -> None:
    """A deployment goes since it is not frozen, or by an exception that it names."""
    by, but = _frozen(history, written, at, place)
    exception_id = written.payload["exception_id"]
    is_right = exception_id in but if by else not exception_id
    assert is_right, f"{written.payload} went, is frozen by {by}, and excepted by {but}"


def _frozen(
    history: History, written: Written, at: int, place: Mapping[str, str]
) -> tuple[list[str], set[str]]:
    """The freezes that concern a deployment, as far as a decision had read of them, in the order of their policies;
    and the exceptions that let it go.
    """
    (seen,) = (view["next_offsets"] for view in written.payload["views"] if view["topic"] == FREEZE.topic)
    service, namespace = place["service"], place["namespace"]
    known: dict[str, DeployFreeze] = {}
    for (_, partition), offset, entry in history.records(FREEZE.topic):
        if offset < seen[partition]:
            decoded = decode(entry.value or b"", "event")
            assert isinstance(decoded.head, Envelope)
            if decoded.head.aggregate_type == FREEZE.name:
                event = event_of(FREEZE, decoded.head.event_type, decoded.payload)
                freeze_id = decoded.head.aggregate_id
                known[freeze_id] = FREEZE.evolve(known.get(freeze_id), event)
    found = [f for f in known.values() if f.blocks(Action.BLOCK_DEPLOY, service, namespace)]
    but = excepting(history, seen, at, written.payload, (service, namespace))
    return [f.freeze_id for f in sorted(found, key=lambda f: f.policy_id)], but


def _check_incidents(history: History) -> None:
    opened = {
        written.payload["incident_id"]
        for written in history.events
        if written.kind == "IncidentOpened" and written.payload["kind"] == Kind.DEPLOY_FROZEN
    }
    resolved = {w.payload["incident_id"] for w in history.events if w.kind == "IncidentResolved"}
    assert opened <= resolved, f"incidents about frozen deployments that are still open: {opened - resolved}"
