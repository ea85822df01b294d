"""Recorded workflows as plans."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from neural_hive.aggregates import graph
from neural_hive.aggregates.decision import dependency_graph
from neural_hive.plans import read_plan
from neural_hive.wfformat import BadRecording, read_recording

_ROOT = Path(__file__).parents[2]
RECORDINGS = Path(os.environ.get("NEURAL_HIVE_TEST_DATA") or _ROOT.parent / "shared" / "data") / "wfinstances"


def recording(*tasks: dict[str, Any], runtimes: dict[str, float] | None = None) -> dict[str, Any]:
    times = {task["id"]: 2.0 for task in tasks} if runtimes is None else runtimes
    return {
        "name": "a workflow",
        "schemaVersion": "1.5",
        "workflow": {
            "specification": {"tasks": list(tasks)},
            "execution": {"tasks": [{"id": i, "runtimeInSeconds": s} for i, s in times.items()]},
        },
    }


def written(tmp_path: Path, document: Any) -> Path:
    file = tmp_path / "recording.json"
    file.write_text(json.dumps(document))
    return file


def test_parents_and_children_are_one_relation(tmp_path: Path) -> None:
    file = written(
        tmp_path,
        recording(
            {"id": "a", "children": ["b", "c"]},
            {"id": "b", "parents": ["a"]},
            {"id": "c", "parents": []},
            {"id": "d", "parents": ["b", "c"]},
        ),
    )
    decision = read_recording(file, 0.25)
    assert dependency_graph(decision.tasks) == {"a": (), "b": ("a",), "c": ("a",), "d": ("b", "c")}
    assert decision.tasks[0].command == ("sleep", "0.500")
    assert decision.tasks[0].estimated_duration_ms == 500
    assert decision.plan_id == "a_workflow"


def test_ids_become_those_of_a_plan_and_stay_apart(tmp_path: Path) -> None:
    file = written(
        tmp_path,
        recording({"id": "a b"}, {"id": "a/b", "parents": ["a b"]}, {"id": "-é" * 200}),
    )
    ids = [task.task_id for task in read_recording(file, 0).tasks]
    assert ids[:2] == ["a_b", "a_b.2"]
    assert len(set(ids)) == 3


@pytest.mark.parametrize(
    ("document", "words"),
    [
        (recording({"id": "a", "parents": ["x"]}), "names the parent 'x', which is no task"),
        (recording({"id": "a", "children": ["x"]}), "names the child 'x', which is no task"),
        (recording({"id": "a"}, {"id": "a"}), "the id 'a' stands twice"),
        (recording({"id": "a"}, runtimes={}), "was never executed"),
        (recording({"id": "a"}, runtimes={"a": 1, "b": 1}), "task 'b' was executed and is not specified"),
        (recording({"id": "a"}, runtimes={"a": -1}), "greater than or equal to 0"),
        (recording({"id": "a", "parents": ["b"]}, {"id": "b", "parents": ["a"]}), "cycle"),
        (recording(), "no tasks"),
        ({"schemaVersion": "1.4"}, "expected WfFormat with schemaVersion 1.5, found schemaVersion 1.4"),
        ([], "no schemaVersion"),
        ({"schemaVersion": "1.5", "name": "x"}, "workflow: Field required"),
    ],
)
def test_what_is_no_recording_is_refused(tmp_path: Path, document: Any, words: str) -> None:
    with pytest.raises(BadRecording, match=words):
        read_recording(written(tmp_path, document), 1.0)


def test_a_file_that_is_not_json_says_where(tmp_path: Path) -> None:
    file = tmp_path / "recording.json"
    file.write_text("{\n nonsense")
    with pytest.raises(BadRecording, match=r"recording.json:2:2: it is not JSON"):
        read_recording(file, 1.0)


def test_thousands_of_tasks_become_a_plan(tmp_path: Path) -> None:
    chain = [{"id": f"t{n}", "parents": [f"t{n - 1}"] if n else []} for n in range(5_000)]
    decision = read_recording(written(tmp_path, recording(*chain)), 0.001)
    assert len(decision.tasks) == 5_000


@pytest.mark.parametrize("name", ["1000genome", "bacass", "blast", "montage"])
def test_real_recordings_become_plans(name: str, tmp_path: Path) -> None:
    files = sorted(RECORDINGS.glob(f"{name}*.json"))
    if not files:
        pytest.skip(f"no recording of {name} in {RECORDINGS}; NEURAL_HIVE_TEST_DATA names another folder")
    decision = read_recording(files[0], 0.01)
    specified = json.loads(files[0].read_text())["workflow"]["specification"]["tasks"]
    assert len(decision.tasks) == len(specified)
    assert sum(len(task.dependencies) for task in decision.tasks) == len(
        {(parent, task["id"]) for task in specified for parent in task["parents"]}
        | {(task["id"], child) for task in specified for child in task["children"]}
    )
    assert len(graph.topological_order(dependency_graph(decision.tasks))) == len(specified)
    from neural_hive.commands.import_ import _write

    for suffix in ("yaml", "json"):
        _write(decision, tmp_path / f"plan.{suffix}")
        assert read_plan(tmp_path / f"plan.{suffix}").tasks == decision.tasks
