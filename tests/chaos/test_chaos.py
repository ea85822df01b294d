"""A whole system is killed twenty times while it works: nothing is lost, nothing is doubled."""

from pathlib import Path

import psutil
import pytest

from tests.chaos.run import Report, render, run

KILLS = 20
SEED = 7


@pytest.fixture
def report(tmp_path: Path) -> Report:
    return run(tmp_path, KILLS, SEED)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_nothing_is_lost_or_doubled_while_processes_are_killed(report: Report, tmp_path: Path) -> None:
    assert not report.problems, render(report)
    assert len(report.hits) == KILLS
    assert report.plans_repeated and report.verdict.repeats >= report.plans_repeated
    assert report.verdict.kinds["WorkflowCompleted"] == report.workflows
    assert report.verdict.inputs > 10 * report.workflows
    left = [p.pid for p in psutil.Process().children(recursive=True) if str(tmp_path) in _environment(p)]
    assert left == []


def _environment(process: psutil.Process) -> str:
    try:
        return process.environ().get("NEURAL_HIVE_DATA", "")
    except psutil.Error:
        return ""
