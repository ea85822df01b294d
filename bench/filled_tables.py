"""Archive and read models as many workflows leave them, without a broker: encoded events, written by the sink.

Workflows of five tasks, one begun every second up to now. One of fifty has failed at its second task; the newest go on.
What no list reads (hashes of the events before, spans, allocations) is left out.
"""

import time
from collections.abc import Iterator
from functools import cache
from typing import Any, Final

from neural_hive.aggregates.identity import derived_id
from neural_hive.aggregates.workflow import ticket_id_of
from neural_hive.connectors.kafka_log import Record
from neural_hive.projections.archive import EVENTS
from neural_hive.projections.catalogue import PROJECTIONS
from neural_hive.projections.http_store import HttpStore
from neural_hive.projections.positions import Position, Positions
from neural_hive.projections.ranges import Batch
from neural_hive.projections.read_models import prepare
from neural_hive.projections.sink import Sink
from neural_hive.projections.source import looked_at, part_of
from neural_hive.schemas.codec import EventEncoder, avro_long, avro_string, event_context, event_source
from neural_hive.schemas.envelope import NO_HASH

TASKS: Final = (
    ("build", "BUILD", ()),
    ("test", "TEST", ("build",)),
    ("validate", "VALIDATE", ("build",)),
    ("deploy", "DEPLOY", ("test", "validate")),
    ("execute", "EXECUTE", ("deploy",)),
)
PARTITIONS: Final = 4
RUNNING: Final = 200  # of the newest: their first task is at work
FAILED_EVERY: Final = 50
PLANS: Final = 1_000  # workflows of one plan lie far apart
AGENTS: Final = 20
_BATCH: Final = 3_000  # workflows that are written as one
_SECOND_US: Final = 1_000_000
_HOURS_4_US: Final = 4 * 3_600 * _SECOND_US
_WORKFLOWS: Final = "orchestration.workflows"
_TICKETS: Final = "execution.tickets"
_CONTEXT: Final = event_context("", "", "0" * 32)
_SOURCE: Final = event_source("plans.consensus", 0) + avro_long(0)


class Filled:
    """A database of its own that is being filled."""

    def __init__(self, store: HttpStore) -> None:
        store.create_database()
        positions = Positions(store)
        positions.claim()
        prepare(store, PROJECTIONS)
        places = [(topic, number) for topic in (_WORKFLOWS, _TICKETS) for number in range(PARTITIONS)]
        standing = {place: Position(*place, "made", 0, 0) for place in places}
        self._sink = Sink(store, positions, standing, PROJECTIONS)

    def fill(self, workflows: int) -> None:
        """Adds so many workflows; the last of them goes on now."""
        now_us = time.time_ns() // 1_000
        for first in range(0, workflows, _BATCH):
            numbers = range(first, min(first + _BATCH, workflows))
            histories = [
                _history(number, now_us - (workflows - number) * _SECOND_US, workflows - number <= RUNNING)
                for number in numbers
            ]
            self._write(first // _BATCH % PARTITIONS, [event for found in histories for event in found])

    def _write(self, partition: int, events: list[tuple[str, str, int, bytes]]) -> None:
        parts = []
        for topic in (_WORKFLOWS, _TICKETS):
            place = (topic, partition)
            begin = self._sink.standing[place].next
            chosen = [event for event in events if event[0] == topic]
            rows = (
                looked_at(
                    Record(topic, partition, begin + n, at_us // 1_000, key.encode(), value, ()), EVENTS
                )
                for n, (_, key, at_us, value) in enumerate(chosen)
            )
            parts.append(part_of(place, EVENTS, rows))
        nexts = {part.range.place: part.range.last + 1 for part in parts}
        self._sink.write(Batch(tuple(parts), nexts))


def _history(number: int, began_us: int, is_running: bool) -> Iterator[tuple[str, str, int, bytes]]:
    """Topic, key, time and bytes of all events of a workflow."""
    workflow_id = derived_id("bench", str(number))
    failed = 1 if number % FAILED_EVERY == 0 and not is_running else None
    events = [*_begun(workflow_id, number, began_us)]
    at = began_us
    for index, (task_id, kind, _) in enumerate(TASKS):
        if failed is not None and index > failed:
            continue
        at += 2 * _SECOND_US
        events += _executed(workflow_id, number, task_id, kind, at, index == failed, is_running)
        if is_running:
            break
    if not is_running:
        events.append(_ended(workflow_id, at - began_us, failed))
    for topic, aggregate_id, version, at_us, event_type, payload in events:
        yield topic, workflow_id, at_us, _encoded(event_type, aggregate_id, version, at_us, payload)


_Event = tuple[str, str, int, int, str, dict[str, Any]]  # topic, aggregate, version, time, type, payload


def _begun(workflow_id: str, number: int, at_us: int) -> Iterator[_Event]:
    plan_id = f"plan-{number % PLANS}"
    known = {"priority": "NORMAL", "risk_band": "medium", "deadline_at": at_us + _HOURS_4_US}
    whole = {
        "workflow_id": workflow_id,
        "decision_id": workflow_id,
        "plan_id": plan_id,
        "intent_id": f"intent-{number % PLANS}",
        "confidence": 0.9,
        "task_count": len(TASKS),
        "started_at": at_us,
        "roots": ["build"],
        "decision_sha256": "",
        "requested_by": "bench",
        "sla_class": "",
    }
    yield _WORKFLOWS, workflow_id, 1, at_us, "WorkflowStarted", whole | known
    for task_id, kind, needs in TASKS:
        ticket_id = ticket_id_of(workflow_id, task_id)
        created = {
            "ticket_id": ticket_id,
            "workflow_id": workflow_id,
            "plan_id": plan_id,
            "task": _task(task_id, kind),
            "dependencies": list(needs),
            "dependents": [],
            "priority_score": 0.5,
            "delivery_mode": "AT_LEAST_ONCE",
            "consistency": "STRONG",
            "durability": "PERSISTENT",
            "created_at": at_us,
        }
        yield _TICKETS, ticket_id, 1, at_us, "TicketCreated", created | known


def _executed(
    workflow_id: str, number: int, task_id: str, kind: str, at_us: int, fails: bool, goes_on: bool
) -> Iterator[_Event]:
    ticket_id, agent_id = ticket_id_of(workflow_id, task_id), f"agent-{number % AGENTS}"
    ids = {"ticket_id": ticket_id, "workflow_id": workflow_id}
    ready = ids | {"ready_at": at_us, "place": 0, "compensates": False, "expires_at": at_us + _HOURS_4_US}
    yield _TICKETS, ticket_id, 2, at_us, "TicketReady", ready
    dispatched = ids | {
        "plan_id": f"plan-{number % PLANS}",
        "task_id": task_id,
        "task_type": kind,
        "attempt": 1,
        "allocated_agent_id": agent_id,
        "webhook_url": "",
        "command": ["true"],
        "parameters": {},
        "environment": {},
        "timeout_ms": 3_600_000,
        "deadline_at": at_us + _HOURS_4_US,
        "security_level": "INTERNAL",
        "inputs": [],
        "dispatched_at": at_us + 10_000,
        "compensates": False,
        "start_by": at_us + _HOURS_4_US,
        "delivery_mode": "AT_LEAST_ONCE",
    }
    yield _TICKETS, ticket_id, 3, at_us + 10_000, "TicketDispatched", dispatched
    attempt = ids | {"attempt": 1, "agent_id": agent_id, "started_at": at_us + 20_000}
    started = attempt | {"expires_at": at_us + _HOURS_4_US}
    yield _TICKETS, ticket_id, 4, at_us + 20_000, "TicketStarted", started
    if goes_on:
        return
    ended = attempt | {"completed_at": at_us + _SECOND_US, "outputs": {}, "artifacts": []}
    if fails:
        failure = ended | {"exit_code": 1, "error": "exit code 1"}
        yield _TICKETS, ticket_id, 5, at_us + _SECOND_US, "TicketFailed", failure
    else:
        success = ended | {"exit_code": 0, "completed_by": "", "remark": ""}
        yield _TICKETS, ticket_id, 5, at_us + _SECOND_US, "TicketCompleted", success


def _ended(workflow_id: str, took_us: int, failed: int | None) -> _Event:
    counts = {"workflow_id": workflow_id, "duration_ms": took_us // 1_000}
    at_us = time.time_ns() // 1_000
    if failed is None:
        whole = counts | {"completed_count": len(TASKS)}
        return _WORKFLOWS, workflow_id, 2, at_us, "WorkflowCompleted", whole
    left = {"cancelled_count": len(TASKS) - failed - 1, "compensated_count": 0, "reason": "a task failed"}
    whole = counts | left | {"completed_count": failed, "failed_count": 1}
    return _WORKFLOWS, workflow_id, 2, at_us, "WorkflowFailed", whole


@cache
def _task(task_id: str, kind: str) -> dict[str, Any]:
    return {
        "task_id": task_id,
        "task_type": kind,
        "command": ["true"],
        "timeout_ms": 3_600_000,
        "security_level": "INTERNAL",
    }


@cache
def _encoder(event_type: str) -> EventEncoder:
    kind = "ticket" if event_type.startswith("Ticket") else "workflow"
    return EventEncoder(event_type, kind, "bench", "orchestrator")


def _encoded(event_type: str, aggregate_id: str, version: int, at_us: int, payload: dict[str, Any]) -> bytes:
    return _encoder(event_type).encode(
        derived_id(aggregate_id, str(version)).encode(),
        avro_string(aggregate_id),
        version,
        avro_long(at_us),
        _CONTEXT,
        b"0" * 16,
        version,
        _SOURCE,
        NO_HASH,
        payload,
    )
