"""Simulated agents: they register, tell that they live or do not, and report what they did, did not, or did twice."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from neural_hive.aggregates.agent import AgentType
from neural_hive.aggregates.vocabulary import Outcome, TaskType
from neural_hive.schemas.codec import decode
from neural_hive.schemas.envelope import Envelope
from neural_hive.schemas.topics import partition_of
from neural_hive.streams.orchestrator.messages import ReportResult, ReportStart
from neural_hive.streams.registry.messages import COMMANDS, DeregisterAgent, Heartbeat, RegisterAgent

if TYPE_CHECKING:
    from tests.simulation.world import World

RESULTS, TICKETS = "execution.results", "execution.tickets"
NAMES: Final = ("agent-0", "agent-1", "agent-2")
ABLE: Final = "agent-able"  # who does all there is at the end
ABILITIES: Final = ((), ("a",), ("a", "b"))
OUTCOMES: Final = (
    *[Outcome.COMPLETED] * 12,
    Outcome.FAILED,
    Outcome.FAILED,
    Outcome.TIMED_OUT,
    Outcome.CANCELLED,
)


class Job(msgspec.Struct):
    """A ticket as an agent was given it."""

    workflow_id: str
    ticket_id: str
    attempt: int
    agent_id: str


class Agents:
    """All of them: what they have read of the log, and what they have been given."""

    def __init__(self, world: World) -> None:
        self._world, self._chance = world, world.chance
        self._jobs: list[Job] = []
        self._read: dict[int, int] = {}
        self._silent: set[str] = set()

    def live(self) -> None:
        """One of them says something of itself, or falls silent."""
        agent_id, chance = self._chance.choice(NAMES), self._chance
        match chance.choices(("beat", "register", "silent", "leave"), (10, 8, 2, 1))[0]:
            case "beat" if agent_id not in self._silent:
                told = (chance.choice((0.5, 1.0)), chance.choice((0.0, 0.9)), 10)
                self._say(COMMANDS, Heartbeat(agent_id, *told), agent_id)
            case "register":
                self._silent.discard(agent_id)
                self._register(agent_id, chance.choice(ABILITIES), chance.randint(1, 3))
            case "silent":
                self._silent.add(agent_id)
            case "leave":
                self._say(COMMANDS, DeregisterAgent(agent_id, "it leaves"), agent_id)
            case _:
                pass

    def work(self) -> None:
        """One of them reads what it was given, and says how far it has come."""
        self._read_on()
        if not self._jobs:
            return
        job = self._chance.choice(self._jobs)
        match self._chance.choices(("start", "end", "end again", "wrong", "never"), (30, 40, 6, 4, 4))[0]:
            case "start":
                self._start(job)
            case "end":
                self._end(job)
                self._jobs.remove(job)
            case "end again":
                self._end(job)
            case "wrong":
                change: dict[str, Any] = self._chance.choice(
                    ({"attempt": job.attempt + 1}, {"agent_id": "agent-9"})
                )
                self._end(msgspec.structs.replace(job, **change))
            case _:
                self._jobs.remove(job)

    def work_off(self) -> bool:
        """At the end: the able one lives, and every job gets its end. Whether there was any."""
        self._register(ABLE, ("a", "b"), 5)
        for _ in range(10):
            self._read_on()
        jobs, self._jobs = self._jobs, []
        for job in jobs:
            self._end(job)
        return bool(jobs)

    def _read_on(self) -> None:
        for number in range(2):
            batch = self._world.broker.fetch((TICKETS, number), self._read.get(number, 0), 20)
            if batch is None:
                continue
            self._read[number] = batch.next
            for record in batch.records:
                decoded = decode(record.value or b"", "event")
                assert isinstance(decoded.head, Envelope)
                if decoded.head.event_type == "TicketDispatched":
                    told = decoded.payload
                    about = (
                        told["workflow_id"],
                        told["ticket_id"],
                        told["attempt"],
                        told["allocated_agent_id"],
                    )
                    self._jobs.append(Job(*about))

    def _register(self, agent_id: str, abilities: tuple[str, ...], capacity: int) -> None:
        types = (TaskType.EXECUTE, TaskType.VALIDATE, TaskType.DEPLOY)
        self._say(COMMANDS, RegisterAgent(agent_id, AgentType.WORKER, abilities, types, capacity), agent_id)

    def _start(self, job: Job) -> None:
        about = (job.workflow_id, job.ticket_id, job.attempt, job.agent_id)
        self._say(RESULTS, ReportStart(*about, self._world.broker.now), job.workflow_id)

    def _end(self, job: Job) -> None:
        about = (job.workflow_id, job.ticket_id, job.attempt, job.agent_id)
        outputs = {"x": "1"} if self._chance.random() < 0.9 else {}
        outcome, now = self._chance.choice(OUTCOMES), self._world.broker.now
        self._say(RESULTS, ReportResult(*about, outcome, now, now, 0, outputs), job.workflow_id)

    def _say(self, topic: str, message: Any, key: str) -> None:
        payload = msgspec.to_builtins(message, builtin_types=(bytes,))
        kind = type(message).__name__
        at = 1 - partition_of(key.encode(), 2) if self._chance.random() < 0.03 else None
        message_id = self._world.send(topic, kind, key, payload, at=at)
        if self._chance.random() < 0.1:
            self._world.send(topic, kind, key, payload, message_id, at)
