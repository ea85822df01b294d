"""What must hold of agents that fall silent or leave with work in hand: everybody who has work there is told, and no
incident outlives what it is about.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable

from neural_hive.aggregates.slot import SLOT
from neural_hive.streams.registry.messages import ANSWERS
from tests.simulation.history import History, Written

Loss = tuple[str, str, frozenset[tuple[str, int, int]]]  # agent, workflow, its attempts there
GONE = ("AgentDeregistered", "AgentRemoved")


def check(history: History) -> None:
    """Raises AssertionError."""
    expected: Counter[Loss] = Counter()
    for (system, _), events in history.by_seat.items():
        if system == "registry":
            expected += _losses(events)
    told = Counter(
        (
            message.payload["agent_id"],
            message.payload["workflow_id"],
            frozenset((r["ticket_id"], r["attempt"], r["allocation"]) for r in message.payload["slots"]),
        )
        for message in history.messages(ANSWERS, "AttemptsLost")
    )
    assert told == expected, (
        f"losses that nobody heard of: {expected - told}; that were none: {told - expected}"
    )
    _check_incidents(history)


def _losses(events: list[Written]) -> Counter[Loss]:
    """What each loss of an agent should have told, from what was held then."""
    lost: set[str] = set()
    held: dict[str, dict[str, Written]] = defaultdict(dict)
    found: Counter[Loss] = Counter()
    for written in events:
        told = written.payload
        if written.envelope.aggregate_type == SLOT.name:
            if written.kind == "SlotGranted":
                held[told["agent_id"]][written.envelope.aggregate_id] = written
            else:
                held[told["agent_id"]].pop(written.envelope.aggregate_id, None)
        elif written.kind in GONE or told.get("to_health") == "UNHEALTHY":
            if told["agent_id"] not in lost:
                lost.add(told["agent_id"])
                found += _told(told["agent_id"], held[told["agent_id"]].values())
        elif written.kind == "AgentRegistered" or told.get("to_health") == "HEALTHY":
            lost.discard(told["agent_id"])
    return found


def _told(agent_id: str, grants: Iterable[Written]) -> Counter[Loss]:
    by_workflow: dict[str, set[tuple[str, int, int]]] = defaultdict(set)
    for grant in grants:
        told = grant.payload
        by_workflow[told["workflow_id"]].add((told["ticket_id"], told["attempt"], told["allocation"]))
    return Counter((agent_id, workflow_id, frozenset(refs)) for workflow_id, refs in by_workflow.items())


def _check_incidents(history: History) -> None:
    """At the end no slot is held: so no agent has anything of anybody."""
    is_open: dict[str, str] = {}
    for written in history.events:
        if written.kind == "IncidentOpened" and written.payload["kind"] == "AGENT_LOST":
            is_open[written.envelope.aggregate_id] = written.payload["summary"]
        elif written.kind == "IncidentResolved":
            is_open.pop(written.envelope.aggregate_id, None)
    assert not is_open, f"still open: {is_open}"
