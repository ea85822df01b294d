"""The read models of what waits: for a slot, for an agent, for somebody's attention; and of what it took."""

import msgspec

from neural_hive.projections.allocations import ALLOCATIONS
from neural_hive.projections.http_store import HttpStore
from neural_hive.projections.incidents import INCIDENTS
from neural_hive.projections.read_models import rebuild
from neural_hive.projections.slots import SLOTS
from neural_hive.projections.telemetry import TELEMETRY
from neural_hive.projections.ticket_history import TICKET_HISTORY
from neural_hive.projections.tickets import TICKETS
from neural_hive.projections.workflows import WORKFLOWS
from neural_hive.schemas.codec import encode_event, encode_message
from neural_hive.schemas.envelope import Header
from tests.projections.grammar import given
from tests.projections.support import AT, envelope

SECOND = 1_000_000


def _event(event_type: str, version: int, about: str = "thing", **payload: object) -> bytes:
    head = msgspec.structs.replace(envelope(event_type, about, version), aggregate_type="thing")
    return encode_event(head, {"workflow_id": "w", **payload})


def test_a_slot_is_asked_for_granted_and_returned(store: HttpStore) -> None:
    def slot(event_type: str, version: int, **payload: object) -> bytes:
        head = msgspec.structs.replace(envelope(event_type, "slot-1", version), aggregate_type="slot")
        ids = {"agent_id": "a1", "workflow_id": "w", "ticket_id": "t1", "attempt": 2}
        return encode_event(head, {**ids, **payload})

    asked = {"place": 5, "lease_ends_at": AT + 90_000_000}
    given(
        store,
        slot("SlotRequested", 1, requested_at=AT, waiting=3, **asked),
        slot("SlotDenied", 2, reason="the agent is UNHEALTHY", denied_at=AT + 1_000_000),
        slot("SlotRequested", 3, allocation=1, requested_at=AT, waiting=1, **asked),
        slot("SlotGranted", 4, allocation=1, granted_at=AT + 2_000_000, held=1, capacity=4, **asked),
        slot("SlotReturned", 5, allocation=1, outcome="COMPLETED", domain="TEST", returned_at=AT + 9_000_000),
        slot("SlotGranted", 6, allocation=2, granted_at=AT + 9_000_000, held=1, capacity=4, **asked),
    )
    rebuild(store, SLOTS)
    told = store.rows(
        "SELECT allocation, agent_id, status, waited_ms, held_ms, outcome, reason FROM slots ORDER BY allocation"
    )
    assert told == [
        (0, "a1", "DENIED", None, None, None, "the agent is UNHEALTHY"),
        (1, "a1", "RETURNED", 2_000, 7_000, "COMPLETED", None),
        (2, "a1", "GRANTED", 0, None, None, None),
    ]


def test_measurements_are_rolled_up_by_minute(store: HttpStore) -> None:
    minute = AT - AT % 60_000_000

    def measured(step: str, duration_ms: float, at: int) -> bytes:
        header = Header("m", "FlowStepMeasured", at, "w", "w", "", "0" * 32, "0" * 16, "test")
        about = {"workflow_id": "w", "plan_id": "p", "status": "COMPLETED"}
        return encode_message(header, {**about, "step": step, "duration_ms": duration_ms, "at": at})

    for_c5 = [measured("C5", duration_ms, minute) for duration_ms in (10.0, 20.0, 30.0)]
    given(store, *for_c5, measured("C5", 7.5, minute + 60_000_000), measured("C6", 1.0, minute))
    rebuild(store, TELEMETRY)
    told = store.rows(
        "SELECT toUnixTimestamp(minute), step, measured, average_ms, p50_ms, longest_ms "
        "FROM telemetry_per_minute ORDER BY minute, step"
    )
    first = minute // 1_000_000
    assert told == [
        (first, "C5", 3, 20.0, 20.0, 30.0),
        (first, "C6", 1, 1.0, 1.0, 1.0),
        (first + 60, "C5", 1, 7.5, 7.5, 7.5),
    ]


def test_a_choice_of_an_agent_keeps_who_else_there_was(store: HttpStore) -> None:
    ids = {"ticket_id": "t1", "attempt": 1}
    best = {"agent_id": "a1", "score": 0.9, "health": 1.0, "pheromone": 0.8, "telemetry": 0.87}
    next_one = {**best, "agent_id": "a2", "score": 0.7}
    chosen = {"agent_id": "a1", "score": 0.9, "candidates": [best, next_one]}
    given(
        store,
        _event("TicketAllocated", 1, **ids, **chosen, allocation=1, allocated_at=AT),
        _event("TicketUnallocated", 2, **ids, agent_id="a1", allocation=1, reason="full", unallocated_at=AT),
        _event("TicketAllocated", 3, **ids, **chosen, allocation=2, allocated_at=AT + SECOND),
    )
    rebuild(store, ALLOCATIONS)
    told = store.rows(
        "SELECT allocation, agent_id, score, candidates.agent_id, candidates.score, isNull(taken_back_at), reason "
        "FROM allocations ORDER BY allocation"
    )
    assert told == [
        (1, "a1", 0.9, ["a1", "a2"], [0.9, 0.7], 0, "full"),
        (2, "a1", 0.9, ["a1", "a2"], [0.9, 0.7], 1, None),
    ]


def test_a_ticket_that_is_held_stays_ready_and_names_the_policies(store: HttpStore) -> None:
    def ticket(event_type: str, version: int, **payload: object) -> bytes:
        return _event(event_type, version, "t1", ticket_id="t1", **payload)

    freeze = {"policy_revision": 2, "scope": "SERVICE", "subject": "shop"}
    freezes = [{"freeze_id": f"f-{name}", "policy_id": name, **freeze} for name in ("all", "shop")]
    held = {
        "service": "shop",
        "namespace": "",
        "freezes": freezes,
        "freeze_count": 2,
        "views": [],
        "held_at": AT,
    }
    given(store, ticket("TicketReady", 1, ready_at=AT, place=1), ticket("TicketHeld", 2, **held))
    rebuild(store, TICKETS)
    columns = "status, held_by.policy_id, held_by.freeze_id, error"
    told = store.rows(f"SELECT {columns} FROM tickets")
    assert told == [("READY", ["all", "shop"], ["f-all", "f-shop"], None)]

    given(store, ticket("TicketReleased", 3, views=[], released_at=AT + SECOND))
    rebuild(store, TICKETS)
    assert store.rows(f"SELECT {columns} FROM tickets") == [("READY", [], [], None)]
    rebuild(store, TICKET_HISTORY)
    steps = store.rows("SELECT event_type, status, held_by.policy_id FROM ticket_history ORDER BY version")
    assert steps == [
        ("TicketReady", "READY", []),
        ("TicketHeld", None, ["all", "shop"]),
        ("TicketReleased", None, []),
    ]


def test_an_incident_is_opened_resolved_and_opened_again(store: HttpStore) -> None:
    opened = {"incident_id": "i1", "kind": "NO_AGENT", "severity": "HIGH", "summary": "nobody has gpu"}
    resolved = _event("IncidentResolved", 2, incident_id="i1", reason="a1 came", resolved_at=AT + 3 * SECOND)
    columns = "status, kind, severity, ticket_ids, resolution, open_ms"
    given(store, _event("IncidentOpened", 1, **opened, ticket_ids=["t1"], opened_at=AT), resolved)
    rebuild(store, INCIDENTS)
    told = store.rows(f"SELECT {columns} FROM incidents")
    assert told == [("RESOLVED", "NO_AGENT", "HIGH", ["t1"], "a1 came", 3_000)]

    given(store, _event("IncidentOpened", 3, **opened, opened_at=AT + 9 * SECOND))
    rebuild(store, INCIDENTS)
    told = store.rows(f"SELECT {columns} FROM incidents")
    assert told == [("OPEN", "NO_AGENT", "HIGH", [], None, None)]


def test_a_workflow_says_why_it_waits_while_it_does(store: HttpStore) -> None:
    waiting = {"since": AT, "look_again_at": AT + SECOND, "ready_count": 3, "reason": "nobody has gpu"}
    paused = _event("WorkflowPaused", 1, "w", reason="the target is down", requested_by="ann", paused_at=AT)
    columns = "status, reason, waiting_count, waiting_reason, isNull(waiting_since)"
    given(store, paused, _event("WorkflowWaiting", 2, "w", **waiting))
    rebuild(store, WORKFLOWS)
    told = store.rows(f"SELECT {columns} FROM workflows")
    assert told == [("PAUSED", "the target is down", 3, "nobody has gpu", 0)]

    counts = {"task_count": 3, "completed": 2, "failed": 0, "cancelled": 1, "compensated": 0}
    checked = _event("IntegrityChecked", 4, "w", **counts, sound=False, findings=["one is missing"])
    given(store, _event("WorkflowWaitEnded", 3, "w", ended_at=AT), checked)
    rebuild(store, WORKFLOWS)
    told = store.rows(f"SELECT {columns}, sound, findings FROM workflows")
    assert told == [("PAUSED", "the target is down", None, None, 1, False, ["one is missing"])]
