"""A pheromone trail: how well one agent has done in one domain lately. It evaporates.

Protects: every outcome strengthens its trail once; what is old counts less, by a formula of event times, so that
nobody has to come by and lower it.

    level(t) = level(t₀) · 0.5 ^ ((t − t₀) / HALF_LIFE_MS)
"""

from typing import Final

import msgspec

from neural_hive.aggregates.agent import NAME
from neural_hive.aggregates.aggregate import Aggregate, Command, Event, Rejected, members

HALF_LIFE_MS: Final = 24 * 3_600_000  # yesterday's outcome counts half of today's


class Reinforce(Command, frozen=True):
    """An agent did well or badly in a domain."""

    domain: str
    agent_id: str
    success: bool
    now: int  # µs


class TrailReinforced(Event, frozen=True):
    """A trail was strengthened; the levels are those of its time, with what had evaporated until then."""

    domain: str
    agent_id: str
    success: bool
    success_level: float
    failure_level: float
    reinforced_at: int


class Trail(msgspec.Struct, frozen=True):
    """The levels at the time of the last outcome. For a later time: see `levels`."""

    success_level: float
    failure_level: float
    reinforced_at: int  # µs


def trail_id_of(domain: str, agent_id: str) -> str:
    """The id of a trail. Raises Rejected: a name that could be part of another's."""
    for what, name in (("domain", domain), ("agent_id", agent_id)):
        if not NAME.fullmatch(name):
            raise Rejected(f"{what} must be 1 to 128 letters, digits, dots, - or _, not {name[:140]!r}")
    return f"{agent_id}/{domain}"


def levels(trail: Trail | None, at: int) -> tuple[float, float]:
    """Success and failure at a time (µs). Time does not go back: an earlier one gives the levels as they were."""
    if trail is None:
        return 0.0, 0.0
    age_ms = max(at - trail.reinforced_at, 0) / 1_000
    left = 0.5 ** (age_ms / HALF_LIFE_MS)
    return trail.success_level * left, trail.failure_level * left


def score(trail: Trail | None, at: int) -> float:
    """What is to be expected of the next time, 0 to 1: 0.5 where nothing is known, or all has evaporated.

    Laplace's rule of succession over the net of success and failure.
    """
    success, failure = levels(trail, at)
    return (success + 1) / (success + failure + 2)


def decide(trail: Trail | None, command: Reinforce) -> list[TrailReinforced]:
    """One outcome, one event. Raises Rejected: a name is not one."""
    trail_id_of(command.domain, command.agent_id)
    at = max(command.now, trail.reinforced_at) if trail else command.now
    success, failure = levels(trail, at)
    if command.success:
        success += 1
    else:
        failure += 1
    return [TrailReinforced(command.domain, command.agent_id, command.success, success, failure, at)]


def evolve(trail: Trail | None, event: TrailReinforced) -> Trail:
    """What an event makes of the trail: the levels are in it, and not computed again."""
    return Trail(event.success_level, event.failure_level, event.reinforced_at)


TRAIL = Aggregate("trail", "pheromones.signals", Trail, members(TrailReinforced), decide, evolve)
