"""What a message sees of the agents, and of the tickets that wait for them."""

from collections.abc import Callable
from typing import Any, Final

from neural_hive.aggregates import tally
from neural_hive.aggregates.agent import AGENT
from neural_hive.aggregates.freeze import FREEZE
from neural_hive.aggregates.identity import derived_id
from neural_hive.aggregates.matching import Match, match
from neural_hive.aggregates.pheromone import TRAIL
from neural_hive.aggregates.ticket import Ticket, ViewPosition, ability, can_be_frozen, requirement
from neural_hive.aggregates.vocabulary import TaskType
from neural_hive.streams import matching_metrics
from neural_hive.streams.agents_view import candidates
from neural_hive.streams.orchestrator.flow import AGENTS, FREEZES, TRAILS, Flow
from neural_hive.streams.orchestrator.freezes import Holding, excepted, frozen_of

ALLOCATED_MAX: Final = 256  # tickets of one message
REQUIREMENTS_MAX: Final = 256  # different ones that are looked at
CONSIDERED_MAX: Final = 5  # agents that a decision tells of
AGE_MAX_S: Final = 1e9  # of a view, as a decision tells it; one that was never whole is infinitely old


class Market:
    """The agents as the transaction sees them, and what this partition wants of them."""

    def __init__(self, flow: Flow) -> None:
        self._flow = flow
        self._agents, self._trails = flow.unit.view(AGENTS).value, flow.unit.view(TRAILS).value
        self.views = views_of(flow)
        self._known: dict[str, tuple[Match, ...]] = {}
        self._holding: dict[str, Holding] = {}
        self._full: set[tuple[str, bool]] = (
            set()
        )  # for whom nobody has room; within a message there is only less

    def able(self, ticket: Ticket) -> tuple[Match, ...]:
        """All who can do the ticket, best first."""
        key = ability(ticket)
        if key not in self._known:
            task = ticket.created.task
            with matching_metrics.search(matching_metrics.ORCHESTRATOR) as search:
                known = candidates(self._agents, self._trails, task.task_type.value)
                required = task.required_capabilities
                found = match(
                    known, required, self._flow.now, len(known), task.task_type, self._flow.limits.weights
                )
            search.found(len(known), len(found))
            self._known[key] = found
        return self._known[key]

    def holding(self, ticket: Ticket) -> Holding:
        """What holds the ticket back; nothing, while what is known of freezes is old: then it waits for that."""
        key = requirement(ticket)
        if key not in self._holding:
            is_old = self._flow.unit.view(FREEZES).age_s > self._flow.limits.deploy_view_age_s
            self._holding[key] = Holding() if is_old else frozen_of(self._flow, ticket)
        return excepted(self._flow, ticket, self._holding[key])

    def choose(self, ticket: Ticket) -> Match | None:
        """The best one that has room; None: nobody has, or too little is known of them."""
        kind = ability(ticket), can_be_frozen(ticket)
        chosen = None if kind in self._full else self._chosen(ticket)
        if chosen is None:
            self._full.add(kind)
        return chosen

    def _chosen(self, ticket: Ticket) -> Match | None:
        if too_old(self._flow, ticket):
            return None
        factor = self._flow.limits.asked_factor
        room = [(found, self._room(found.agent_id)) for found in self.able(ticket)]
        free = (found for found, (load, capacity) in room if load < capacity)
        later = (found for found, (load, capacity) in room if load < factor * capacity)
        return next(free, None) or next(later, None)

    def _room(self, agent_id: str) -> tuple[int, int]:
        return self._flow.unit.count(tally.outstanding(agent_id)), self._agents[agent_id].profile.capacity


def too_old(flow: Flow, ticket: Ticket) -> str:
    """Why a ticket must wait for news of the agents or of freezes; empty if it need not.

    A deployment is given to nobody of whom nothing was heard for long: it may be gone, or no more what it was. Nor is
    it given to anybody while it may be frozen, and nobody can tell.
    """
    if ticket.created.task.task_type is not TaskType.DEPLOY:
        return ""
    for name in (AGENTS, FREEZES) if can_be_frozen(ticket) else (AGENTS,):
        age_s, most_s = flow.unit.view(name).age_s, flow.limits.deploy_view_age_s
        if age_s > most_s:
            wait = f"DEPLOY tasks wait for what is less than {most_s:g} s"
            return f"what is known of the {name} is {age_s:.0f} s old, and {wait}"
    return ""


def views_of(flow: Flow) -> tuple[ViewPosition, ...]:
    """What a decision of this message is made from."""
    known = ((AGENT.topic, AGENTS), (TRAIL.topic, TRAILS), (FREEZE.topic, FREEZES))
    return tuple(_position(topic, flow.unit.view(name)) for topic, name in known)


def _position(topic: str, view: Any) -> ViewPosition:
    offsets = tuple(view.positions[partition] for partition in sorted(view.positions))
    return ViewPosition(topic, offsets, round(min(view.age_s, AGE_MAX_S) * 1_000))


def first_of_each(
    flow: Flow, queue: str, start: str = "", key: Callable[[Ticket], str] = requirement
) -> list[Ticket]:
    """The first ticket in a queue of each requirement, or of what else its places begin with."""
    found: list[Ticket] = []
    while len(found) < REQUIREMENTS_MAX and (first := flow.unit.first(queue, 1, start)):
        found.append(flow.ticket(first[0]))
        start = key(found[-1]) + "0"  # the character after "/"
    return found


def looked_at(flow: Flow, queue: str, key: Callable[[Ticket], str] = requirement) -> list[Ticket]:
    """See first_of_each; of others each time, if there are more than can be looked at."""
    found = first_of_each(flow, queue, key=key)
    if len(found) < REQUIREMENTS_MAX:
        return found
    others = first_of_each(flow, queue, derived_id(flow.unit.message_id), key)
    return list({key(first): first for first in (*others, *found)}.values())[:REQUIREMENTS_MAX]
