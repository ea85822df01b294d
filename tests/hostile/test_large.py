"""A whole system with records as large as they may be, with consumers that stand still for long, and with a bomb."""

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer

from neural_hive.schemas.topics import MESSAGE_BYTES_MAX
from neural_hive.state import running_state
from tests.conftest import note_undelivered
from tests.hostile.memory_use import forget_peak, peak_mb
from tests.system.hive import Hive, eventually

pytestmark = pytest.mark.long

VARIABLES = 8
MEGABYTE_BYTES, LARGEST_BYTES = 125_000, 130_000  # of each variable; Linux takes 131,071 of one
LARGEST_TASKS = 8
STOPPED_S = 25.0  # longer than any session
PLANS = 4
BOMB_RECORDS, BOMB_RECORD_BYTES = 75, 4 << 20  # more than ClickHouse takes in one insert
BOMB_MB_MAX = {"processor": 400, "processor-orchestrator": 400, "projector": 1_500, "clickhouse": 2_000}


@pytest.fixture(scope="module")
def hive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hive]:
    system = Hive(tmp_path_factory.mktemp("large") / "data")
    try:
        system.up()
        yield system
    finally:
        system.run("down")


def _task(task_id: str, variable_bytes: int) -> dict[str, Any]:
    """One that has all its variables whole, or fails."""
    names = [f"V{number}" for number in range(VARIABLES)]
    whole = " && ".join(f"[ ${{#{name}}} -eq {variable_bytes} ]" for name in names)
    return {
        "task_id": task_id,
        "command": ["sh", "-c", whole],
        "environment": dict.fromkeys(names, "x" * variable_bytes),
    }


def _published(hive: Hive, folder: Path, name: str, tasks: list[dict[str, Any]], *options: str) -> None:
    file = folder / f"{name}.json"
    file.write_text(json.dumps({"plan_id": name, "tasks": tasks}))
    done = hive.run("publish", "plan", str(file), *options)
    assert done.returncode == 0, done.stdout[-2_000:] + done.stderr[-2_000:]


def _status(hive: Hive, plan_id: str) -> list[str]:
    rows = hive.rows(f"SELECT status FROM workflows WHERE plan_id = '{plan_id}'")
    return [row["status"] for row in rows]


def _verified(hive: Hive) -> dict[str, Any]:
    report = hive.verify()
    assert report["exit_code"] == 0, report["findings"][:5]
    return report


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_events_of_a_megabyte_and_a_record_of_eight_go_through(hive: Hive, tmp_path: Path) -> None:
    _published(hive, tmp_path, "megabyte", [_task("only", MEGABYTE_BYTES)], "--wait")
    tasks = [_task(f"t{number}", LARGEST_BYTES) for number in range(LARGEST_TASKS)]
    _published(hive, tmp_path, "largest", tasks, "--wait")
    for plan_id in ("megabyte", "largest"):
        eventually(lambda plan_id=plan_id: _status(hive, plan_id) == ["COMPLETED"])  # type: ignore[misc]
    (largest,) = hive.rows("SELECT max(length(value)) AS bytes FROM messages WHERE topic = 'plans.consensus'")
    assert VARIABLES * LARGEST_TASKS * LARGEST_BYTES < int(largest["bytes"]) <= MESSAGE_BYTES_MAX
    sizes = hive.rows(
        f"SELECT event_type, count() AS events FROM events WHERE length(value) > {VARIABLES * MEGABYTE_BYTES} "
        "GROUP BY event_type ORDER BY event_type"
    )
    counts = {row["event_type"]: int(row["events"]) for row in sizes}
    assert counts == {"TicketCreated": 1 + LARGEST_TASKS, "TicketDispatched": 1 + LARGEST_TASKS}
    _verified(hive)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_worker_and_projector_that_stood_still_past_their_sessions_catch_up(
    hive: Hive, tmp_path: Path
) -> None:
    stopped = {name: hive.signal(name, signal.SIGSTOP) for name in ("worker", "projector")}
    try:
        tasks = [
            {"task_id": "first", "command": ["true"]},
            {"task_id": "then", "dependencies": ["first"], "command": ["true"]},
        ]
        for _ in range(PLANS):
            _published(hive, tmp_path, "waits", tasks)
        time.sleep(STOPPED_S)
        assert _status(hive, "waits") == []
    finally:
        for pid in stopped.values():
            os.kill(pid, signal.SIGCONT)
    eventually(lambda: _status(hive, "waits") == ["COMPLETED"] * PLANS)
    rows = hive.rows(
        "SELECT count() AS ended FROM tickets WHERE status = 'COMPLETED' AND attempt = 1 AND "
        "workflow_id IN (SELECT workflow_id FROM workflows WHERE plan_id = 'waits')"
    )
    assert int(rows[0]["ended"]) == 2 * PLANS
    assert {
        name: hive.signal(name, signal.SIGCONT) for name in stopped
    } == stopped  # still the same processes
    _verified(hive)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_batch_that_becomes_many_times_larger_stops_nobody(hive: Hive, tmp_path: Path) -> None:
    """300 MB of zeros in a batch of 1 MB: each record is refused, and archived."""
    state = running_state(hive.data)
    assert state is not None
    pids = {p.name: p.pid for p in state.processes if p.name in BOMB_MB_MAX and p.pid is not None}
    before_mb = {name: forget_peak(pid) for name, pid in pids.items()}
    producer = Producer(
        hive.kafka()
        | {
            "compression.type": "lz4",
            "linger.ms": 60_000,  # until the flush
            "message.max.bytes": 1_000_000_000,
            "batch.size": 1_000_000_000,
        }
    )
    for _ in range(BOMB_RECORDS):
        producer.produce(
            "plans.consensus", bytes(BOMB_RECORD_BYTES), b"bomb", 0, on_delivery=note_undelivered
        )
    assert producer.flush(120) == 0
    _published(hive, tmp_path, "after", [{"task_id": "only", "command": ["true"]}], "--wait")
    rows = "SELECT count() AS letters FROM dead_letters WHERE reason LIKE '%once decompressed%'"
    eventually(lambda: [int(row["letters"]) for row in hive.rows(rows)] == [BOMB_RECORDS])
    grown_mb = {name: peak_mb(pid) - before_mb[name] for name, pid in pids.items()}
    print(f"MB more: {grown_mb}")
    assert all(grown_mb[name] < most for name, most in BOMB_MB_MAX.items())
    _verified(hive)
