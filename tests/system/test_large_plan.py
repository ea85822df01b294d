"""A plan of thousands of tasks on the real system: each done once and in order, and no process swells."""

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from neural_hive.process import ready_file
from neural_hive.state import running_state
from tests.system.hive import Hive, eventually
from tests.system.test_kills import ROOT, check_log, check_tables, ended

pytestmark = pytest.mark.long

TASKS = int(os.environ.get("LARGE_PLAN_TASKS", "3000"))
SEED = int(os.environ.get("LARGE_PLAN_SEED", "1"))
CAPACITY = 128
NEEDS_MAX = 4
PROCESSOR_BYTES_MAX = 1 << 30
PROJECTOR_BYTES_MAX = 1 << 30


@pytest.fixture
def hive(tmp_path: Path) -> Iterator[Hive]:
    system = Hive(tmp_path, worker_task_types='["EXECUTE"]', metrics="false")
    system.up()
    try:
        yield system
    finally:
        system.run("down")


@pytest.fixture
def agent(hive: Hive) -> Iterator[None]:
    """An agent whose work is nothing."""
    log = (hive.data / "agent.log").open("wb")
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.chaos.agent", "idle", str(CAPACITY)],
        env={**os.environ, "NEURAL_HIVE_DATA": str(hive.data), "NEURAL_HIVE_METRICS": "false"},
        cwd=ROOT,
        stdout=log,
        stderr=log,
    )
    try:
        eventually(lambda: ready_file(hive.data, "idle", process.pid).exists())
        yield
    finally:
        process.terminate()
        process.wait(60)
        log.close()


def plan(random_: random.Random) -> dict[str, Any]:
    """Tasks in an order in which they can be done; each needs a few of those before it, wherever they stand."""
    types = ("BUILD", "TEST", "VALIDATE", "DEPLOY")
    needs = [random_.sample(range(n), min(n, random_.randint(0, NEEDS_MAX))) for n in range(TASKS)]
    tasks = [
        {
            "task_id": f"t{number}",
            "task_type": random_.choice(types),
            "dependencies": [f"t{needed}" for needed in needs[number]],
            "command": ["true"],
        }
        for number in range(TASKS)
    ]
    random_.shuffle(tasks)
    return {"plan_id": f"large-{SEED}", "tasks": tasks}


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_thousands_of_tasks_in_one_plan(hive: Hive, agent: None, tmp_path: Path) -> None:
    file = tmp_path / "large.json"
    file.write_text(json.dumps(plan(random.Random(SEED))))
    started = time.monotonic()
    done = hive.run("publish", "plan", str(file), "--wait", "--json", "--timeout", "600", timeout_s=700)
    took_s = time.monotonic() - started
    assert done.returncode == 0, done.stdout[-2_000:] + done.stderr
    bytes_of, cpu_s_of = used(hive)
    print(
        f"{TASKS} tasks, seed {SEED}: {took_s:.1f} s, {TASKS / took_s:.0f}/s; CPU s {cpu_s_of}; bytes {bytes_of}"
    )

    (workflow_id,) = ended(hive)
    check_log(hive, {workflow_id: TASKS})
    check_tables(hive, {workflow_id: TASKS})
    assert hive.log("dead.letters") == []
    report = hive.verify()
    assert report["exit_code"] == 0, report
    assert bytes_of["processor-orchestrator"] < PROCESSOR_BYTES_MAX, bytes_of
    assert bytes_of["projector"] < PROJECTOR_BYTES_MAX, bytes_of


def used(hive: Hive) -> tuple[dict[str, int], dict[str, int]]:
    """Resident bytes of each process of the system, and the CPU seconds that it has taken since it began."""
    state = running_state(hive.data)
    assert state is not None
    processes = {p.name: psutil.Process(p.pid) for p in state.processes if p.pid}
    cpu_s = {name: round(sum(process.cpu_times()[:2])) for name, process in processes.items()}
    return {name: process.memory_info().rss for name, process in processes.items()}, cpu_s
