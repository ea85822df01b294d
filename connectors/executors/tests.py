"""TEST: pytest, or any command that writes its results as JUnit XML.

source      folder or archive with the tests
path        what to test, below the source [.]                           (pytest)
arguments   further arguments of pytest, as a shell would split them     (pytest)
install     a wheel to test, put on the path and nowhere else            (pytest)
command     the command, as a shell would split it                       (executor: command)
junit       where it writes its results, below the source [junit.xml]    (executor: command)
→ junit.xml as an artifact; outputs tests, failures, errors, skipped, and coverage (percent) where the tests
  left a coverage.xml or coverage.json; the outputs stand with a failure too
"""

import shlex
import shutil
import sys
from pathlib import Path
from typing import Final

from neural_hive.connectors.executors.choice import CHOICE
from neural_hive.connectors.executors.results import BadResults, coverage_percent, read_junit
from neural_hive.connectors.executors.source import source_folder
from neural_hive.connectors.executors.task import Failed, Task, Unfit, inside, run, run_program

JUNIT: Final = "junit.xml"
_NO_TESTS: Final = 5  # pytest's exit code


def test(task: Task) -> None:
    """Runs the tests and tells their counts. Raises Failed, Unfit."""
    by_command = task.parameters.get(CHOICE) == "command"
    names = ("command", "junit") if by_command else ("path", "arguments", "install")
    task.known("source", *names)
    folder = source_folder(task)
    code = _command(task, folder) if by_command else _pytest(task, folder)
    _tell(task, folder, code)


def _pytest(task: Task, folder: Path) -> int:
    path = inside(folder, task.parameters.get("path", "."))
    if not path.exists():
        raise Unfit(f"the source holds no {task.parameters['path']}")
    command = [sys.executable, "-P", "-m", "pytest", "-p", "no:cacheprovider", "--rootdir", "."]
    results = ["--junitxml", str(task.artifacts / JUNIT)]
    target = str(path.relative_to(folder))
    return run([*command, *results, *_words(task, "arguments"), target], folder, _installed(task))


def _installed(task: Task) -> dict[str, str]:
    """The variables that let the tests find the wheel; without one, what stands in the source."""
    wheel, folder = task.parameters.get("install"), Path("installed").absolute()
    if not wheel:
        return {"PYTHONPATH": "."}
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    if run([*pip, "--no-index", "--no-deps", "--target", str(folder), wheel], Path.cwd()):
        raise Failed(f"{Path(wheel).name} could not be installed")
    return {"PYTHONPATH": str(folder)}


def _command(task: Task, folder: Path) -> int:
    task.needed("command")
    code = run(_words(task, "command"), folder)
    results = inside(folder, task.parameters.get("junit", JUNIT))
    if results.is_file():
        shutil.copyfile(results, task.artifacts / JUNIT)
    return code


def _words(task: Task, name: str) -> list[str]:
    try:
        return shlex.split(task.parameters.get(name, ""))
    except ValueError as error:
        raise Unfit(f"the parameter {name} cannot be split into words: {error}") from error


def _tell(task: Task, folder: Path, code: int) -> None:
    ended = f"the tests ended with exit code {code}"
    if not (task.artifacts / JUNIT).is_file():
        raise Failed(f"{ended} and left no results in JUnit's XML")
    try:
        counts, coverage = read_junit(task.artifacts / JUNIT), coverage_percent(folder)
    except BadResults as error:
        raise Failed(f"{ended}, and their results cannot be read: {error}") from error
    task.tell(tests=counts.tests, failures=counts.failures, errors=counts.errors, skipped=counts.skipped)
    if coverage is not None:
        task.tell(coverage=f"{coverage:.2f}")
    if counts.tests == 0 or code == _NO_TESTS:
        raise Failed("no test was run")
    if counts.failures or counts.errors:
        raise Failed(f"of {counts.tests} tests {counts.failures} failed and {counts.errors} had errors")
    if code:
        raise Failed(ended)


if __name__ == "__main__":
    run_program(test)
