"""The files of deploy/ and the page of metrics are what this build makes, and ask for nothing that nobody tells."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from neural_hive.cli import build
from neural_hive.monitoring.files import ALERTS, DASHBOARDS, METRICS_PORT, differing, rendered, write
from neural_hive.monitoring.metrics import known_metrics, series_names
from neural_hive.monitoring.model import RUNBOOKS
from neural_hive.monitoring.page import metrics_page
from neural_hive.monitoring.promql import is_known, metric_names
from neural_hive.settings import load_settings
from tests.docs.pages import ROOT

MAKE_ANEW = "make them anew: neural-hive monitoring write deploy --page docs/metrics.md"
FLOW_C = (
    *("FlowCHighLatency", "FlowCLowSuccessRate", "FlowCStepTimeout", "FlowCNoTicketsGenerated"),
    *("FlowCWorkersUnavailable", "FlowCTelemetryBufferFull", "FlowCSLAViolations"),
    "FlowCWorkerDiscoveryFailures",
)
SLA = (
    *("SLAManagementSystemDown", "HighErrorRate", "SlowCalculations", "CriticalBudgetExhausted"),
    *("MultipleCriticalBudgets", "HighBurnRateFast", "HighBurnRateSlow", "FreezeActivated"),
    *("LongRunningFreeze", "MultipleActiveFreezes"),
)
FLOW_C_METRICS = (
    *("flow_c_duration_seconds", "flow_c_steps_duration_seconds", "flow_c_success_total"),
    *("flow_c_failures_total", "flow_c_sla_violations_total", "service_registry_calls_total"),
    *("service_registry_latency_seconds", "flow_c_telemetry_published_total"),
    "flow_c_telemetry_buffer_size",
)
LABELS_MAX = 3  # of one metric, and each of these has few values
UNBOUNDED = {
    "workflow_id",
    "ticket_id",
    "task_id",
    "aggregate_id",
    "message_id",
    "trace_id",
    "plan_id",
    "path",
}


def expressions() -> Iterator[tuple[str, str]]:
    """Every expression, and where it stands."""
    for dashboard in DASHBOARDS:
        for row in dashboard.rows:
            for panel in row.panels:
                yield from ((f"{dashboard.uid}: {panel.title}", query.expr) for query in panel.queries)
    for group in ALERTS:
        yield from ((alert.name, alert.expr) for alert in group.alerts)


def test_files_are_up_to_date() -> None:
    assert list(differing(ROOT / "deploy")) == [], MAKE_ANEW
    assert (ROOT / "docs" / "metrics.md").read_text() == metrics_page(), MAKE_ANEW


def test_every_metric_that_is_asked_for_exists() -> None:
    known, asked = series_names(), list(expressions())
    assert len(asked) > 100
    for place, expression in asked:
        names = metric_names(expression)
        assert names, f"{place} asks for no metric: {expression}"
        unknown = [name for name in names if not is_known(name, known)]
        assert not unknown, f"{place} asks for {unknown}"


def test_promised_names_are_there() -> None:
    assert tuple(alert.name for alert in ALERTS[0].alerts) == FLOW_C
    groups = [group for group in ALERTS if group.name.startswith("sla-")]
    assert len(groups) == 4
    assert set(SLA) < {alert.name for group in groups for alert in group.alerts}
    known = {metric.name for metric in known_metrics()}
    assert {f"neural_hive_{name}" for name in FLOW_C_METRICS} <= known


def test_labels_have_few_values() -> None:
    for metric in known_metrics():
        assert len(metric.labels) <= LABELS_MAX, metric
        assert not UNBOUNDED & set(metric.labels), metric


def test_units_stand_in_names() -> None:
    for metric in known_metrics():
        if metric.kind == "counter":
            assert metric.name.endswith("_total"), metric
        assert not metric.name.endswith(("_s", "_ms", "_us", "_mb", "_kb")), metric


def test_an_alert_says_what_to_do() -> None:
    headings = {
        line.removeprefix("### ")
        for line in (ROOT / RUNBOOKS).read_text().splitlines()
        if line.startswith("### ")
    }
    pages = {dashboard.url for dashboard in DASHBOARDS}
    for file in sorted((ROOT / "deploy" / "prometheus" / "rules").glob("*.yaml")):
        for group in yaml.safe_load(file.read_text())["groups"]:
            for rule in group["rules"]:
                told, name = rule["annotations"], rule["alert"]
                assert rule["labels"]["severity"] in ("critical", "warning", "info"), name
                assert told["summary"] and told["description"], name
                assert told["runbook_url"] == f"{RUNBOOKS}#{name.lower()}", name
                assert told["dashboard_url"] in pages, name
                assert name in headings, f"{RUNBOOKS} does not say what to do for {name}"


def test_dashboards_are_whole() -> None:
    orchestrator = next(d for d in DASHBOARDS if d.uid == "neural-hive-orchestrator")
    assert len(orchestrator.rows) == 9
    assert len(next(d for d in DASHBOARDS if d.uid == "neural-hive-registry").rows) == 5
    sla = next(d for d in DASHBOARDS if d.uid == "neural-hive-sla")
    assert (len(sla.rows), sum(len(row.panels) for row in sla.rows)) == (7, 21)
    for name, text in rendered().items():
        if name.startswith("grafana/"):
            model = json.loads(text)
            ids = [panel["id"] for panel in model["panels"]]
            assert len(set(ids)) == len(ids)
            for panel in model["panels"]:
                assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24, (name, panel["title"])


def test_servers_and_files_fit_together() -> None:
    services = yaml.safe_load((ROOT / "docker-compose.yaml").read_text())["services"]
    for name in ("prometheus", "grafana"):
        for volume in services[name]["volumes"]:
            source = volume.partition(":")[0]
            assert not source.startswith(".") or (ROOT / source).is_dir(), volume
    settings = load_settings(ROOT / "deploy" / "servers.toml", running=False, data=Path("unused"))
    assert settings.metrics_port == METRICS_PORT
    scraped = yaml.safe_load((ROOT / "deploy" / "prometheus" / "prometheus.yaml").read_text())
    targets = scraped["scrape_configs"][0]["static_configs"]
    ports = {target["labels"]["process"]: target["targets"] for target in targets}
    assert ports["processor-orchestrator"] == [f"127.0.0.1:{METRICS_PORT}"]
    assert len(ports) == len({str(found) for found in ports.values()}) >= 8


@pytest.mark.parametrize(
    ("expression", "names"),
    [
        ('sum by (le, a) (rate(x_bucket{b="c d{",le!=""}[5m])) / y > 0.5', {"x_bucket", "y"}),
        ("a and on (system) (b == 1e3 or vector(0)) unless ignoring(x) c offset 5m", {"a", "b", "c"}),
        ("histogram_quantile(0.95, sum by (le) (rate(h_bucket[$__rate_interval])))", {"h_bucket"}),
        ("time() - max(at_seconds) > bool 300", {"at_seconds"}),
        ("count without (reason) (z:w) * on(a) group_left(b) v", {"z:w", "v"}),
    ],
)
def test_names_in_an_expression(expression: str, names: set[str]) -> None:
    assert metric_names(expression) == names


def test_the_command(tmp_path: Path) -> None:
    def run(*more: str) -> tuple[int, str]:
        arguments = ["monitoring", "write", str(tmp_path / "out"), *more]
        done = CliRunner().invoke(build(arguments), arguments)
        return done.exit_code, done.output

    code, told = run("--check")
    assert code == 1 and "differs: " in told
    assert not (tmp_path / "out").exists()
    code, told = run("--page", str(tmp_path / "metrics.md"))
    assert code == 0 and "prometheus/rules/flow-c.yaml" in told
    assert run("--check") == (0, "all files are up to date\n")
    (tmp_path / "out" / "grafana" / "kernel.json").write_text("{}")
    code, told = run("--check")
    assert (code, told.count("differs")) == (1, 1)
    assert write(tmp_path / "out") == ["grafana/kernel.json"]
