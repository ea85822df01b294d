"""VALIDATE: bandit looks for insecure Python code.

source      folder or archive
path        what to scan, below the source [.]
threshold   the severity from which an issue fails the task: LOW, MEDIUM, HIGH, or NONE [MEDIUM]
→ bandit.json as an artifact; outputs issues, low, medium, high, suppressed, lines; they stand with a failure too
"""

import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any, Final

from neural_hive.connectors.executors.source import source_folder
from neural_hive.connectors.executors.task import Failed, Task, Unfit, inside, run, run_program

_SEVERITIES: Final = ("LOW", "MEDIUM", "HIGH")
_NO_THRESHOLD: Final = "NONE"


def scan(task: Task) -> None:
    """Scans it. Raises Failed, Unfit."""
    task.known("source", "path", "threshold")
    threshold = task.choice("threshold", (*_SEVERITIES, _NO_THRESHOLD), "MEDIUM")
    folder = source_folder(task)
    path = inside(folder, task.parameters.get("path", "."))
    if not path.exists():
        raise Unfit(f"the source holds no {task.parameters['path']}")
    file = task.artifacts / "bandit.json"
    bandit = [
        sys.executable,
        "-P",
        "-m",
        "bandit",
        "--quiet",
        "--recursive",
        "--exit-zero",
        "--format",
        "json",
    ]
    code = run([*bandit, "--output", str(file), str(path.relative_to(folder))], folder)
    if code or not file.is_file():
        raise Failed(f"bandit ended with exit code {code} and without a report")
    _judge(task, _read(file), threshold)


def _read(file: Path) -> dict[str, Any]:
    try:
        report: dict[str, Any] = json.loads(file.read_bytes())
    except ValueError as error:
        raise Failed(f"bandit's report cannot be read: {error}") from error
    return report


def _judge(task: Task, report: dict[str, Any], threshold: str) -> None:
    found = Counter(issue["issue_severity"] for issue in report["results"])
    totals = report["metrics"]["_totals"]
    by_severity = {severity.lower(): found[severity] for severity in _SEVERITIES}
    task.tell(issues=found.total(), **by_severity, suppressed=totals["nosec"], lines=totals["loc"])
    if report["errors"]:
        unread = ", ".join(sorted(error["filename"] for error in report["errors"])[:10])
        raise Failed(f"{len(report['errors'])} files could not be scanned: {unread}")
    if not totals["loc"]:
        raise Failed("there was no Python code to scan")
    severe = () if threshold == _NO_THRESHOLD else _SEVERITIES[_SEVERITIES.index(threshold) :]
    too_severe = {severity: found[severity] for severity in severe if found[severity]}
    if too_severe:
        counts = ", ".join(f"{count} {severity}" for severity, count in too_severe.items())
        raise Failed(f"issues at or above {threshold}: {counts}; bandit.json names them")


if __name__ == "__main__":
    run_program(scan)
