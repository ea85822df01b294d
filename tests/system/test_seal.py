"""A whole system seals its log, a witness watches it, and a proof holds without either."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.hive import Hive, eventually

PLAN = "tasks:\n  - task_id: only\n    command: [echo, done]\n"


@pytest.fixture
def hive(tmp_path: Path) -> Iterator[Hive]:
    system = Hive(tmp_path / "data", seal_every_s="1", witness="true")
    system.up()
    try:
        yield system
    finally:
        system.down()


def checks(hive: Hive) -> dict[str, dict[str, object]]:
    report = hive.verify()
    assert report["findings"] == [], report
    return {outcome["check"]: outcome for outcome in report["outcomes"]}


def sizes(hive: Hive) -> tuple[int, int]:
    """Records that are sealed, and the last checkpoint that was witnessed."""
    seal = hive.verify()["seal"]
    if not seal or seal["unsealed_records"]:
        return 0, 0
    return seal["records"], max(seal["witnessed"].values(), default=0)


@pytest.mark.slow
def test_a_log_is_sealed_witnessed_and_proven(hive: Hive, tmp_path: Path) -> None:
    plan = tmp_path / "plan.yaml"
    plan.write_text(PLAN)
    assert hive.run("publish", "plan", str(plan), "--wait").returncode == 0
    eventually(lambda: all(sizes(hive)))
    outcomes = checks(hive)
    assert not outcomes["log equals its seal"]["skipped"]
    assert not outcomes["checkpoints agree with the witness"]["skipped"]

    [[event]] = [
        list(row.values())
        for row in hive.rows("SELECT event_id FROM events WHERE event_type = 'TicketCompleted'")
    ]
    proof = tmp_path / "proof.json"
    done = hive.run("replay", "prove", event, "--out", str(proof))
    assert done.returncode == 0, done.stderr
    keys = hive.data / "seal" / "seal.pub", hive.data / "witness" / "witness.pub"
    told = _check(proof, "--key", str(keys[0]), "--witness", str(keys[1]))
    assert told.returncode == 0, told.stderr
    assert "is in the log" in told.stdout and "witnessed by" in told.stdout
    forged = json.loads(proof.read_text())
    forged["leaf_index"] += 1
    proof.write_text(json.dumps(forged))
    told = _check(proof, "--key", str(keys[0]))
    assert told.returncode == 1
    assert told.stderr.startswith("error: ") and "Traceback" not in told.stderr

    saved = tmp_path / "checkpoint"
    assert hive.run("replay", "checkpoint", "1", "--out", str(saved)).returncode == 0
    done = hive.run("replay", "consistency", "--from", str(saved), "--to", "2")
    assert done.stdout.startswith("checkpoint 2 begins with checkpoint 1"), done.stderr

    before = sizes(hive)[0]
    for name in ("sealer", "witness"):
        hive.wait_replaced(name, hive.signal(name))
    assert hive.run("publish", "plan", str(plan), "--wait").returncode == 0
    eventually(lambda: sizes(hive)[0] > before)
    checks(hive)


def _check(proof: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """As an auditor runs it: on another machine, where nothing of the system is."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("NEURAL_HIVE_")}
    line = [sys.executable, "-m", "neural_hive.cli", "replay", "check-proof", str(proof), *options]
    return subprocess.run(line, capture_output=True, text=True, check=False, env=clean, cwd=proof.parent)
