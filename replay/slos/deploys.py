"""Deployments of a history: when each was about to be given to an agent, and which freezes would have held it then."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from neural_hive.aggregates.freeze_policy import Action
from neural_hive.aggregates.ticket import NAMESPACE, SERVICE
from neural_hive.aggregates.vocabulary import TaskType
from neural_hive.replay.slos.outcome import Frozen
from neural_hive.schemas.envelope import Envelope

TYPES: Final = frozenset(
    {
        *("TicketCreated", "TicketReady", "TicketHeld", "TicketReleased", "TicketAllocated"),
        *("TicketDispatched", "TicketCancelled"),
    }
)


class Deploy(msgspec.Struct):
    """A ticket that deploys something."""

    ticket_id: str
    service: str
    namespace: str
    moments: list[int] = []  # µs: when it could have been given to an agent, for each attempt
    holds: list[tuple[int, int | None]] = []  # when it was held in fact
    undoes: bool = False  # what undoes a deployment is never held
    waits: bool = False  # it is ready, and no moment of this attempt is known yet


class Held(msgspec.Struct, frozen=True):
    """A ticket that would have been held, or was."""

    ticket_id: str
    service: str
    namespace: str
    held_at: int  # µs, for the first time
    held_us: int  # in all


class Deploys:
    """Collects them, from the events of tickets in their order."""

    def __init__(self) -> None:
        self.found: dict[str, Deploy] = {}

    def hear(self, head: Envelope, payload: Mapping[str, Any]) -> None:
        """One event of a ticket."""
        ticket_id = head.aggregate_id
        if head.event_type == "TicketCreated":
            task = payload["task"]
            if task["task_type"] == TaskType.DEPLOY:
                given = task["parameters"]
                self.found[ticket_id] = Deploy(ticket_id, given.get(SERVICE, ""), given.get(NAMESPACE, ""))
        elif (deploy := self.found.get(ticket_id)) is not None:
            _follow(deploy, head.event_type, payload)


def _follow(deploy: Deploy, event_type: str, payload: Mapping[str, Any]) -> None:
    match event_type:
        case "TicketReady":
            deploy.undoes, deploy.waits = payload["compensates"], True
        case "TicketHeld":
            deploy.service, deploy.namespace = payload["service"], payload["namespace"]
            _moment(deploy, payload["held_at"])
            if not deploy.holds or deploy.holds[-1][1] is not None:
                deploy.holds.append((payload["held_at"], None))
        case "TicketAllocated":
            _moment(deploy, payload["allocated_at"])
        case "TicketDispatched":  # what other tasks have made is put in
            given = payload["parameters"]
            deploy.service, deploy.namespace = given.get(SERVICE, ""), given.get(NAMESPACE, "")
        case "TicketReleased" | "TicketCancelled":
            if deploy.holds and deploy.holds[-1][1] is None:
                ended_at = payload.get("released_at") or payload["cancelled_at"]
                deploy.holds[-1] = deploy.holds[-1][0], ended_at
        case _:
            return


def _moment(deploy: Deploy, at: int) -> None:
    if deploy.waits and not deploy.undoes:
        deploy.moments.append(at)
    deploy.waits = False


def held_in_fact(deploys: Iterable[Deploy], since: int, until: int) -> list[Held]:
    """Those that were held."""
    return _sorted(_held(deploy, deploy.holds, since, until) for deploy in deploys)


def would_be_held(deploys: Iterable[Deploy], freezes: Sequence[Frozen], since: int, until: int) -> list[Held]:
    """Those that freezes would have held, each until none concerns it any more."""
    blocking = [frozen for frozen in freezes if Action.BLOCK_DEPLOY in frozen.freeze.actions]
    return _sorted(_held(deploy, _holds(deploy, blocking), since, until) for deploy in deploys)


def _holds(deploy: Deploy, freezes: Sequence[Frozen]) -> list[tuple[int, int | None]]:
    concerned = [f for f in freezes if f.freeze.blocks(Action.BLOCK_DEPLOY, deploy.service, deploy.namespace)]
    holds: list[tuple[int, int | None]] = []
    for at in deploy.moments if concerned else ():
        if holds and (holds[-1][1] is None or at < holds[-1][1]):
            continue  # it would not have come to this attempt yet
        end = _until(at, concerned)
        if end != at:
            holds.append((at, end))
    return holds


def _until(at: int, freezes: Sequence[Frozen]) -> int | None:
    """When none of the freezes holds any more; None: one holds still."""
    while True:
        ends = [f.ended_at for f in freezes if f.begun_at <= at and (f.ended_at is None or at < f.ended_at)]
        if not ends:
            return at
        if None in ends:
            return None
        at = max(end for end in ends if end is not None)


def _held(deploy: Deploy, holds: Sequence[tuple[int, int | None]], since: int, until: int) -> Held | None:
    times = [(begin, until if end is None else end) for begin, end in holds]
    within = [(max(begin, since), min(end, until)) for begin, end in times if begin < until and end > since]
    if not within:
        return None
    return Held(
        deploy.ticket_id,
        deploy.service,
        deploy.namespace,
        within[0][0],
        sum(end - begin for begin, end in within),
    )


def _sorted(found: Iterable[Held | None]) -> list[Held]:
    return sorted(
        (held for held in found if held is not None), key=lambda held: (held.held_at, held.ticket_id)
    )
