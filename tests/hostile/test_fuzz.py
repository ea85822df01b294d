"""A few thousand hostile inputs, as `make fuzz` sends by the million, and plan files that once ended in a traceback."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from neural_hive.plans import BadPlan, plan_from, read_plan

INPUTS = 6_400


def test_hostile_inputs_end_in_words() -> None:
    command = [sys.executable, "-m", "tests.hostile.run", str(INPUTS)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{INPUTS:,} inputs" in done.stdout


def test_half_a_character_is_named(tmp_path: Path) -> None:
    content = {"requested_by": "\ud800", "tasks": [{"task_id": "a", "command": ["x"]}]}
    with pytest.raises(BadPlan, match="half a character"):
        plan_from(content)
    file = tmp_path / "plan.json"
    file.write_text(json.dumps(content))
    with pytest.raises(BadPlan, match="half a character"):
        read_plan(file)


def test_a_key_that_is_a_nul_does_not_confuse_places(tmp_path: Path) -> None:
    file = tmp_path / "plan.json"
    file.write_text(json.dumps({"tasks": [{"task_id": "a", "\0": [1, 2], "command": ["x"]}]}))
    with pytest.raises(BadPlan, match="there is no such field"):
        read_plan(file)


def test_a_field_with_a_name_of_a_megabyte_is_named_in_short(tmp_path: Path) -> None:
    with pytest.raises(BadPlan) as caught:
        plan_from({"tasks": [], "x" * 1_000_000: 1})
    assert all(len(line) < 500 for line in caught.value.errors)
