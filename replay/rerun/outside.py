"""What came from outside in a history: plans, commands, agents' words, what other systems tell all; and the reports
about what was given out.
"""

from collections.abc import Callable, Collection, Iterator
from fnmatch import fnmatchcase
from typing import Any, Final

import msgspec

from neural_hive.connectors.kafka_log import Record
from neural_hive.replay.checks.inputs import Read
from neural_hive.replay.rerun.attempts import Attempts
from neural_hive.replay.rerun.recording import Recording
from neural_hive.schemas.catalogue import UnknownSchema
from neural_hive.schemas.codec import BadRecord, Decoded
from neural_hive.schemas.envelope import Header
from neural_hive.streams.kernel.system import System
from neural_hive.streams.kernel.unit import ORIGIN_HEADER

PLANS: Final = "plans.consensus"
RESULTS: Final = "execution.results"
TICKETS: Final = "execution.tickets"
_REPORTS: Final = ("ReportStart", "ReportResult")
_OF_AGENTS: Final = "registry.commands"
_END: Final = 1 << 62


class Chosen(msgspec.Struct, frozen=True):
    """Which plans are looked at."""

    plans: tuple[str, ...] = ()  # names with * and ?, or ids of plans or decisions; () = all
    first_ms: int = 0  # when the plan was published
    last_ms: int = _END

    def takes(self, record: Record, plan: dict[str, Any]) -> bool:
        """Whether a plan is one of them."""
        names = (plan["plan_id"], plan["decision_id"])
        named = not self.plans or any(fnmatchcase(n, pattern) for n in names for pattern in self.plans)
        return named and self.first_ms <= record.timestamp_ms <= self.last_ms


class Said(msgspec.Struct, frozen=True):
    """One message from outside."""

    at_ms: int
    topic: str
    routing_id: str
    record: Record
    is_event: bool = False  # of a system that does not run; whoever reads its topic whole hears of it


class Agent(msgspec.Struct):
    """What an agent last said of itself."""

    agent_id: str
    heard_at_ms: int
    is_gone: bool = False
    told: dict[str, Any] | None = None  # its last heartbeat


class Outside(msgspec.Struct):
    """All of it."""

    said: list[Said]  # in the order of their times
    attempts: Attempts
    agents: dict[str, Agent]
    workflows: frozenset[str]  # those of the chosen plans
    unreadable: int = 0
    end_ms: int = 0  # of the history

    @property
    def begins_at_ms(self) -> int:
        """When the first was said; 0: nothing was."""
        return self.said[0].at_ms if self.said else 0


def outside_of(recording: Recording, systems: Collection[System], read: Read, chosen: Chosen) -> Outside:
    """Sorts a history's inputs. What the systems said to each other is left out: they say it again."""
    found = Outside([], Attempts(recording.all(TICKETS)), {}, frozenset(), end_ms=recording.end_ms)
    own = {system.name for system in systems}
    repartitions = {system.repartition for system in systems}
    inputs = {each.topic for system in systems for each in system.inputs.values() if not each.is_foreign}
    topics = sorted(inputs - repartitions)
    found.workflows = _workflows(recording, read, chosen)
    for topic in sorted(topics, key=lambda topic: topic != PLANS):
        for held in recording.topics.get(topic, ()):
            _sort(found, held.records, own, read, _is_wanted(found.workflows))
    written = {topic for system in systems for topic in system.event_topics}
    for topic in sorted({view.topic for system in systems for view in system.views.values()} - written):
        for held in recording.topics.get(topic, ()):
            found.said += _told(held.records)
    found.said.sort(key=lambda said: (said.at_ms, said.topic != PLANS, said.topic, said.record.partition))
    return found


def _workflows(recording: Recording, read: Read, chosen: Chosen) -> frozenset[str]:
    plans = ((record, decoded) for record, decoded in _readable(recording.all(PLANS), read) if decoded)
    return frozenset(
        decoded.payload["decision_id"]
        for record, decoded in plans
        if "decision_id" in decoded.payload and chosen.takes(record, decoded.payload)
    )


def _is_wanted(workflows: frozenset[str]) -> Callable[[str, Header], bool]:
    def wanted(topic: str, header: Header) -> bool:
        return topic == _OF_AGENTS or header.routing_id in workflows

    return wanted


def _sort(
    found: Outside, records: list[Record], own: set[str], read: Read, wanted: Callable[[str, Header], bool]
) -> None:
    at_ms = 0
    for record, decoded in _readable(records, read):
        at_ms = max(at_ms, record.timestamp_ms)  # a clock that was set back does not turn the order round
        if decoded is None:
            found.unreadable += 1
            continue
        header = decoded.head
        assert isinstance(header, Header)
        if header.producer in own or not wanted(record.topic, header):
            continue
        if (
            record.topic == RESULTS
            and header.message_type in _REPORTS
            and found.attempts.hear(record, decoded)
        ):
            continue
        if record.topic == _OF_AGENTS:
            _note_agent(found.agents, header, decoded.payload, at_ms)
        found.said.append(Said(at_ms, record.topic, header.routing_id, record))


def _told(records: list[Record]) -> Iterator[Said]:
    at_ms = 0
    for record in records:
        at_ms = max(at_ms, record.timestamp_ms)
        yield Said(at_ms, record.topic, (record.key or b"").decode(), record, True)


def _readable(records: Any, read: Read) -> Iterator[tuple[Record, Decoded | None]]:
    """Each record with what it says; None: nobody can read it. Copies of forwarded records are left out."""
    for record in records:
        if any(name == ORIGIN_HEADER for name, _ in record.headers):
            continue
        try:
            yield record, read(record.value or b"")
        except (BadRecord, UnknownSchema):
            yield record, None


def _note_agent(agents: dict[str, Agent], header: Header, told: dict[str, Any], at_ms: int) -> None:
    agent_id = told.get("agent_id", "")
    match header.message_type:
        case "RegisterAgent":
            known = agents.get(agent_id)
            agents[agent_id] = Agent(agent_id, at_ms, told=known.told if known else None)
        case "Heartbeat" if agent_id in agents:
            agents[agent_id].heard_at_ms, agents[agent_id].told = at_ms, told
        case "DeregisterAgent" if agent_id in agents:
            agents[agent_id].is_gone = True
        case _:
            pass
