"""TEST: pytest, or any command that writes its results as JUnit XML.

source      folder or archive with the tests
path        what to test, below the source [.]                           (pytest)
arguments   further arguments of pytest, as a shell would split them     (pytest)
install     a wheel to test, put on the path and nowhere else            (pytest)
coverage    what to measure the coverage of: packages or folders, separated by commas (pytest)
command     the command, as a shell would split it                       (executor: command)
junit       where it writes its results, below the source [junit.xml]    (executor: command)
coverage_min  the least coverage, in percent: below it, or without one, the task fails
→ junit.xml and, if measured, coverage.xml as artifacts; outputs tests, failures, errors, skipped, and coverage
  (percent) where it was measured or the tests left a coverage.xml or coverage.json; they stand with a failure too
"""

import importlib.util
import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from neural_hive.connectors.executors.choice import CHOICE
from neural_hive.connectors.executors.results import COVERAGE_FILES, BadResults, coverage_percent, read_junit
from neural_hive.connectors.executors.source import source_folder
from neural_hive.connectors.executors.task import Failed, Task, Unfit, inside, run, run_program

JUNIT: Final = "junit.xml"
_NO_TESTS: Final = 5  # pytest's exit code


def test(task: Task) -> None:
    """Runs the tests and tells their counts. Raises Failed, Unfit."""
    by_command = task.parameters.get(CHOICE) == "command"
    names = ("command", "junit") if by_command else ("path", "arguments", "install", "coverage")
    task.known("source", "coverage_min", *names)
    coverage_min = _coverage_min(task)
    folder = source_folder(task)
    for name in COVERAGE_FILES:  # results that came with the source are not those of this run
        (folder / name).unlink(missing_ok=True)
    code = _command(task, folder) if by_command else _pytest(task, folder)
    _tell(task, folder, code, coverage_min)


def _coverage_min(task: Task) -> float:
    try:
        percent = float(task.parameters.get("coverage_min", "0"))
    except ValueError:
        percent = -1.0
    if not 0 <= percent <= 100:
        raise Unfit("the parameter coverage_min must be a number of percent, 0 to 100")
    return percent


def _pytest(task: Task, folder: Path) -> int:
    path = inside(folder, task.parameters.get("path", "."))
    if not path.exists():
        raise Unfit(f"the source holds no {task.parameters['path']}")
    pytest = ["-m", "pytest", "-p", "no:cacheprovider", "--rootdir", "."]
    results = ["--junitxml", str(task.artifacts / JUNIT)]
    target = str(path.relative_to(folder))
    return _measured(task, folder, [*pytest, *results, *_words(task, "arguments"), target])


def _measured(task: Task, folder: Path, pytest: Sequence[str]) -> int:
    """Runs pytest, under coverage.py if the coverage is asked for; its exit code."""
    python, variables = [sys.executable, "-P"], _installed(task)
    measured = task.parameters.get("coverage", "")
    if not measured:
        return run([*python, *pytest], folder, variables)
    if importlib.util.find_spec("coverage") is None:
        raise Unfit("coverage needs Python's coverage, not installed where this worker runs")
    coverage, data = [*python, "-m", "coverage"], f"--data-file={Path('coverage.data').absolute()}"
    code = run([*coverage, "run", data, f"--source={measured}", *pytest], folder, variables)
    file = task.artifacts / COVERAGE_FILES[0]
    # Without data, because nothing of it was imported or pytest did not begin, there is no report, and no coverage.
    if run([*coverage, "xml", data, "-o", str(file)], folder, variables) == 0:
        shutil.copyfile(file, folder / file.name)
    return code


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
    results = inside(folder, task.parameters.get("junit", JUNIT))
    results.unlink(missing_ok=True)
    code = run(_words(task, "command"), folder)
    if results.is_file():
        shutil.copyfile(results, task.artifacts / JUNIT)
    return code


def _words(task: Task, name: str) -> list[str]:
    try:
        return shlex.split(task.parameters.get(name, ""))
    except ValueError as error:
        raise Unfit(f"the parameter {name} cannot be split into words: {error}") from error


def _tell(task: Task, folder: Path, code: int, coverage_min: float) -> None:
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
    if coverage_min and (coverage is None or coverage < coverage_min):
        found = "was not measured" if coverage is None else f"is {coverage:.2f} %"
        raise Failed(f"the coverage {found}; at least {coverage_min:g} % is asked for")


if __name__ == "__main__":
    run_program(test)
