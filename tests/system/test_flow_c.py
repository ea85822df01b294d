"""Flow C as an operator sees it: metrics of the processor, telemetry in the log, status; also after a kill."""

import json
import urllib.request
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from neural_hive.process import metrics_url
from neural_hive.state import RUNNING, running_state
from tests.system.hive import Hive, eventually

PLAN = """
tasks:
  - {task_id: build, command: ["true"]}
  - {task_id: check, dependencies: [build], command: ["true"]}
"""
PROCESSOR = "processor-orchestrator"
LONG = """
deadline_ms: 3600000
tasks:
  - {task_id: long, command: [sleep, "600"]}
"""


@pytest.fixture
def hive(tmp_path: Path) -> Iterator[Hive]:
    system = Hive(tmp_path / "data")
    try:
        yield system
    finally:
        system.run("down")


def scraped(hive: Hive) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Every sample of the orchestrator's processor that runs now; {} if none is ready."""
    state = running_state(hive.data)
    assert state is not None
    [processor] = [found for found in state.processes if found.name == PROCESSOR]
    url = metrics_url(hive.data, processor.name, processor.pid)
    if processor.status != RUNNING or not url:
        return {}
    with urllib.request.urlopen(url, timeout=30) as answer:
        text = answer.read().decode()
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def figure(hive: Hive, name: str, **labels: str) -> float | None:
    return scraped(hive).get((f"neural_hive_flow_c_{name}", frozenset(labels.items())))


def flow_c(hive: Hive) -> dict[str, Any]:
    done = hive.run("flow-c", "--json")
    assert done.returncode == 0, done.stderr
    shown: dict[str, Any] = json.loads(done.stdout)
    return shown


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_what_an_operator_sees(hive: Hive, tmp_path: Path) -> None:
    plan, long = tmp_path / "plan.yaml", tmp_path / "long.yaml"
    plan.write_text(PLAN)
    long.write_text(LONG)
    hive.up()
    assert hive.run("publish", "plan", str(plan), "--wait").returncode == 0
    assert hive.run("publish", "plan", str(long)).returncode == 0

    eventually(lambda: figure(hive, "workflows_active", status="RUNNING") == 1)
    assert figure(hive, "success_total") == 1
    assert figure(hive, "duration_seconds_count") == 1
    assert figure(hive, "tickets_generated_total", task_type="EXECUTE") == 3
    assert figure(hive, "steps_duration_seconds_count", step="C5") == 2
    assert [figure(hive, "steps_duration_seconds_count", step=step) for step in ("C1", "C2", "C6")] == [
        2,
        2,
        1,
    ]
    assert figure(hive, "sla_violations_total") == 0
    assert figure(hive, "tickets_waiting") == 0
    assert 3_000 < (figure(hive, "deadline_remaining_seconds") or 0) <= 3_600

    def told() -> Counter[tuple[str, str]]:
        records = hive.log("telemetry-flow-c")
        return Counter(
            (told.payload["step"], told.payload["status"]) for _, told in records if told.payload["ticket_id"]
        )

    done = {("C5", "COMPLETED"): 2, ("C4", "COMPLETED"): 3, ("C3", "COMPLETED"): 3}
    eventually(lambda: dict(told()) == done)
    eventually(lambda: figure(hive, "telemetry_buffer_size") == 0)
    assert figure(hive, "telemetry_published_total", topic="telemetry.orchestration") == 2
    attempts = [told.payload for _, told in hive.log("telemetry.orchestration")]
    assert sorted((one["task_id"], one["status"]) for one in attempts) == [
        ("build", "COMPLETED"),
        ("check", "COMPLETED"),
    ]
    assert all(one["execution_ms"] >= 0 and one["dispatch_ms"] is not None for one in attempts)

    eventually(lambda: flow_c(hive)["active_executions"] == 1)
    status = flow_c(hive)
    assert (status["total_processed"], status["success_rate"]) == (1, 1.0)
    assert (status["open_incidents"], status["tickets_ready"], status["healthy_workers"]) == (0, 0, 1)
    assert status["average_latency_ms"] == status["p95_latency_ms"] > 0
    assert {found["name"]: found["met"] for found in status["objectives"]} == {
        "p95 latency, ms": True,
        "success rate": True,
        "healthy workers": True,
    }
    shown = hive.run("flow-c").stdout
    assert "active_executions" in shown
    assert "not met" not in shown

    # The gauges of a processor that begins anew are those of the state, not of its own short life.
    hive.wait_replaced(PROCESSOR, hive.signal(PROCESSOR))
    eventually(lambda: figure(hive, "workflows_active", status="RUNNING") == 1)
    assert figure(hive, "workflows_started_total") == 0
    assert 3_000 < (figure(hive, "deadline_remaining_seconds") or 0) <= 3_600
    hive.down()
    assert hive.left_behind() == []
