"""Which rows follow from which events, for every read model."""

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from neural_hive.projections.agents import AGENTS
from neural_hive.projections.archive import EVENTS, INSERT_SETTINGS
from neural_hive.projections.avro_types import UnsupportedType, column_type, json_ready, quoted
from neural_hive.projections.catalogue import PROJECTIONS
from neural_hive.projections.container import wrap
from neural_hive.projections.dead_letters import DEAD_LETTERS
from neural_hive.projections.groups import Raw
from neural_hive.projections.http_store import HttpStore
from neural_hive.projections.projection import Projection
from neural_hive.projections.results import RESULTS
from neural_hive.projections.source import looked_at
from neural_hive.projections.store import StoreRefused
from neural_hive.projections.ticket_history import TICKET_HISTORY
from neural_hive.projections.tickets import TICKETS
from neural_hive.projections.workflows import WORKFLOWS
from neural_hive.schemas.catalogue import registered, schema_of
from neural_hive.schemas.codec import encode_event
from tests.projections.grammar import filled, given, record_at
from tests.projections.support import AT, completed, dead_letter, envelope, failed, ready, started


def _workflow(event_type: str, version: int, **payload: object) -> bytes:
    head = msgspec.structs.replace(envelope(event_type, "w1", version), aggregate_type="workflow")
    return encode_event(head, payload)


def test_each_ticket_event_is_one_row_of_what_it_says(store: HttpStore) -> None:
    given(store, ready("t1"), started("t1"), completed("t1"), failed("t2")).then_rows(
        TICKETS,
        {
            "ticket_id": "t1",
            "version": 1,
            "status": "READY",
            "agent_id": None,
            "exit_code": None,
            "error": None,
        },
        {
            "ticket_id": "t1",
            "version": 2,
            "status": "RUNNING",
            "agent_id": "agent-1",
            "exit_code": None,
            "error": None,
        },
        {
            "ticket_id": "t1",
            "version": 3,
            "status": "COMPLETED",
            "agent_id": "agent-1",
            "exit_code": 0,
            "error": None,
        },
        {
            "ticket_id": "t2",
            "version": 3,
            "status": "FAILED",
            "agent_id": "agent-1",
            "exit_code": 2,
            "error": "exit code 2",
        },
    )


def test_a_success_takes_back_what_earlier_attempts_left(store: HttpStore) -> None:
    again = {"attempt": 1, "due_at": AT + 99, "reason": "exit code 2"}
    waiting = encode_event(
        envelope("TicketRetryScheduled", "t1", 4), {"ticket_id": "t1", "workflow_id": "w", **again}
    )
    given(store, failed("t1", 3, outputs={"half": "1"}), waiting)
    filled(store, TICKETS)
    columns = "status, exit_code, outputs, error, isNull(started_at), isNull(finished_at), isNull(retry_at)"
    [now] = store.rows(f"SELECT {columns} FROM tickets")
    assert now == ("PENDING", 2, {"half": "1"}, "exit code 2", 1, 1, 0)

    by_hand = completed("t1", 6, attempt=2, exit_code=None, outputs={}, artifacts=[])
    given(store, ready("t1", 5), by_hand)
    filled(store, TICKETS)
    [now] = store.rows(f"SELECT {columns} FROM tickets")
    assert now == ("COMPLETED", None, {}, None, 0, 0, 1)


def test_each_attempt_has_a_result(store: HttpStore) -> None:
    def ended(event_type: str, ticket: str, version: int, **payload: object) -> bytes:
        ids = {"ticket_id": ticket, "workflow_id": "w"}
        return encode_event(envelope(event_type, ticket, version), {**ids, **payload})

    late = {"attempt": 1, "agent_id": "agent-1", "timed_out_at": AT + 60_000_000, "error": "not heard of"}
    given(
        store,
        *(started("t1"), ended("TicketTimedOut", "t1", 3, **late)),
        completed("t1", 7, attempt=2, started_at=AT, completed_at=AT + 2_500_000),
        *(failed("t2"), started("t3")),
        ended("TicketCancelled", "t4", 2, reason="no longer wanted", cancelled_at=AT),
        started("t5"),
        ended("TicketCancelled", "t5", 4, reason="stop", cancelled_at=AT, attempt=1, agent_id="agent-1"),
    )
    filled(store, RESULTS)
    told = store.rows(
        "SELECT ticket_id, attempt, agent_id, outcome, duration_ms, exit_code, length(artifacts), error "
        "FROM results ORDER BY ticket_id, attempt"
    )
    assert told == [
        ("t1", 1, "agent-1", "TIMED_OUT", 60_000, None, 0, "not heard of"),
        ("t1", 2, "agent-1", "COMPLETED", 2_500, 0, 1, None),
        ("t2", 1, "agent-1", "FAILED", 0, 2, 0, "exit code 2"),
        ("t3", 1, "agent-1", None, None, None, 0, None),
        ("t4", 0, None, "CANCELLED", None, None, 0, "no longer wanted"),
        ("t5", 1, "agent-1", "CANCELLED", 0, None, 0, "stop"),
    ]


def test_ticket_history_names_every_step(store: HttpStore) -> None:
    refused = encode_event(
        envelope("TicketResultRefused", "t1", 4),
        {"ticket_id": "t1", "workflow_id": "w1", "attempt": 2, "agent_id": "a", "reason": "stale"},
    )
    given(store, completed("t1"), refused).then_rows(
        TICKET_HISTORY,
        {"event_type": "TicketCompleted", "status": "COMPLETED", "attempt": 1, "error": None},
        {"event_type": "TicketResultRefused", "status": None, "attempt": 2, "error": "stale"},
    )


def test_workflow_from_start_to_end(store: HttpStore) -> None:
    begun = _workflow(
        "WorkflowStarted",
        1,
        workflow_id="w1",
        decision_id="w1",
        plan_id="p1",
        intent_id="i1",
        risk_band="low",
        priority="HIGH",
        confidence=0.9,
        task_count=3,
        deadline_at=AT,
        started_at=AT,
        requested_by="somebody",
    )
    ended = _workflow("WorkflowCompleted", 2, workflow_id="w1", completed_count=3, duration_ms=17)
    given(store, begun, ended).then_rows(
        WORKFLOWS,
        {"workflow_id": "w1", "status": "RUNNING", "task_count": 3, "priority": "HIGH", "duration_ms": None},
        {"workflow_id": "w1", "status": "COMPLETED", "task_count": None, "priority": None, "duration_ms": 17},
    )


def test_refused_plan_keeps_its_reasons(store: HttpStore) -> None:
    refused = _workflow("PlanRejected", 1, decision_id="w1", plan_id="p1", reasons=["cycle a -> b -> a"])
    given(store, refused).then_rows(
        WORKFLOWS,
        {"workflow_id": "w1", "status": "REJECTED", "plan_id": "p1", "reasons": ["cycle a -> b -> a"]},
    )


def test_dead_letter_keeps_its_bytes(store: HttpStore) -> None:
    given(store, dead_letter(b"plain"), ready("t1")).then_rows(
        DEAD_LETTERS, {"reason": "no such task", "source_partition": 1, "source_offset": 17, "value": "plain"}
    )


def _paths(record: dict[str, Any], above: str = "") -> Iterator[str]:
    """The fields of a record, and those of records in it, with dots; `name.*` for the values of a map."""
    for field in record["fields"]:
        yield (path := f"{above}{field['name']}")
        kind = field["type"]["type"] if isinstance(field["type"], dict) else ""
        if kind == "record":
            yield from _paths(field["type"], f"{path}.")
        elif kind == "map":
            yield f"{path}.*"


@pytest.mark.parametrize("projection", PROJECTIONS, ids=lambda p: p.name)
def test_read_model_names_events_and_fields_that_exist(projection: Projection) -> None:
    schemas = {row.name: schema_of(number) for number, row in registered().items()}
    fields: set[str] = set()
    for name in projection.types:
        fields |= set(_paths(schemas[name]["fields"][1]["type"]))
    for column in (*projection.key, *projection.columns):
        unknown = set(column.fields) - fields
        assert all(f"{path.rpartition('.')[0]}.*" in fields for path in unknown), column.name
        assert set(column.told_by) <= set(projection.types), column.name


def test_every_registered_schema_has_column_types() -> None:
    for number in registered():
        assert column_type(schema_of(number)).startswith("Tuple(")
        assert json_ready(schema_of(number), "s")


def test_wider_union_is_refused() -> None:
    with pytest.raises(UnsupportedType, match="null and one type"):
        column_type(["null", "string", "long"])


@pytest.mark.parametrize("damage", [-1, 1])
def test_datum_of_wrong_length_fails_the_insert_as_a_whole(store: HttpStore, damage: int) -> None:
    given(store)
    good = ready("t1")
    bad = good + b"\0" if damage > 0 else good[:-1]
    number = int.from_bytes(good[1:5], "big")
    container = wrap([Raw(record_at(n, value), number) for n, value in enumerate([good, bad, good, good])])
    with pytest.raises(StoreRefused):
        store.insert(EVENTS.insert_sql(container, "1"), container.pieces, INSERT_SETTINGS)
    assert store.rows("SELECT count() FROM events") == [(0,)]


def test_records_of_many_schemas_and_of_none_lie_in_the_archive_as_they_came(store: HttpStore) -> None:
    given(store)
    values = [ready("t1"), b"no schema", started("t1"), completed("t1"), ready("t2"), b"", failed("t2")]
    rows = [looked_at(record_at(n, value), EVENTS) for n, value in enumerate(values)]
    container = wrap(rows)
    store.insert(EVENTS.insert_sql(container, "1"), container.pieces, INSERT_SETTINGS)
    found = store.rows(
        "SELECT offset, hex(value), event_type, schema_id, decode_error, JSONExtractString(payload, 'ticket_id') "
        "FROM events ORDER BY offset"
    )
    types = ["TicketReady", "", "TicketStarted", "TicketCompleted", "TicketReady", "", "TicketFailed"]
    tickets = ["t1", "", "t1", "t1", "t2", "", "t2"]
    assert found == [
        (n, row.record.value.hex().upper(), types[n], row.schema_id, row.error, tickets[n])
        for n, row in enumerate(rows)
        if row.record.value is not None
    ]


def test_sql_text_is_quoted(store: HttpStore) -> None:
    text = "it's \\ a 'text'"
    assert store.rows(f"SELECT {quoted(text)}") == [(text,)]


def test_agent_row_follows_its_health(store: HttpStore) -> None:
    def event(event_type: str, version: int, **payload: object) -> bytes:
        head = msgspec.structs.replace(envelope(event_type, "a1", version), aggregate_type="agent")
        return encode_event(head, {"agent_id": "a1", **payload})

    profile = {"agent_type": "WORKER", "capabilities": ["gpu"], "task_types": ["BUILD"], "capacity": 2}
    lost = {"from_health": "HEALTHY", "to_health": "DEGRADED", "reason": "not heard for 90 s"}
    given(
        store,
        event("AgentRegistered", 1, registered_at=AT, **profile),
        event("AgentSeen", 2, success_rate=0.5, load=0.25, latency_ms=9, seen_at=AT + 30_000_000),
        event("AgentHealthChanged", 3, **lost),
    ).then_rows(
        AGENTS,
        {"agent_id": "a1", "status": "HEALTHY", "agent_type": "WORKER", "load": None, "reason": None},
        {"agent_id": "a1", "status": None, "agent_type": None, "load": 0.25, "reason": None},
        {"agent_id": "a1", "status": "DEGRADED", "agent_type": None, "load": None, "reason": lost["reason"]},
    )
    filled(store, AGENTS)
    [now] = store.rows("SELECT status, load, latency_ms, capacity, capabilities FROM agents")
    assert now == ("DEGRADED", 0.25, 9, 2, ["gpu"])

    bare = {"agent_type": "WORKER", "capabilities": [], "task_types": [], "capacity": 2}
    given(store, event("AgentRegistered", 4, registered_at=AT, **bare))
    filled(store, AGENTS)
    [now] = store.rows("SELECT status, load, capabilities, task_types, reason FROM agents")
    assert now == ("HEALTHY", 0.25, [], [], None)
