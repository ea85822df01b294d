"""Prometheus' own tool runs the rules: each alert fires when it must, and not when it only looks alike."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from neural_hive.monitoring.files import ALERTS
from tests.docs.pages import ROOT
from tests.monitoring.cases import CASES, Case, Series

RULES = ROOT / "deploy" / "prometheus"
needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool is not installed (Debian: apt-get install prometheus)"
)


def promtool(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["promtool", *arguments], capture_output=True, text=True, timeout=120, check=False, cwd=RULES
    )


def a_test(case: Case, series: Series, firing: int) -> dict[str, Any]:
    """How many alerts of the name fire at the end; the rules write that down as a series."""
    asked = f'count(ALERTS{{alertname="{case.alert}",alertstate="firing"}}) or vector(0)'
    return {
        "name": f"{case.alert}: {'fires' if firing else 'is quiet'}",
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "promql_expr_test": [
            {
                "expr": asked,
                "eval_time": f"{case.minutes}m",
                "exp_samples": [{"labels": "{}", "value": firing}],
            }
        ],
    }


def test_every_alert_has_a_case() -> None:
    named = {alert.name for group in ALERTS for alert in group.alerts}
    assert {case.alert for case in CASES} == named


@needs_promtool
def test_files_are_what_prometheus_reads() -> None:
    for done in (
        promtool("check", "rules", *map(str, (RULES / "rules").glob("*.yaml"))),
        promtool("check", "config", "prometheus.yaml"),
    ):
        assert done.returncode == 0, done.stdout + done.stderr


@needs_promtool
def test_alerts_fire_and_are_quiet(tmp_path: Path) -> None:
    tests = [a_test(case, case.fires, 1) for case in CASES]
    tests += [a_test(case, case.is_quiet, 0) for case in CASES]
    document = {
        "rule_files": [str(file) for file in sorted((RULES / "rules").glob("*.yaml"))],
        "evaluation_interval": "1m",
        "tests": tests,
    }
    file = tmp_path / "alerts.test.yaml"
    file.write_text(yaml.safe_dump(document, sort_keys=False))
    done = promtool("test", "rules", str(file))
    assert done.returncode == 0, done.stdout + done.stderr


@needs_promtool
def test_a_rule_that_is_wrong_is_found(tmp_path: Path) -> None:
    """Or what is above would prove nothing."""
    [case] = [case for case in CASES if case.alert == "HiveDiskFull"]
    document = {
        "rule_files": [str(RULES / "rules" / "storage.yaml")],
        "evaluation_interval": "1m",
        "tests": [a_test(case, case.is_quiet, 1)],
    }
    file = tmp_path / "wrong.test.yaml"
    file.write_text(yaml.safe_dump(document))
    assert promtool("test", "rules", str(file)).returncode == 1
