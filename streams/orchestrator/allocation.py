"""Which agent gets which ticket.

The tickets that wait stand in one queue of the partition, those that the same agents can do together. The one with the
smallest place is served first, by the best agent that has room: first those with a free slot as far as this partition
knows, then those whose next slots are still to be spoken for. The registry grants the slots, since other partitions
choose the same agents.

Deployments that freezes concern, and no exception lets go, are held back, in a queue of their own
(`holding.py`).

One message gives out, holds and lets go no more than `ALLOCATED_MAX`, since each takes its part of a transaction; a
timer that is due at once goes on with the next ones.

Whose tickets find nobody is looked at again after a while (`waiting.py`).
"""

from collections.abc import Iterator
from heapq import heappop, heappush
from time import perf_counter
from typing import Final

import msgspec

from neural_hive.aggregates import tally
from neural_hive.aggregates.matching import Match
from neural_hive.aggregates.ticket import AllocateTicket, Considered, Ticket, requirement
from neural_hive.streams.orchestrator.flow import Flow
from neural_hive.streams.orchestrator.holding import hold, look_at_held
from neural_hive.streams.orchestrator.market import (
    ALLOCATED_MAX,
    CONSIDERED_MAX,
    Market,
    looked_at,
)
from neural_hive.streams.orchestrator.waiting import note_waiting

ASK_AGAIN_US: Final = 1_000_000  # after an agent did not take a ticket: until then more is known of the agent


def settle(flow: Flow) -> None:
    """Ends the work on a message: agents for those that wait, word of who waits on, and what the registry is told."""
    if flow.moved:
        _allocate(flow)
    for workflow_id in list(flow.touched):
        note_waiting(flow, workflow_id)
    flow.send()


def _allocate(flow: Flow) -> None:
    """Chooses agents for tickets of all workflows, the smallest place first, until nobody has room, or enough is given
    out at once. Who is frozen is held.
    """
    moved = look_at_held(flow)
    heads: list[tuple[int, str, int]] = []
    queues = [_standing(flow, first) for first in looked_at(flow, tally.READY_QUEUE)]
    for number, queue in enumerate(queues):
        _push(heads, queue, number)
    market, started = Market(flow) if heads else None, perf_counter()
    while market and heads:
        _, ticket_id, number = heappop(heads)
        ticket = flow.ticket(ticket_id)
        holding = market.holding(ticket)
        chosen = None if holding.holds else market.choose(ticket)
        if chosen is None and not holding.holds:
            continue  # nor has anybody for those that stand behind it
        if moved == ALLOCATED_MAX:
            flow.cut_short = ticket.created.workflow_id
            flow.touched[flow.cut_short] = None
            return
        if chosen is None:
            hold(flow, ticket, holding, market.views)
        else:
            flow.on_ticket(ticket_id, _allocation(market, ticket, chosen, flow.now, holding.exception_id))
            now = perf_counter()
            flow.unit.measure("C3", ticket.created.workflow_id, now - started)
            started = now
        moved += 1
        _push(heads, queues[number], number)


def _standing(flow: Flow, first: Ticket) -> Iterator[tuple[int, str]]:
    """Those that need the same, in their order, with their places; who was just turned away waits a little.

    The others are not looked for while the first one finds nobody.
    """
    key, first_id = requirement(first), first.created.ticket_id
    if first.turned_away_at + ASK_AGAIN_US <= flow.now:
        yield first.place, first_id
    for ticket_id in flow.unit.first(tally.READY_QUEUE, ALLOCATED_MAX + 1, key):
        ticket = flow.ticket(ticket_id)
        if requirement(ticket) != key:
            return
        if ticket_id != first_id and ticket.turned_away_at + ASK_AGAIN_US <= flow.now:
            yield ticket.place, ticket_id


def _push(heads: list[tuple[int, str, int]], queue: Iterator[tuple[int, str]], number: int) -> None:
    for place, ticket_id in queue:
        heappush(heads, (place, ticket_id, number))
        return


def _allocation(market: Market, ticket: Ticket, chosen: Match, now: int, exception_id: str) -> AllocateTicket:
    best = market.able(ticket)[:CONSIDERED_MAX]
    shown = best if chosen in best else (*best[:-1], chosen)
    considered = tuple(Considered(*msgspec.structs.astuple(found)) for found in shown)
    return AllocateTicket(chosen.agent_id, chosen.score, considered, now, market.views, exception_id)
