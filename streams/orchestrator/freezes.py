"""Which freezes concern a deployment, and which exception lets it go all the same, as far as they are known."""

from operator import attrgetter
from typing import Final

import msgspec

from neural_hive.aggregates.freeze_exception import Scope as Excepted
from neural_hive.aggregates.freeze_policy import Action, Scope
from neural_hive.aggregates.references import fill
from neural_hive.aggregates.ticket import NAMESPACE, SERVICE, HoldingFreeze, Ticket, can_be_frozen
from neural_hive.streams.exceptions_view import Frozen
from neural_hive.streams.orchestrator.flow import FREEZES, Flow

FREEZES_TOLD_MAX: Final = 20  # a policy of everything has a freeze for each budget
NAME_BYTES_MAX: Final = 64 * 1024  # what is longer names no service


class Holding(msgspec.Struct, frozen=True):
    """The freezes that concern a ticket, what they were compared with, and what excepts it from them."""

    service: str = ""
    namespace: str = ""
    freezes: tuple[HoldingFreeze, ...] = ()
    count: int = 0
    exception_id: str = ""  # only if there are freezes

    @property
    def holds(self) -> bool:
        """Whether the ticket must wait."""
        return bool(self.freezes) and not self.exception_id


_NOTHING: Final = Holding()


def holding_of(flow: Flow, ticket: Ticket) -> Holding:
    """What holds a ticket; nothing, if it is no deployment or is being undone."""
    return excepted(flow, ticket, frozen_of(flow, ticket))


def excepted(flow: Flow, ticket: Ticket, holding: Holding) -> Holding:
    """With the exception that lets the ticket go, if there is one: the one that names it most closely."""
    if not holding.freezes:
        return holding
    created, known = ticket.created, exceptions_of(flow)
    for named in (
        (Excepted.TICKET, created.ticket_id),
        (Excepted.WORKFLOW, created.workflow_id),
        (Excepted.SERVICE, holding.service),
        (Excepted.NAMESPACE, holding.namespace),
    ):
        if named[1] and (exception_id := known.get(named)):
            return msgspec.structs.replace(holding, exception_id=exception_id)
    return holding


def exceptions_of(flow: Flow) -> dict[tuple[Excepted, str], str]:
    """The exceptions that hold now, by what they are for; of several the one with the smallest id."""
    if flow.exceptions is None:
        frozen: Frozen = flow.unit.view(FREEZES).value
        flow.exceptions = {}
        for exception_id in sorted(frozen.exceptions):
            found = frozen.exceptions[exception_id]
            if found.holds(flow.now):
                flow.exceptions.setdefault((found.requested.scope, found.requested.subject), exception_id)
    return flow.exceptions


def frozen_of(flow: Flow, ticket: Ticket) -> Holding:
    """The freezes that concern a ticket, whatever excepts it; the same for all that require the same."""
    if not can_be_frozen(ticket):
        return _NOTHING
    frozen: Frozen = flow.unit.view(FREEZES).value
    service, namespace = _place(flow, ticket)
    found = [f for f in frozen.freezes.values() if f.blocks(Action.BLOCK_DEPLOY, service, namespace)]
    found.sort(key=attrgetter("policy_id", "freeze_id"))
    told = (
        HoldingFreeze(f.freeze_id, f.policy_id, f.policy_revision, f.scope, f.subject)
        for f in found[:FREEZES_TOLD_MAX]
    )
    return Holding(service, namespace, tuple(told), len(found))


def _place(flow: Flow, ticket: Ticket) -> tuple[str, str]:
    """Service and namespace: what tasks before it have made is put in, as it will be when it is dispatched."""
    created = ticket.created
    given = {name: created.task.parameters.get(name, "") for name in (SERVICE, NAMESPACE)}
    named = msgspec.structs.replace(created.task, command=(), environment={}, parameters=given)
    filled = fill(named, flow.maker(created.workflow_id), NAME_BYTES_MAX)
    if not filled.missing:
        given = filled.parameters
    return given[SERVICE], given[NAMESPACE]


def frozen_by(freezes: tuple[HoldingFreeze, ...], count: int) -> str:
    """Why a ticket is held, in words."""
    told = dict.fromkeys(f"by policy {freeze.policy_id} {_whose(freeze)}" for freeze in freezes)
    more = f", and by {count - len(freezes):,} more freezes" if count > len(freezes) else ""
    return f"frozen {', '.join(told)}{more}"


def _whose(freeze: HoldingFreeze) -> str:
    match freeze.scope:
        case Scope.SERVICE:
            return f"for service {freeze.subject}"
        case Scope.NAMESPACE:
            return f"for namespace {freeze.subject}"
        case _:
            return "for everything"
