"""A whole system that is watched: its traces, its logs, its metrics."""

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from neural_hive.monitoring.metrics import known_metrics, library_metrics
from neural_hive.monitoring.promql import is_known, metric_names
from neural_hive.process import metrics_url
from neural_hive.state import running_state
from tests.monitoring.collector import Collector, Seen, collecting
from tests.monitoring.test_files import expressions
from tests.system.hive import Hive, eventually

SECRET, WORD = "a-password-nobody-may-see", "a-parameter-nobody-may-log"
PLAN = f"""
decision_id: watched
tasks:
  - {{task_id: build, command: ["true"], parameters: {{word: {WORD}}}}}
  - {{task_id: check, dependencies: [build], command: ["sh", "-c", "echo {WORD}"]}}
"""
PROMISE = """
kind: Slo
slo_id: watched
name: All that is done
slo_type: AVAILABILITY
service_name: watched
target: 0.9
window_days: 7
indicator: {source: TICKETS, good: "status = 'COMPLETED'"}
---
kind: FreezePolicy
policy_id: watched
name: By hand
scope: SERVICE
subject: watched
actions: [ALERT_ONLY]
trigger_percent: 0
unfreeze_percent: 0
"""
BY_WHOM = {"publish", "processor", "worker"}
SELDOM = {"neural_hive_flow_c_incidents_opened_total"}  # there from the first one on: its kinds are many


@pytest.fixture(scope="module")
def collector() -> Iterator[tuple[Collector, str]]:
    with collecting() as found:
        yield found


@pytest.fixture(scope="module")
def hive(collector: tuple[Collector, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hive]:
    """A system that has carried a plan out, and had one that it could not read."""
    folder = tmp_path_factory.mktemp("watched")
    system = Hive(
        folder / "data",
        otlp_endpoint=collector[1],
        clickhouse_password=SECRET,
        log_level="debug",
        log_format="json",
        witness="true",
        systems='["orchestrator", "registry", "operations", "privacy", "sla", "sli"]',
        prometheus_url="http://127.0.0.1:1",  # nobody is there
        alertmanager_url="http://127.0.0.1:1",
    )
    plan, promise = folder / "plan.yaml", folder / "slo.yaml"
    plan.write_text(PLAN)
    promise.write_text(PROMISE)
    try:
        system.up()
        for command in (("apply", str(promise)), ("freeze", "watched", "--reason", "to be seen")):
            done = system.run("slo", *command)
            assert done.returncode == 0, done.stdout + done.stderr
        done = system.run("publish", "plan", str(plan), "--wait")
        assert done.returncode == 0, done.stdout + done.stderr
        nonsense(system)
        yield system
    finally:
        system.run("down")


def nonsense(system: Hive) -> None:
    from confluent_kafka import Producer

    producer = Producer(system.kafka())
    producer.produce("plans.consensus", WORD.encode(), key=b"somebody")
    assert producer.flush(30) == 0
    eventually(lambda: system.rows("SELECT reason FROM dead_letters"))


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_one_trace_from_the_plan_to_the_last_event(hive: Hive, collector: tuple[Collector, str]) -> None:
    events = [(record, found.head) for record, found in hive.log("orchestration.workflows")]
    events += [(record, found.head) for record, found in hive.log("execution.tickets")]
    of_plan: list[Any] = [head for record, head in events if record.key == b"watched"]
    assert {head.event_type for head in of_plan} >= {
        "WorkflowStarted",
        "TicketCompleted",
        "WorkflowCompleted",
    }
    [trace_id] = {head.trace_id for head in of_plan}

    def whole() -> dict[str, Seen] | None:
        found = collector[0].trace(trace_id)
        return found if found.keys() >= {head.span_id for head in of_plan} else None

    spans = eventually(whole, 60)
    roots = [span for span in spans.values() if not span.parent_id]
    assert [root.name for root in roots] == ["trace of DecisionConsolidated"]
    apart = [span for span in spans.values() if span.parent_id and span.parent_id not in spans]
    assert not apart, f"not connected: {apart}"
    assert {span.process for span in spans.values()} >= BY_WHOM
    names = [span.name for span in spans.values()]
    assert names.count("execute EXECUTE") == names.count("publish ReportResult") == 2
    executed = next(span for span in spans.values() if span.name == "execute EXECUTE")
    assert spans[executed.parent_id].name == "TicketDispatched"

    def projected() -> set[str]:
        batches = [span for span in list(collector[0].spans) if span.process == "projector"]
        return {span_id for batch in batches for trace, span_id in batch.links if trace == trace_id}

    eventually(lambda: projected() >= {head.span_id for head in of_plan}, 60)


@pytest.mark.slow
def test_logs_are_json_and_hold_no_secret_and_no_payload(hive: Hive) -> None:
    logs = [file for file in (hive.data / "logs").glob("*.log") if not file.name.startswith("kafka")]
    assert {file.stem for file in logs} >= {
        "supervisor",
        "processor-orchestrator",
        "processor",
        "projector",
        "worker",
    }
    lines = []
    for file in logs:
        text = file.read_text()
        assert SECRET not in text and WORD not in text, file.name
        found = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
        assert found, file.name
        assert all(line["process"] == file.stem and line["level"] and line["timestamp"] for line in found)
        lines += found
    opened = [line for line in lines if line["event"] == "partition open"]
    assert {line["system"] for line in opened} >= {"orchestrator", "registry"}
    ended = [line for line in lines if line["event"] == "ticket_ended"]
    assert len(ended) == 2 and all(len(line["trace_id"]) == 32 for line in ended)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_what_is_asked_for_is_told(hive: Hive) -> None:
    state = running_state(hive.data)
    assert state is not None and state.metrics_url
    urls = [metrics_url(hive.data, p.name, p.pid) for p in state.processes]
    told: dict[str, set[str]] = {}

    def scrape() -> set[str]:
        for url in (state.metrics_url, *filter(None, urls)):
            with urllib.request.urlopen(url, timeout=30) as answer:
                for family in text_string_to_metric_families(answer.read().decode()):
                    for sample in family.samples:
                        told.setdefault(sample.name, set()).update(sample.labels)
        return set(told)

    # What is looked at now and then, every ten seconds.
    seldom = {"neural_hive_input_lag_records", "neural_hive_state_bytes", "neural_hive_sla_budget_status"}
    eventually(lambda: scrape() >= seldom, 150)
    # No verification was run, and these appear with it.
    asked = {name for _, expr in expressions() for name in metric_names(expr)} - {"up"}
    families = set(told) | {name.removesuffix("_total") for name in told}
    missing = {name for name in asked if not is_known(name, families) and "_verify_" not in name}
    assert missing <= SELDOM
    known = {metric.name for metric in known_metrics()} | library_metrics()
    strange = {name for name in told if not is_known(name.removesuffix("_created"), known)}
    assert not {name for name in strange if name.removesuffix("_created") + "_total" not in known}
    assert "neural_hive_process_restarts_total" in told


@pytest.mark.slow
def test_a_verification_is_told(hive: Hive) -> None:
    done = hive.run("replay", "verify", "--json")
    state = running_state(hive.data)
    assert state is not None
    with urllib.request.urlopen(state.metrics_url, timeout=30) as answer:
        page = answer.read().decode()
    assert f"neural_hive_verify_exit_code {float(done.returncode)}" in page
    assert "neural_hive_verify_last_seconds" in page
    assert Path(hive.data, "run", "verified.json").is_file()
