"""Work that an agent had when it fell silent or left: who waits for it is told, and told again when that is over.

Nobody has to look at running work again and again: the agent's own timers notice its silence.
"""

from typing import Final

import msgspec

from neural_hive.aggregates.agent import AGENT, CAPACITY_MAX, Agent, Health, Presence
from neural_hive.aggregates.slot import SLOT, Slot, held_key, held_place
from neural_hive.streams.kernel.system import Unit
from neural_hive.streams.registry.messages import ANSWERS, AttemptsLost, AttemptsSettled, SlotRef

HEARD_AGAIN: Final = "the agent is heard again"
NONE_LEFT: Final = "the agent has none of them any more"


def loss(agent: Agent | None) -> str:
    """Why nobody can tell how the work at an agent goes on; empty if the agent can."""
    if agent is None:
        return ""
    if agent.presence is not Presence.REGISTERED:
        return f"the agent is {agent.presence}"
    return f"the agent is {agent.health}" if agent.health is Health.UNHEALTHY else ""


def note_agent(unit: Unit, before: Agent | None, after: Agent | None) -> None:
    """Tells who has attempts at an agent that it is lost, or heard again."""
    reason = loss(after)
    if after is None or bool(reason) == bool(loss(before)):
        return
    for workflow_id, slots in _held(unit, after.agent_id).items():
        if reason:
            _tell(unit, AttemptsLost(after.agent_id, workflow_id, tuple(slots), reason))
        else:
            _tell(unit, AttemptsSettled(after.agent_id, workflow_id, HEARD_AGAIN))


def note_given_back(unit: Unit, agent_id: str, workflow_id: str) -> None:
    """Tells a workflow whose slots came back that a lost agent has nothing of it any more, if that is so."""
    if loss(unit.load(AGENT, agent_id)) and not _has_any(unit, agent_id, workflow_id):
        _tell(unit, AttemptsSettled(agent_id, workflow_id, NONE_LEFT))


def _held(unit: Unit, agent_id: str) -> dict[str, list[SlotRef]]:
    """The attempts that hold slots of an agent, by workflow."""
    found: dict[str, list[SlotRef]] = {}
    for slot_id in unit.first(held_key(agent_id), CAPACITY_MAX):
        of = _slot(unit, slot_id).attempt
        ref = SlotRef(of.ticket_id, of.attempt, of.allocation)
        found.setdefault(of.workflow_id, []).append(ref)
    return found


def _has_any(unit: Unit, agent_id: str, workflow_id: str) -> bool:
    place = held_place(workflow_id)
    return any(
        _slot(unit, slot_id).attempt.workflow_id == workflow_id
        for slot_id in unit.first(held_key(agent_id), 1, place)
    )


def _slot(unit: Unit, slot_id: str) -> Slot:
    slot = unit.load(SLOT, slot_id)
    assert slot is not None, "who stands in a queue has events"
    return slot


def _tell(unit: Unit, message: AttemptsLost | AttemptsSettled) -> None:
    unit.send(ANSWERS, type(message).__name__, message.workflow_id, msgspec.to_builtins(message))
