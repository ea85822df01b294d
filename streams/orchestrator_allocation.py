"""Which agent gets which ticket, and what happens while none is there.

The tickets that wait stand in one queue of the partition, those that the same agents can do together. The one with the
smallest place is served first, by the best agent that has room: first those with a free slot as far as this partition
knows, then those whose next slots are still to be spoken for. The registry grants the slots, since other partitions
choose the same agents.

One message gives out no more than `ALLOCATED_MAX`, since each takes its part of a transaction; a timer that is due at
once gives out the next ones.

A workflow whose tickets find nobody is looked at again after a while; if no agent could do them for
`ALLOCATION_LIMIT_S`, there is an incident.
"""

from collections.abc import Iterator
from heapq import heappop, heappush
from time import perf_counter
from typing import Final

import msgspec

from neural_hive.aggregates import tally
from neural_hive.aggregates.identity import derived_id
from neural_hive.aggregates.incident import TICKETS_MAX, Kind, OpenIncident, severity_of
from neural_hive.aggregates.matching import Match, match
from neural_hive.aggregates.ticket import AllocateTicket, Considered, Ticket, requirement
from neural_hive.aggregates.workflow import AwaitAgents, EndWait
from neural_hive.streams.agents_view import candidates
from neural_hive.streams.orchestrator_flow import AGENTS, TRAILS, Flow

ALLOCATION_LIMIT_S: Final = 60
ALLOCATED_MAX: Final = 256  # tickets of one message
REQUIREMENTS_MAX: Final = 256  # different ones that are looked at
CONSIDERED_MAX: Final = 5  # agents that a decision tells of
OUTSTANDING_FACTOR: Final = 2  # the next slots are asked for while the agent works
ASK_AGAIN_US: Final = 1_000_000  # after an agent did not take a ticket: until then more is known of the agent


class Market:
    """The agents as the transaction sees them, and what this partition wants of them."""

    def __init__(self, flow: Flow) -> None:
        self._flow = flow
        self._agents = flow.unit.view(AGENTS).value
        self._trails = flow.unit.view(TRAILS).value
        self._known: dict[str, tuple[Match, ...]] = {}

    def able(self, ticket: Ticket) -> tuple[Match, ...]:
        """All who can do the ticket, best first."""
        key = requirement(ticket)
        if key not in self._known:
            task = ticket.created.task
            known = candidates(self._agents, self._trails, task.task_type.value)
            required = task.required_capabilities
            self._known[key] = match(known, required, self._flow.now, len(known), task.task_type)
        return self._known[key]

    def choose(self, ticket: Ticket) -> Match | None:
        """The best one that has room; None: nobody has."""
        room = [(found, self._room(found.agent_id)) for found in self.able(ticket)]
        free = (found for found, (load, capacity) in room if load < capacity)
        later = (found for found, (load, capacity) in room if load < OUTSTANDING_FACTOR * capacity)
        return next(free, None) or next(later, None)

    def _room(self, agent_id: str) -> tuple[int, int]:
        return self._flow.unit.count(tally.outstanding(agent_id)), self._agents[agent_id].profile.capacity


def settle(flow: Flow) -> None:
    """Ends the work on a message: agents for those that wait, word of who waits on, and what the registry is told."""
    if flow.moved:
        _allocate(flow)
    for workflow_id in list(flow.touched):
        _await(flow, workflow_id)
    flow.send()


def _allocate(flow: Flow) -> None:
    """Chooses agents for tickets of all workflows, the smallest place first, until nobody has room, or enough is given
    out at once.
    """
    heads: list[tuple[int, str, int]] = []
    queues = [_standing(flow, first) for first in _looked_at(flow)]
    for number, queue in enumerate(queues):
        _push(heads, queue, number)
    market, allocated, started = Market(flow) if heads else None, 0, perf_counter()
    while market and heads:
        _, ticket_id, number = heappop(heads)
        ticket = flow.ticket(ticket_id)
        chosen = market.choose(ticket)
        if chosen is None:
            continue  # nor has anybody for those that stand behind it
        if allocated == ALLOCATED_MAX:
            flow.cut_short = ticket.created.workflow_id
            flow.touched[flow.cut_short] = None
            return
        flow.on_ticket(ticket_id, _allocation(market, ticket, chosen, flow.now))
        allocated += 1
        now = perf_counter()
        flow.unit.measure("C3", ticket.created.workflow_id, now - started)
        started = now
        _push(heads, queues[number], number)


def _looked_at(flow: Flow) -> list[Ticket]:
    """The first ticket of each requirement; of others each time, if there are more than can be looked at."""
    found = _first_of_each(flow, tally.READY_QUEUE)
    if len(found) < REQUIREMENTS_MAX:
        return found
    others = _first_of_each(flow, tally.READY_QUEUE, derived_id(flow.unit.message_id))
    return list({requirement(first): first for first in (*others, *found)}.values())[:REQUIREMENTS_MAX]


def _first_of_each(flow: Flow, queue: str, start: str = "") -> list[Ticket]:
    """The first ticket of each requirement in a queue."""
    found: list[Ticket] = []
    while len(found) < REQUIREMENTS_MAX and (first := flow.unit.first(queue, 1, start)):
        found.append(flow.ticket(first[0]))
        start = requirement(found[-1]) + "0"  # the character after "/"
    return found


def _standing(flow: Flow, first: Ticket) -> Iterator[tuple[int, str]]:
    """Those that need the same, in their order, with their places; who was just turned away waits a little."""
    key = requirement(first)
    for ticket_id in flow.unit.first(tally.READY_QUEUE, ALLOCATED_MAX + 1, key):
        ticket = flow.ticket(ticket_id)
        if requirement(ticket) != key:
            return
        if ticket.turned_away_at + ASK_AGAIN_US <= flow.now:
            yield ticket.place, ticket_id


def _push(heads: list[tuple[int, str, int]], queue: Iterator[tuple[int, str]], number: int) -> None:
    for place, ticket_id in queue:
        heappush(heads, (place, ticket_id, number))
        return


def _allocation(market: Market, ticket: Ticket, chosen: Match, now: int) -> AllocateTicket:
    best = market.able(ticket)[:CONSIDERED_MAX]
    shown = best if chosen in best else (*best[:-1], chosen)
    considered = tuple(Considered(*msgspec.structs.astuple(found)) for found in shown)
    return AllocateTicket(chosen.agent_id, chosen.score, considered, now)


def _await(flow: Flow, workflow_id: str) -> None:
    """Notes that a workflow waits for agents, or does so no more."""
    workflow = flow.workflow(workflow_id)
    queued = flow.unit.count(tally.queued(workflow_id))
    if workflow_id == flow.cut_short:
        reason = f"{ALLOCATED_MAX} tickets were given out at once, and its next ones follow"
        flow.on_workflow(workflow_id, AwaitAgents(queued, reason, False, flow.now, is_cut_short=True))
    elif not queued and workflow.look_again_at:
        flow.on_workflow(workflow_id, EndWait(flow.now))
    elif queued and workflow.look_again_at <= flow.now:
        stranded, reason = _shortage(flow, workflow_id)
        flow.on_workflow(workflow_id, AwaitAgents(queued, reason, bool(stranded), flow.now))
        since = flow.workflow(workflow_id).stranded_since
        if since and flow.now - since >= ALLOCATION_LIMIT_S * 1_000_000:
            severity = severity_of(workflow.risk_band, workflow.priority)
            flow.open_incident(OpenIncident(workflow_id, Kind.NO_AGENT, severity, reason, stranded, flow.now))


def _shortage(flow: Flow, workflow_id: str) -> tuple[tuple[str, ...], str]:
    """The first tickets that no agent can do, if there are any, and why the workflow waits."""
    queue, market = tally.ready_queue(workflow_id), Market(flow)
    for ticket in _first_of_each(flow, queue):
        if not market.able(ticket):
            same = flow.unit.first(queue, TICKETS_MAX, requirement(ticket))
            alike = [t for t in same if requirement(flow.ticket(t)) == requirement(ticket)]
            task = ticket.created.task
            needed = ", ".join(sorted(task.required_capabilities))
            with_these = f" with the capabilities {needed}" if needed else ""
            return tuple(alike), f"no registered, healthy agent does {task.task_type} tasks{with_these}"
    return (), "all agents that could do its tickets are busy"
