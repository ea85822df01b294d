"""Runs systems over the same outside as in a history, as a simulation of events: time goes on to what happens next.

Plans, commands and agents' words come when they came. Reports follow what is given out in this run (see answers.py).
What brokers and processors take is the median of the history, for each system: how loaded they were when is not known.
"""

from collections.abc import Iterable, Mapping
from heapq import heappop, heappush
from typing import Any, Final

import msgspec

from neural_hive.aggregates.agent import AGENT, Agent, Health, Presence
from neural_hive.aggregates.identity import derived_id
from neural_hive.aggregates.ticket import TICKET, Status, Ticket
from neural_hive.connectors.kafka_log import Record
from neural_hive.replay.checks.inputs import Read
from neural_hive.replay.rerun.answers import PRODUCER, Answer, Answers, Assumed, Given
from neural_hive.replay.rerun.outside import RESULTS, TICKETS, Outside, Said
from neural_hive.replay.rerun.virtual_hive import NEVER, VirtualHive
from neural_hive.schemas.codec import decode, encode_message
from neural_hive.schemas.envelope import Header
from neural_hive.schemas.topics import partition_of
from neural_hive.streams.kernel.state import row_key
from neural_hive.streams.kernel.system import System
from neural_hive.streams.registry.messages import COMMANDS

WORKFLOWS: Final = "orchestration.workflows"
LONGER_MS: Final = (
    4 * 3_600_000
)  # a run goes on for so long after the history's end, while there is unfinished work
_ENDED: Final = frozenset({b"WorkflowCompleted", b"WorkflowFailed", b"WorkflowCancelled"})
_UNDER_WAY: Final = (Status.ASSIGNED, Status.RUNNING)
_TOLD: Final = {"success_rate": 1.0, "load": 0.0, "latency_ms": 0}


class Beat(msgspec.Struct, frozen=True):
    """A sign of life that the history does not have."""

    agent_id: str
    number: int


class Ran(msgspec.Struct, frozen=True):
    """What a run has left."""

    events: dict[str, list[Record]]  # by topic, each partition in its order
    assumed: tuple[Assumed, ...]
    living_on: tuple[str, ...]  # agents that are taken to live on after the history's end
    until_ms: int
    unfinished: int  # workflows


class Simulation:
    """One run."""

    def __init__(
        self,
        systems: Iterable[System],
        partitions: Mapping[str, int],
        lags_ms: Mapping[str, int],
        outside: Outside,
        read: Read,
    ) -> None:
        """By the systems' names: how many partitions each has, and how long after a record's append it is answered."""
        self._outside, self._answers = outside, Answers(outside.attempts)
        self._partitions = partitions
        self._given: list[Record] = []
        self._open = self._waiting = (
            0  # workflows; what comes from others than agents' words about themselves
        )
        self._coming: list[tuple[int, int, Said | Answer | Beat]] = []
        self._count = 0
        self._living_on: list[str] = []
        begin_us = outside.begins_at_ms * 1_000
        self.hive = VirtualHive(systems, partitions, lags_ms, begin_us, read, self._hear)
        for said in outside.said:
            self._expect(said.at_ms, said)

    def run(self) -> Ran:
        """Goes on until all that was accepted has ended, and nothing is said any more. Raises NeverEnds."""
        try:
            self._run()
        finally:
            self.hive.close()
        topics = {topic for system in self.hive.systems.values() for topic in system.event_topics}
        events = {topic: list(self.hive.broker.records(topic)) for topic in sorted(topics)}
        until_ms = self.hive.broker.now // 1_000
        return Ran(events, tuple(self._answers.assumed), tuple(self._living_on), until_ms, self._open)

    def _run(self) -> None:
        broker, last_us = self.hive.broker, (self._outside.end_ms + LONGER_MS) * 1_000
        is_behind_end = False
        while self._open or self._waiting or self.hive.has_unread:
            coming_us = self._coming[0][0] * 1_000 if self._coming else NEVER
            next_us = min(coming_us, self.hive.next_due)
            if not is_behind_end and next_us > self._outside.end_ms * 1_000:
                is_behind_end = True
                self._let_live_on()
                continue
            if next_us > last_us:
                return
            broker.now = max(broker.now, next_us)
            while self._coming and self._coming[0][0] * 1_000 <= broker.now:
                self._take(heappop(self._coming)[2])
            self.hive.work()
            self._answer()

    def _expect(self, at_ms: int, what: Said | Answer | Beat) -> None:
        heappush(self._coming, (at_ms, self._count, what))
        self._count += 1
        self._waiting += _is_work(what)

    def _take(self, what: Said | Answer | Beat) -> None:
        self._waiting -= _is_work(what)
        match what:
            case Said():
                record = what.record
                self.hive.say(what.topic, what.routing_id, record.value or b"", record.headers)
            case Answer():
                if what.about is None or self._is_under_way(what.about):
                    self.hive.say(RESULTS, what.routing_id, what.value, what.headers)
            case Beat():
                self._beat(what)

    def _hear(self, record: Record) -> None:
        """Looks at what the systems append: a ticket that is given out, a workflow that begins or ends."""
        if record.topic not in (TICKETS, WORKFLOWS):
            return
        kind = dict(record.headers).get("event_type")
        if kind == b"TicketDispatched":
            self._given.append(record)
        elif kind == b"WorkflowStarted":
            self._open += 1
        elif kind in _ENDED:
            self._open -= 1

    def _answer(self) -> None:
        given, self._given = self._given, []
        for record in given:
            told = decode(record.value or b"", "event").payload
            about = (told["workflow_id"], told["ticket_id"], told["attempt"], told["allocated_agent_id"])
            ticket = self._ticket(about[0], about[1])
            estimated_ms = ticket.created.task.estimated_duration_ms if ticket is not None else 0
            asked = Given(*about, told["task_type"], record.timestamp_ms, estimated_ms)
            for answer in self._answers.to(asked):
                self._expect(answer.at_ms, answer)

    def _is_under_way(self, given: Given) -> bool:
        """Agents are told that an attempt is over, and report nothing more of it."""
        ticket = self._ticket(given.workflow_id, given.ticket_id)
        return ticket is not None and ticket.status in _UNDER_WAY and ticket.attempt == given.attempt

    def _ticket(self, workflow_id: str, ticket_id: str) -> Ticket | None:
        return self._state("orchestrator", TICKET, workflow_id, ticket_id)  # type: ignore[no-any-return]

    def _state(self, system: str, aggregate: Any, routing_id: str, aggregate_id: str) -> Any:
        number = partition_of(routing_id.encode(), self._partitions[system])
        row = self.hive.seats[system, number].fold.row(aggregate, row_key(aggregate.name, aggregate_id))
        return row.state if row is not None else None

    # Behind the history's end

    def _let_live_on(self) -> None:
        """Agents that lived at the end go on telling so, or no unfinished work could be done."""
        for agent_id, last in sorted(self._outside.agents.items()):
            agent = self._agent(agent_id)
            if agent is not None and not last.is_gone and agent.health is Health.HEALTHY:
                self._living_on.append(agent_id)
                self._expect(last.heard_at_ms + agent.silence.heartbeat_every_ms, Beat(agent_id, 1))

    def _agent(self, agent_id: str) -> Agent | None:
        agent: Agent | None = self._state("registry", AGENT, agent_id, agent_id)
        return agent if agent is not None and agent.presence is Presence.REGISTERED else None

    def _beat(self, beat: Beat) -> None:
        agent_id, now = beat.agent_id, self.hive.broker.now
        if (agent := self._agent(agent_id)) is None:
            return
        told = {"agent_id": agent_id, **(self._outside.agents[agent_id].told or _TOLD)}
        message_id = derived_id(agent_id, PRODUCER, str(beat.number))
        header = Header(message_id, "Heartbeat", now, agent_id, agent_id, "", "", "", PRODUCER)
        self.hive.say(COMMANDS, agent_id, encode_message(header, told))
        following = Beat(agent_id, beat.number + 1)
        self._expect(now // 1_000 + max(agent.silence.heartbeat_every_ms, 1), following)


def _is_work(what: Said | Answer | Beat) -> bool:
    if isinstance(what, Said):
        return what.topic != COMMANDS and not what.is_event
    return isinstance(what, Answer)


__all__ = ["Ran", "Simulation"]
