"""Giving a ticket to the agent that has a slot for it, with what it takes from other tickets."""

from time import perf_counter
from typing import Final

import msgspec

from neural_hive.aggregates.made import artifact_bytes
from neural_hive.aggregates.references import Filled, fill
from neural_hive.aggregates.ticket import (
    TICKET,
    DispatchTicket,
    GiveUpTicket,
    Slot,
    Status,
    Ticket,
    UnallocateTicket,
)
from neural_hive.aggregates.vocabulary import Artifact
from neural_hive.streams.orchestrator.course import go_on
from neural_hive.streams.orchestrator.flow import AGENTS, Flow
from neural_hive.streams.orchestrator.freezes import frozen_by, holding_of
from neural_hive.streams.orchestrator.holding import hold
from neural_hive.streams.orchestrator.market import too_old, views_of
from neural_hive.streams.registry.messages import SlotsDenied, SlotsGranted

# What a ticket takes from others: values, and its inputs' names and URIs.
DISPATCH_BYTES_MAX: Final = 1024 * 1024
# The same, of all tickets that one message gives out: they share a transaction.
RELEASE_BYTES_MAX: Final = 64 * 1024 * 1024


def use_slots(flow: Flow, granted: SlotsGranted) -> None:
    """Dispatches what was asked for. What is not wanted any more was given back when that was decided."""
    bytes_left = RELEASE_BYTES_MAX
    for ref in granted.slots:
        flow.check(ref.ticket_id, granted.workflow_id)
        ticket = flow.unit.load(TICKET, ref.ticket_id)
        slot = Slot(granted.agent_id, ref.attempt, ref.allocation)
        if ticket is not None and ticket.status is Status.READY and ticket.slot == slot:
            started = perf_counter()
            bytes_left -= _dispatch(flow, ticket, slot, bytes_left)
            flow.unit.measure("C4", granted.workflow_id, perf_counter() - started)


def do_without(flow: Flow, denied: SlotsDenied) -> None:
    """Lets tickets wait for another choice."""
    for ref in denied.slots:
        flow.check(ref.ticket_id, denied.workflow_id)
        if flow.unit.load(TICKET, ref.ticket_id) is not None:
            asked = (denied.agent_id, ref.attempt, ref.allocation)
            flow.on_ticket(ref.ticket_id, UnallocateTicket(*asked, denied.reason, flow.now), denied=True)


def give_up_place(flow: Flow, ticket_id: str) -> None:
    """Gives back the place in one agent's queue: another agent may be idle by now."""
    ticket = flow.ticket(ticket_id)
    if ticket.slot is not None:
        slot, waited_s = ticket.slot, (flow.now - ticket.asked_at) // 1_000_000
        asked = (slot.agent_id, slot.attempt, slot.allocation)
        reason = f"no slot of {slot.agent_id} was free for {waited_s} s"
        flow.on_ticket(ticket_id, UnallocateTicket(*asked, reason, flow.now))
        flow.impatient.add(ticket.created.workflow_id)


def _dispatch(flow: Flow, ticket: Ticket, slot: Slot, bytes_left: int) -> int:
    """Gives a ticket to the agent, with what it takes from others; how many bytes that is."""
    if why := too_old(flow, ticket):
        return _give_back(flow, ticket, slot, why)
    holding = holding_of(flow, ticket)
    frozen = frozen_by(holding.freezes, holding.count) if holding.freezes else ""
    if holding.holds:  # since the slot was asked for
        _give_back(flow, ticket, slot, frozen)
        hold(flow, ticket, holding, views_of(flow))
        return 0
    if holding.exception_id not in (
        "",
        ticket.exception_id,
    ):  # the choice of its agent must name what lets it go
        return _give_back(flow, ticket, slot, f"{frozen}: exception {holding.exception_id} lets it go")
    created, task = ticket.created, ticket.created.task
    if ticket.compensates:
        task = msgspec.structs.replace(task, command=task.compensation)
    filled = fill(task, flow.maker(created.workflow_id), DISPATCH_BYTES_MAX)
    inputs = _inputs(flow, ticket, filled)
    taken = filled.taken_bytes + artifact_bytes(inputs)
    missing = "; ".join(filled.missing)
    if not missing and taken > DISPATCH_BYTES_MAX:
        missing = f"what it takes from other tasks is larger than {DISPATCH_BYTES_MAX:,} bytes"
    if missing:
        events = flow.on_ticket(created.ticket_id, GiveUpTicket(missing, flow.now))
        go_on(flow, created.ticket_id, events)
        return 0
    if taken > bytes_left:
        later = "what the tickets given out with it take from others is too large for one transaction"
        return _give_back(flow, ticket, slot, later)
    what = (filled.command, filled.parameters, filled.environment, inputs)
    deadline_at = ticket.deadline_at if ticket.compensates else flow.workflow(created.workflow_id).deadline_at
    webhook_url = _webhook_of(flow, slot.agent_id)
    dispatch = DispatchTicket(slot.agent_id, *what, flow.now, webhook_url, deadline_at)
    flow.on_ticket(created.ticket_id, dispatch)
    return taken


def _give_back(flow: Flow, ticket: Ticket, slot: Slot, why: str) -> int:
    """The slot was granted, and the ticket waits for another one; no bytes are given out."""
    asked = (slot.agent_id, slot.attempt, slot.allocation)
    flow.on_ticket(ticket.created.ticket_id, UnallocateTicket(*asked, why, flow.now))
    return 0


def _webhook_of(flow: Flow, agent_id: str) -> str:
    """Where the agent wants to be called, as it is known now; empty if it reads the log, or has just left."""
    agent = flow.unit.view(AGENTS).value.get(agent_id)
    return agent.profile.webhook_url if agent is not None else ""


def _inputs(flow: Flow, ticket: Ticket, filled: Filled) -> tuple[Artifact, ...]:
    """The artifacts of all that the ticket depends on directly (its own, if it is undone), and those that it names,
    each once.
    """
    sources = (ticket.created.ticket_id,) if ticket.compensates else ticket.created.dependencies
    direct = (made for t in sources for made in flow.ticket(t).made.artifacts)
    return tuple({(made.uri, made.name): made for made in (*direct, *filled.artifacts)}.values())
