"""Exceptions from freezes that are asked for, allowed and taken back while plans are carried out; and which of them
lets a deployment go.

The SLA calculator is not in these worlds: its events are, as its aggregate makes them. It may be slow to say that one
is over: nothing may be excepted by that one all the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

from neural_hive.aggregates.aggregate import Event, Rejected, event_of
from neural_hive.aggregates.freeze_exception import (
    FREEZE_EXCEPTION,
    Approve,
    ExceptionCommand,
    Expire,
    FreezeException,
    Reject,
    Request,
    Revoke,
    Scope,
    Standing,
)
from neural_hive.aggregates.workflow import ticket_id_of
from neural_hive.schemas.codec import decode
from neural_hive.schemas.envelope import Envelope
from tests.privacy.memory_keys import hidden
from tests.simulation.history import History

if TYPE_CHECKING:
    from neural_hive.aggregates.decision import DecisionConsolidated
    from tests.simulation.world import World

Say = Callable[[str, Event], None]
ANN, BOB = hidden("ann"), hidden("bob")
_DURATIONS_MS: Final = (60_000, 600_000, 3_600_000)


class Exceptions:
    """Who asks for them, and who answers."""

    def __init__(self, world: World, plans: Mapping[str, DecisionConsolidated], say: Say) -> None:
        self._world, self._plans, self._say = world, plans, say
        self._known: dict[str, FreezeException] = {}

    def turn(self) -> None:
        """One is asked for, or something becomes of one."""
        chance, now = self._world.chance, self._world.broker.now
        if not self._known or chance.random() < 0.4:
            name, scope = f"e-{len(self._known)}", chance.choice([s for s in Scope if s is not Scope.UNKNOWN])
            if subject := self._subject(scope):
                self._decide(name, Request(name, scope, subject, chance.choice(_DURATIONS_MS), ANN, "y", now))
                self._decide(name, Approve(BOB, "y", now))
            return
        name = chance.choice(list(self._known))
        command: ExceptionCommand = chance.choice(
            (Approve(BOB, "y", now), Reject(BOB, "y", now), Revoke(ANN, "y", now), Expire(now), Expire(now))
        )
        self._decide(name, command)

    def _subject(self, scope: Scope) -> str:
        chance = self._world.chance
        match scope:
            case Scope.SERVICE:
                return chance.choice(("shop", "till", "1"))
            case Scope.NAMESPACE:
                return "eu"
        if not self._plans:
            return ""
        workflow_id = chance.choice(list(self._plans))
        if scope is Scope.WORKFLOW:
            return workflow_id
        return ticket_id_of(workflow_id, chance.choice(self._plans[workflow_id].tasks).task_id)

    def _decide(self, name: str, command: ExceptionCommand) -> None:
        try:
            events = FREEZE_EXCEPTION.decide(self._known.get(name), command)
        except Rejected:
            return
        for event in events:
            self._known[name] = FREEZE_EXCEPTION.evolve(self._known.get(name), event)
            self._say(name, event)


def excepting(
    history: History, seen: Mapping[int, int], at: int, named: Mapping[str, str], place: tuple[str, str]
) -> set[str]:
    """The exceptions that let a deployment go at a time (µs), as far as a decision had read of them.

    `seen`: the next offset of each partition; `named`: the ids of ticket and workflow; `place`: service, namespace.
    """
    known: dict[str, FreezeException] = {}
    for (_, partition), offset, entry in history.records(FREEZE_EXCEPTION.topic):
        if offset < seen[partition]:
            decoded = decode(entry.value or b"", "event")
            assert isinstance(decoded.head, Envelope)
            if decoded.head.aggregate_type == FREEZE_EXCEPTION.name:
                event = event_of(FREEZE_EXCEPTION, decoded.head.event_type, decoded.payload)
                name = decoded.head.aggregate_id
                known[name] = FREEZE_EXCEPTION.evolve(known.get(name), event)
    names = {
        (Scope.TICKET, named["ticket_id"]),
        (Scope.WORKFLOW, named["workflow_id"]),
        (Scope.SERVICE, place[0]),
        (Scope.NAMESPACE, place[1]),
    }
    return {
        name
        for name, found in known.items()
        if found.standing is Standing.APPROVED
        and at < found.ends_at
        and (found.requested.scope, found.requested.subject) in names
    }
