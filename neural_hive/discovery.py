"""Who can do a piece of work, from the read models: the same matching that decides who gets it.

with ClickHouse.of(settings, password) as client:
    found = discover(client, Wanted(("python",), TaskType.TEST, count=3))
"""

import time
from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol

import msgspec

from neural_hive.aggregates.agent import Agent, AgentType, Health, Presence, Profile, Telemetry
from neural_hive.aggregates.matching import Candidate, Match, match
from neural_hive.aggregates.pheromone import Trail, trail_id_of
from neural_hive.aggregates.vocabulary import TaskType
from neural_hive.streams import matching_metrics

AGENTS_MAX: Final = 10_000
COUNT_MAX: Final = 1_000
_AGENTS_SQL: Final = f"""
    SELECT agent_id, agent_type, status, capabilities, task_types, capacity, success_rate, load, latency_ms,
        toUnixTimestamp64Micro(seen_at)
    FROM agents WHERE status NOT IN ('REMOVED', 'DEREGISTERED') ORDER BY agent_id LIMIT {AGENTS_MAX}
"""
_TRAILS_SQL: Final = f"""
    SELECT agent_id, success_level, failure_level, toUnixTimestamp64Micro(reinforced_at)
    FROM pheromones WHERE domain = {{domain:String}} ORDER BY agent_id LIMIT {AGENTS_MAX}
"""
_SLOTS_SQL: Final = f"""
    SELECT agent_id, countIf(status = 'GRANTED'), countIf(status = 'WAITING')
    FROM slots WHERE status IN ('GRANTED', 'WAITING') GROUP BY agent_id ORDER BY agent_id LIMIT {AGENTS_MAX}
"""


class Tables(Protocol):
    """The read models; ClickHouse is one."""

    def rows(self, sql: str, params: Mapping[str, Any] | None = None) -> Sequence[tuple[Any, ...]]:
        """Rows of a query."""
        ...


class Wanted(msgspec.Struct, frozen=True):
    """What the agents must be able to do."""

    capabilities: tuple[str, ...] = ()
    task_type: TaskType | None = None  # None: any
    domain: str = ""  # of the trails that count; empty: the task type's name
    count: int = 10  # at most that many


class Load(msgspec.Struct, frozen=True):
    """How many of an agent's slots are held, and how many requests wait for one."""

    held: int = 0
    waiting: int = 0


class Found(msgspec.Struct, frozen=True):
    """An agent that can do it, what its place was computed from, and what it has left."""

    agent_id: str
    score: float
    health: float
    pheromone: float
    telemetry: float
    capacity: int
    held: int
    waiting: int


def discover(tables: Tables, wanted: Wanted, at: int | None = None) -> tuple[Found, ...]:
    """The best agents as the read models have them, best first; `at` is the time that counts (µs), now if not given.

    Raises Rejected: the domain is not a name; ValueError: the count is out of range; what `tables` raises.
    """
    if not 1 <= wanted.count <= COUNT_MAX:
        raise ValueError(f"count must be within 1 to {COUNT_MAX:,}, not {wanted.count}")
    with matching_metrics.search(matching_metrics.CLIENT) as search:
        known = candidates(tables, wanted.domain or (wanted.task_type or ""))
        now = time.time_ns() // 1_000 if at is None else at
        matches = match(known, wanted.capabilities, now, wanted.count, wanted.task_type)
        search.found(len(known), len(matches))
        loads = slot_loads(tables) if matches else {}
    capacities = {one.agent.agent_id: one.agent.profile.capacity for one in known}
    return tuple(_found(one, capacities[one.agent_id], loads.get(one.agent_id, Load())) for one in matches)


def candidates(tables: Tables, domain: str) -> tuple[Candidate, ...]:
    """All registered agents, each with its trail in a domain; none has one in the domain "".

    Raises Rejected: the domain is not a name.
    """
    agents = [_agent(row) for row in tables.rows(_AGENTS_SQL)]
    if not domain:
        return tuple(Candidate(agent) for agent in agents)
    trail_id_of(domain, "any")
    trails = {name: Trail(*levels) for name, *levels in tables.rows(_TRAILS_SQL, {"domain": domain})}
    return tuple(Candidate(agent, trails.get(agent.agent_id)) for agent in agents)


def slot_loads(tables: Tables) -> dict[str, Load]:
    """What is held of each agent's slots and waits for them; agents without either are not in it."""
    return {agent_id: Load(held, waiting) for agent_id, held, waiting in tables.rows(_SLOTS_SQL)}


def _agent(row: tuple[Any, ...]) -> Agent:
    agent_id, agent_type, status, capabilities, task_types, capacity, *told, seen_at = row
    profile = Profile(
        AgentType(agent_type), tuple(capabilities), tuple(TaskType(name) for name in task_types), capacity
    )
    return Agent(agent_id, profile, Presence.REGISTERED, Health(status), seen_at, _telemetry(*told))


def _telemetry(success_rate: float | None, load: float | None, latency_ms: int | None) -> Telemetry:
    """Who has told nothing yet has failed at nothing: the same as the registry takes for it."""
    usual = Telemetry()
    return Telemetry(
        usual.success_rate if success_rate is None else success_rate,
        usual.load if load is None else load,
        usual.latency_ms if latency_ms is None else latency_ms,
    )


def _found(one: Match, capacity: int, load: Load) -> Found:
    return Found(
        one.agent_id, one.score, one.health, one.pheromone, one.telemetry, capacity, load.held, load.waiting
    )
