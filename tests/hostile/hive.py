"""Orchestrator and registry in memory, with the messages between them, and a client who sends what he likes."""

from random import Random
from typing import Any, Final

from neural_hive.aggregates.agent import AGENT, Presence
from neural_hive.aggregates.pheromone import TRAIL
from neural_hive.schemas import catalogue
from neural_hive.schemas.codec import decode
from neural_hive.schemas.envelope import Header
from neural_hive.schemas.topics import partition_of
from neural_hive.streams.kernel.state import ROW
from neural_hive.streams.orchestrator import system as orchestrator
from neural_hive.streams.registry import system as registry
from tests.hostile.inputs import mutated, twisted, value_of, written
from tests.hostile.memory_kernel import MemoryKernel, Outcome
from tests.schemas import samples

KEPT_MAX: Final = 12  # ids of each kind that messages speak of
PARTITIONS: Final = 2
TIMES_US: Final = (1, 1_000_000, 60_000_000, 3_600_000_000, 90 * 86_400_000_000)


def _mine(prefix: str, count: int) -> list[str]:
    """Ids that belong to partition 0."""
    found: list[str] = []
    number = 0
    while len(found) < count:
        name = f"{prefix}-{number}"
        if partition_of(name.encode(), PARTITIONS) == 0:
            found.append(name)
        number += 1
    return found


AGENTS: Final = _mine("agent", 3)
WORKFLOWS: Final = _mine("workflow", KEPT_MAX)
TASKS: Final = ["a", "b", "c"]


class Hive:
    """One world that takes inputs until it is thrown away."""

    def __init__(self, chance: Random) -> None:
        self.chance = chance
        self.registry = MemoryKernel(registry.build(), {}, PARTITIONS)
        self.orchestrator = MemoryKernel(
            orchestrator.build(),
            {"agents": self._agents, "trails": self._trails, "freezes": dict},
            PARTITIONS,
        )
        self.tickets = ["ticket"]
        self.dispatched: list[dict[str, Any]] = []
        self._number = 0
        self._read: dict[str, int] = {}
        for agent_id in AGENTS[:2]:
            self._deliver(self.registry, "registry.commands", "RegisterAgent", _registration(agent_id))

    def _agents(self) -> dict[str, Any]:
        found = self._states(AGENT)
        return {name: agent for name, agent in found.items() if agent.presence is Presence.REGISTERED}

    def _trails(self) -> dict[str, Any]:
        return self._states(TRAIL)

    def _states(self, aggregate: Any) -> dict[str, Any]:
        """The rows of one aggregate."""
        fold, lead = self.registry.partition.fold, ROW + f"{aggregate.name}\0".encode()
        keys = [key for key, _ in fold.store.rows() if key.startswith(lead)]
        rows = ((key[len(lead) :].decode(), fold.row(aggregate, key)) for key in keys)
        return {name: row.state for name, row in rows if row is not None}

    def act(self) -> Outcome:
        """Something arrives, or time passes."""
        if self.chance.random() < 0.04:
            for kernel in (self.registry, self.orchestrator):
                kernel.log.now = max(self.registry.log.now, self.orchestrator.log.now)
            us = self.chance.choice(TIMES_US)
            self._pass_on(self.registry.pass_time(us))
            outcome = self.orchestrator.pass_time(us)
            self._pass_on(outcome)
            return outcome
        kernel = self.registry if self.chance.random() < 0.4 else self.orchestrator
        topic = self.chance.choice(kernel.system.topics)
        types = kernel.system.inputs[topic].handlers if topic in kernel.system.inputs else {}
        if topic == kernel.system.repartition or self.chance.random() < 0.03:
            types = dict.fromkeys(row.name for row in catalogue.registered().values())  # type: ignore[assignment]
        return self._send(kernel, topic, self.chance.choice(sorted(types)))

    def _send(self, kernel: MemoryKernel, topic: str, name: str) -> Outcome:
        row = catalogue.current(name)
        schema = catalogue.schema_of(row.id)
        wild = value_of(schema, self.chance, self._known)
        if row.kind == "event":
            return kernel.take(topic, self._bytes(written(row, wild)))
        payload = wild["payload"]
        if self.chance.random() < 0.8:
            payload = twisted(self._sensible(name, samples.fixed(schema)["payload"]), payload, self.chance)
        header = wild["header"]
        if self.chance.random() < 0.9:
            header = self._header(name, _routing_id(kernel, name, payload) or header["routing_id"])
        value = self._bytes(written(row, {"header": header, "payload": payload}))
        outcome = kernel.take(topic, value, self.chance.choice((None, b"", b"k", b"\xff\xfe")))
        self._pass_on(outcome)
        return outcome

    def _bytes(self, value: bytes) -> bytes:
        return mutated(value, self.chance) if self.chance.random() < 0.05 else value

    def _header(self, name: str, routing_id: str) -> dict[str, Any]:
        self._number += 1
        message_id = f"message-{self._number if self.chance.random() < 0.95 else 1}"
        sent_at = self.registry.log.now
        head = Header(message_id, name, sent_at, routing_id, "", "", "", "", "hostile")
        return {field: getattr(head, field) for field in head.__struct_fields__}

    def _deliver(self, kernel: MemoryKernel, topic: str, name: str, payload: dict[str, Any]) -> None:
        row = catalogue.current(name)
        header = self._header(name, _routing_id(kernel, name, payload))
        self._pass_on(kernel.take(topic, written(row, {"header": header, "payload": payload})))

    def _pass_on(self, outcome: Outcome) -> None:
        """What one system tells another arrives there."""
        self._notice()
        for record in outcome.sent:
            if record.partition == 0:
                kernel = self.registry if record.topic == "registry.commands" else self.orchestrator
                self._pass_on(kernel.take(record.topic, record.value, record.key, record.headers))

    def _notice(self) -> None:
        """Tickets that there are, and work that was given away: whoever reports on it is listened to."""
        log = self.orchestrator.log.topics.get("execution.tickets", [])
        for record in log[self._read.get("tickets", 0) :]:
            payload = decode(record.value or b"", "event").payload
            if payload.get("ticket_id"):
                self.tickets = [*self.tickets, payload["ticket_id"]][-KEPT_MAX:]
            if "allocated_agent_id" in payload and "attempt" in payload:
                self.dispatched = [*self.dispatched, payload][-KEPT_MAX:]
        self._read["tickets"] = len(log)

    def _known(self, field: str) -> list[str]:
        match field:
            case "workflow_id" | "decision_id" | "routing_id":
                return WORKFLOWS
            case "agent_id":
                return AGENTS
            case "ticket_id":
                return self.tickets
            case "task_id" | "dependencies":
                return TASKS
        return []

    def _sensible(self, name: str, payload: dict[str, Any]) -> dict[str, Any]:
        """A message that might be meant."""
        chance = self.chance
        made = dict(payload)
        for field in made:
            if known := self._known(field):
                made[field] = chance.choice(known)
        match name:
            case "DecisionConsolidated":
                return made | _plan(chance, chance.choice(WORKFLOWS))
            case "RegisterAgent":
                return made | _registration(chance.choice(AGENTS))
            case "ReportResult" | "ReportStart" if self.dispatched:
                given = chance.choice(self.dispatched)
                made |= {f: given[f] for f in ("workflow_id", "ticket_id", "attempt")}
                made["agent_id"] = given["allocated_agent_id"]
                if name == "ReportResult":
                    made |= {"outcome": chance.choice(("COMPLETED", "FAILED", "TIMED_OUT"))}
            case "Heartbeat":
                made |= {"success_rate": 0.9, "load": 0.1, "latency_ms": 5}
            case "ReinforceTrail":
                made["domain"] = chance.choice(("EXECUTE", "BUILD"))
        for field in ("requests", "releases", "slots"):
            if field in made:
                made[field] = [item | {"ticket_id": chance.choice(self.tickets)} for item in made[field]]
        return made

    def check(self) -> None:
        """The states are what the logs say."""
        self.registry.check_state()
        self.orchestrator.check_state()


def _routing_id(kernel: MemoryKernel, name: str, payload: dict[str, Any]) -> str:
    for source in kernel.system.inputs.values():
        if name in source.handlers:
            return str(payload[source.handlers[name].route])
    return ""


def _registration(agent_id: str) -> dict[str, Any]:
    return {
        "agent_id": agent_id,
        "agent_type": "WORKER",
        "capabilities": [],
        "task_types": ["EXECUTE", "BUILD", "TEST"],
        "capacity": 2,
        "requested_by": "",
    }


def _plan(chance: Random, decision_id: str) -> dict[str, Any]:
    """A plan that would be carried out."""
    whole_shape: dict[str, list[str]] = {"a": [], "b": ["a"], "c": ["a", "b"]}
    shape = {name: whole_shape[name] for name in TASKS[: chance.randint(1, 3)]}
    schema = catalogue.schema_of(catalogue.current("DecisionConsolidated").id)
    whole: dict[str, Any] = samples.fixed(schema)["payload"]
    task = whole["tasks"][0]
    sound: dict[str, Any] = {"timeout_ms": 60_000, "estimated_duration_ms": 10, "task_type": "EXECUTE"}
    sound |= {"command": ["true"], "parameters": {}, "environment": {}, "template_id": "", "secrets": []}
    sound |= {"required_capabilities": [], "compensation": chance.choice(([], ["undo"])), "max_retries": 1}
    tasks = [task | sound | {"task_id": name, "dependencies": needs} for name, needs in shape.items()]
    about = {"decision_id": decision_id, "plan_id": "plan", "intent_id": "intent", "confidence": 0.9}
    return (
        whole | about | {"tasks": tasks, "votes": [], "deadline_ms": 0, "sla_class": "", "requested_by": ""}
    )
