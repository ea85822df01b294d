"""A whole system seals its log, a witness watches it, and a proof holds without either."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

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


def verified(hive: Hive) -> dict[str, Any]:
    """What `verify` says of the seal of a log that is as it was sealed."""
    report = hive.verify()
    assert report["findings"] == [], report
    skipped = {outcome["check"]: outcome["skipped"] for outcome in report["outcomes"]}
    assert not skipped["log equals its seal"] and not skipped["checkpoints agree with the witness"]
    seal: dict[str, Any] = report["seal"]
    assert seal["file"] == "agrees"
    return seal


def seals(hive: Hive) -> int:
    file = hive.data / "seal" / "seals.jsonl"
    return len(file.read_bytes().splitlines()) if file.exists() else 0


def proof_of(hive: Hive, event: str, file: Path) -> bool:
    """Whether the proof could be written: the event is sealed, and a witness has cosigned that."""
    done = hive.run("replay", "prove", event, "--out", str(file))
    return done.returncode == 0 and file.read_text().count("— ") == 2


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_log_is_sealed_witnessed_and_proven(hive: Hive, tmp_path: Path) -> None:
    plan = tmp_path / "plan.yaml"
    plan.write_text(PLAN)
    assert hive.run("publish", "plan", str(plan), "--wait").returncode == 0
    sql = "SELECT event_id FROM events WHERE event_type = 'TicketCompleted'"
    event = eventually(lambda: [row["event_id"] for row in hive.rows(sql)])[0]
    proof = tmp_path / "proof.json"
    eventually(lambda: proof_of(hive, event, proof))
    before = verified(hive)
    assert before["records"] and list(before["witnessed"].values()) > [0]

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

    for name in ("sealer", "witness"):
        hive.wait_replaced(name, hive.signal(name))
    count = seals(hive)
    assert hive.run("publish", "plan", str(plan), "--wait").returncode == 0
    eventually(lambda: seals(hive) > count)
    after = verified(hive)
    assert after["records"] > before["records"]
    assert after["checkpoints"] > before["checkpoints"]


def _check(proof: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """As an auditor runs it: on another machine, where nothing of the system is."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("NEURAL_HIVE_")}
    line = [sys.executable, "-m", "neural_hive.cli", "replay", "check-proof", str(proof), *options]
    return subprocess.run(line, capture_output=True, text=True, check=False, env=clean, cwd=proof.parent)
