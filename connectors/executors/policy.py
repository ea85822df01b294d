"""VALIDATE: policies in Rego judge a JSON document (executor: rego).

policy          a .rego file, or a folder or archive of them (those that end in _test.rego are left out)
policy.<name>   more of the same
input           the JSON file to be judged
data            a JSON file with what the policies call `data` [none]
query           a rule that gives the violations, as a set, list, object or true [data.main.deny]
allow           a rule that must be true; where it is given, `query` is only looked at if it is given too
→ policy.json as an artifact: all violations; outputs violations (how many) and first (some of them, as JSON)

Whatever cannot be judged has failed: a broken policy, an error while it is evaluated, a rule that is undefined.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from neural_hive.connectors.executors.documents import CannotJudge, read_json
from neural_hive.connectors.executors.rego import Policy
from neural_hive.connectors.executors.source import unpack
from neural_hive.connectors.executors.task import Failed, Task, Unfit, run_program, say

QUERY: Final = "data.main.deny"
FILE_BYTES_MAX: Final = 16 * 1024 * 1024  # the engine takes minutes for more
FIRST_MAX, FIRST_CHARS_MAX = 20, 4_000
_POLICY: Final = "policy"


def check(task: Task) -> None:
    """Judges it. Raises Failed, Unfit."""
    task.known(_POLICY, "input", "data", "query", "allow", prefixes=(f"{_POLICY}.",))
    modules = _modules(task)
    given = _read(task.needed("input"), "input")
    data = _read(task.parameters["data"], "data") if "data" in task.parameters else {}
    if not isinstance(data, dict):
        raise Unfit("the data must be a JSON object")
    try:
        violations = _violations(task, Policy(modules, given, data))
    except CannotJudge as reason:
        raise Failed(f"the policy could not judge: {reason}") from reason
    except RecursionError as error:
        raise Failed("the policy could not judge: the input is nested too deeply") from error
    _tell(task, sorted(modules), violations)


def _violations(task: Task, policy: Policy) -> list[Any]:
    """All that speaks against the input."""
    found: list[Any] = []
    allow = task.parameters.get("allow", "")
    if allow and policy.value(allow) is not True:
        found.append(f"{allow} is not true")
    if not allow or "query" in task.parameters:
        query = task.parameters.get("query", QUERY)
        found += _listed(query, policy.value(query))
    return found


def _listed(query: str, value: Any) -> list[Any]:
    match value:
        case bool():
            return [f"{query} is true"] if value else []
        case list():
            return value
        case dict():  # a rule with keys: the older way to write a set
            return [key if entry is True else {key: entry} for key, entry in value.items()]
    raise CannotJudge(f"{query} must give a set, list, object, true or false, not {json.dumps(value)[:200]}")


def _tell(task: Task, modules: list[str], violations: list[Any]) -> None:
    report = {"policies": modules, "violations": violations}
    (task.artifacts / "policy.json").write_text(json.dumps(report, ensure_ascii=False, indent=1))
    texts = [text if isinstance(text, str) else json.dumps(text, ensure_ascii=False) for text in violations]
    first = texts[:FIRST_MAX]
    while len(json.dumps(first)) > FIRST_CHARS_MAX:
        first.pop()
    task.tell(violations=len(violations), first=json.dumps(first))
    for text in first:
        say(f"- {text}")
    if violations:
        raise Failed(f"{len(violations)} violations of the policy; policy.json names them")


def _modules(task: Task) -> dict[str, str]:
    """The policies' sources, by a name that errors can call them by."""
    task.needed(_POLICY)
    found: dict[str, str] = {}
    for parameter, value in task.parameters.items():
        if parameter == _POLICY or parameter.startswith(f"{_POLICY}."):
            files = dict(_files(Path(value), Path(parameter)))
            if not files:
                raise Unfit(f"the parameter {parameter} holds no .rego file: {value[:200]}")
            found |= {
                name if parameter == _POLICY else f"{parameter}/{name}": _text(file)
                for name, file in files.items()
            }
    return found


def _files(given: Path, unpacked: Path) -> Iterator[tuple[str, Path]]:
    if given.is_file() and given.suffix == ".rego":
        yield given.name, given
        return
    folder = given
    if not given.is_dir():
        unpack(given, unpacked)
        folder = unpacked
    for file in sorted(folder.rglob("*.rego")):
        if file.is_file() and not file.name.endswith("_test.rego"):
            yield file.relative_to(folder).as_posix(), file


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise Unfit(f"{file.name} is no UTF-8 text") from error


def _read(path: str, name: str) -> Any:
    file = Path(path)
    if not file.is_file():
        raise Unfit(f"the parameter {name} names no file: {path[:200]}")
    if file.stat().st_size > FILE_BYTES_MAX:
        raise Unfit(f"the {name} has more than {FILE_BYTES_MAX:,} bytes, the limit")
    try:
        return read_json(file.read_bytes(), f"the {name}")
    except CannotJudge as reason:
        raise Failed(str(reason)) from reason


if __name__ == "__main__":
    run_program(check)
