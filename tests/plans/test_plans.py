"""Plan files: what is read, and how each mistake is named."""

import json
import time
from pathlib import Path

import pytest
import yaml

from neural_hive.plans import BadPlan, plan_document, read_plan

GOOD = """\
plan_id: release
risk_band: low
tasks:
  - task_id: build
    task_type: BUILD
    command: [make, -j, 4, "yes", no, 1.10]
    parameters: {version: 1.10, empty: ""}
  - task_id: test
    dependencies: [build]
    command: [pytest]
    timeout_ms: 1000
"""


def written(tmp_path: Path, text: str, name: str = "plan.yaml") -> Path:
    file = tmp_path / name
    file.write_text(text)
    return file


def errors_of(file: Path) -> list[str]:
    with pytest.raises(BadPlan) as caught:
        read_plan(file)
    return [line.removeprefix(f"{file.parent}/") for line in caught.value.errors]


def test_scalars_stay_as_they_are_written(tmp_path: Path) -> None:
    decision = read_plan(written(tmp_path, GOOD))
    build, test = decision.tasks
    assert build.command == ("make", "-j", "4", "yes", "no", "1.10")
    assert build.parameters == {"version": "1.10", "empty": ""}
    assert (test.dependencies, test.timeout_ms) == (("build",), 1000)
    assert (decision.plan_id, decision.risk_band, decision.priority) == ("release", "low", "NORMAL")


def test_a_plan_is_named_after_its_file(tmp_path: Path) -> None:
    decision = read_plan(written(tmp_path, "tasks: [{task_id: a, command: [x]}]", "my plan (1).yaml"))
    assert (decision.plan_id, decision.intent_id) == ("my-plan--1-", "my-plan--1-")


def test_each_reading_is_a_new_decision_unless_it_has_an_id(tmp_path: Path) -> None:
    file = written(tmp_path, GOOD)
    assert read_plan(file).decision_id != read_plan(file).decision_id
    named = written(tmp_path, "decision_id: d-1\n" + GOOD)
    assert read_plan(named).decision_id == "d-1"


def test_what_a_plan_leaves_open_is_not_what_it_says_is_nothing(tmp_path: Path) -> None:
    text = "decision_id: d-1\ntasks:\n  - {task_id: a, command: [x]}\n  - {task_id: b, command: [x], max_retries: 0}\n"
    decision = read_plan(written(tmp_path, text))
    assert [(task.timeout_ms, task.max_retries) for task in decision.tasks] == [(-1, -1), (-1, 0)]
    assert (decision.delivery_mode, decision.consistency) == ("DERIVED", "DERIVED")
    again = read_plan(written(tmp_path, yaml.safe_dump(plan_document(decision)), "plan.yaml"))
    assert again == decision


def test_json_and_yaml_read_the_same(tmp_path: Path) -> None:
    document = {"decision_id": "d", "plan_id": "p", "tasks": [{"task_id": "a", "command": ["x", "1.10"]}]}
    from_json = read_plan(written(tmp_path, json.dumps(document, indent="\t"), "plan.json"))
    from_yaml = read_plan(written(tmp_path, yaml.safe_dump(document)))
    assert from_json == from_yaml


def test_a_decision_survives_being_written_as_a_plan(tmp_path: Path) -> None:
    decision = read_plan(written(tmp_path, GOOD))
    again = read_plan(written(tmp_path, yaml.safe_dump(plan_document(decision)), "again.yaml"))
    assert again == decision


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (
            GOOD.replace("[build]", "[biuld]"),
            "plan.yaml:9:20: tasks[1].dependencies[0]: unknown task 'biuld', did you mean 'build'?",
        ),
        (
            GOOD.replace("timeout_ms: 1000", "timeout_ms: soon"),
            "plan.yaml:11:17: tasks[1].timeout_ms: must be a valid integer, unable to parse string as an"
            " integer, not 'soon'",
        ),
        (
            GOOD.replace("risk_band: low", "risk_band: lowish"),
            "plan.yaml:2:12: risk_band: must be 'UNKNOWN', 'low', 'medium', 'high' or 'critical', not 'lowish'",
        ),
        (GOOD.replace("command: [py", "comand: [py"), "plan.yaml:10:13: tasks[1].comand: there is no such field"),
        ("tasks:\n  - command: [x]\n", "plan.yaml:2:5: tasks[0].task_id: is missing"),
        ("plan_id: x\n", "plan.yaml:1:1: tasks: is missing"),
        ("tasks: 5\n", "plan.yaml:1:8: tasks: must be a valid tuple, not '5'"),
        ("- 1\n", "plan.yaml: a plan must be a mapping with `tasks`"),
        ("", "plan.yaml: it is empty"),
        ("tasks: [\n", "plan.yaml:2:1: it is not YAML: did not find expected node content"),
        ("a: 1\na: 2\n", "plan.yaml:2:1: the key 'a' stands twice in one mapping"),
        ("a: &x [1]\nb: *x\n", "plan.yaml:1:4: anchors and aliases are not read: write the value out"),
        ("a: !!python/name:os.system x\n", "plan.yaml:1:4: tags are not read: tag:yaml.org,2002:python/name:os.system"),
        ("a: 1\n---\nb: 2\n", "plan.yaml: it holds more than one document"),
        ("[" * 1000, "plan.yaml:1:32: it is nested too deeply"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_with_its_place(tmp_path: Path, text: str, error: str) -> None:
    assert errors_of(written(tmp_path, text)) == [error]


def test_rules_of_the_domain_have_places_too(tmp_path: Path) -> None:
    text = (
        "tasks:\n"
        "  - {task_id: a, command: [x], dependencies: [b]}\n"
        "  - {task_id: b, command: [x], dependencies: [a]}\n"
    )
    (cycle,) = errors_of(written(tmp_path, text))
    assert cycle.startswith("plan.yaml:2:3: tasks: ")
    assert "a -> b -> a" in cycle or "b -> a -> b" in cycle
    (limit,) = errors_of(written(tmp_path, "tasks:\n  - {task_id: a, command: [x], timeout_ms: 0}\n"))
    assert limit.startswith("plan.yaml:2:5: tasks[0]: task 'a': timeout_ms must be")


def test_a_check_may_be_left_to_the_orchestrator(tmp_path: Path) -> None:
    file = written(tmp_path, "tasks: [{task_id: a, command: [x], dependencies: [a]}]")
    assert errors_of(file)
    assert read_plan(file, check=False).tasks[0].dependencies == ("a",)


def test_json_mistakes_have_places(tmp_path: Path) -> None:
    plan = {
        "tasks": [
            {"task_id": "a,]}", "command": ["x"]},
            {"task_id": "b", "command": ["y"], "max_retries": "z"},
        ]
    }
    text = json.dumps(plan, indent=2)
    (error,) = errors_of(written(tmp_path, text, "plan.json"))
    line = next(n for n, line in enumerate(text.splitlines(), 1) if "max_retries" in line)
    assert error.startswith(f"plan.json:{line}:22: tasks[1].max_retries: must be a valid integer")
    (broken,) = errors_of(written(tmp_path, '{\n  "tasks": [}\n', "plan.json"))
    assert broken == "plan.json:2:13: it is not JSON: Expecting value"
    (twice,) = errors_of(written(tmp_path, '{"a": 1, "a": 2}', "plan.json"))
    assert twice == "plan.json: the key 'a' stands twice in one mapping"


def test_many_mistakes_are_counted(tmp_path: Path) -> None:
    errors = errors_of(written(tmp_path, "tasks:\n" + "  - {}\n" * 50))
    assert len(errors) == 21
    assert errors[-1] == "plan.yaml: and 30 more"


@pytest.mark.parametrize(
    "nonsense", [b"\xff\xfe" * 3_500_000, b"[" * 7_000_000, b"{" * 7_000_000, b"x" * 7_000_000]
)
def test_megabytes_of_nonsense_are_refused_at_once(tmp_path: Path, nonsense: bytes) -> None:
    file = tmp_path / "plan.yaml"
    file.write_bytes(nonsense)
    started = time.monotonic()
    assert len(errors_of(file)) == 1
    assert time.monotonic() - started < 60


def test_a_file_over_the_limit_is_not_read(tmp_path: Path) -> None:
    file = tmp_path / "plan.yaml"
    with file.open("wb") as out:
        out.truncate(33 * 1024 * 1024)
    (error,) = errors_of(file)
    assert "at most 33,554,432 are read" in error


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    assert errors_of(tmp_path / "none.yaml") == ["none.yaml: cannot be read: No such file or directory"]
