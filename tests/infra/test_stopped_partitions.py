"""A process with a stopped partition works on for the others, and says so to whoever asks."""

import fcntl
import json
import os
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from typer.testing import CliRunner, Result

from neural_hive.cli import build
from neural_hive.process import metrics_url, process, ready_file, stopped_partitions
from neural_hive.settings import Settings
from neural_hive.state import RUNNING, ProcessState, State, held, write_state
from neural_hive.streams.kernel.acceptance import FILE

WHY = {"orchestrator.2": "BrokenLog: two events claim one place"}


def _asked(url: str) -> tuple[int, dict[str, object]]:
    with urllib.request.urlopen(url, timeout=30) as answer:
        return answer.status, json.loads(answer.read())


def test_ready_and_health_name_it(tmp_path: Path) -> None:
    with process(Settings(data=tmp_path), "processor") as readiness:
        base = metrics_url(tmp_path, "processor", os.getpid()).removesuffix("/metrics")
        readiness()
        readiness.tell_stopped(WHY)
        for page in ("ready", "health"):
            code, told = _asked(f"{base}/{page}")
            assert (code, told["stopped"]) == (200, WHY)
        readiness.tell_stopped({})
        assert "stopped" not in _asked(f"{base}/health")[1]
        readiness.tell_stopped(WHY)
    assert list((tmp_path / "run").iterdir()) == []


def test_a_process_that_was_killed_tells_nothing_any_more(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "processor-4194305.stopped").write_text(json.dumps(WHY))  # above the highest pid
    assert stopped_partitions(tmp_path) == {}


@contextmanager
def _running(data: Path) -> Iterator[None]:
    """A system of one process: this one."""
    with held(data), process(Settings(data=data, metrics=False), "processor") as readiness:
        assert ready_file(data, "processor", os.getpid()).parent.is_dir()
        readiness.tell_stopped(WHY)
        mine = ProcessState("processor", RUNNING, os.getpid(), None, 0, None, "log")
        write_state(data, State(RUNNING, os.getpid(), "now", str(data), {}, [], [mine]))
        yield


def _run(*arguments: str) -> Result:
    return CliRunner().invoke(build(list(arguments)), list(arguments))


def test_status_names_it_and_ends_with_1(tmp_path: Path) -> None:
    with _running(tmp_path):
        shown = _run("status", "--data", str(tmp_path))
        assert shown.exit_code == 1
        assert "stopped: partition orchestrator.2, the others go on" in " ".join(shown.output.split())
        told = _run("status", "--data", str(tmp_path), "--json")
        assert json.loads(told.output)["processes"][0]["stopped_partitions"] == WHY


def _recover(data: Path, *options: str) -> tuple[int, str]:
    done = _run("recover", "orchestrator", "--data", str(data), *options)
    return done.exit_code, " ".join((done.output + str(done.exception or "")).split())


def _accepted(data: Path) -> set[str]:
    return {str(file.parent.relative_to(data / "processors")) for file in data.rglob(FILE)}


def test_recover_leaves_a_word_with_stopped_partitions_of_a_running_system(tmp_path: Path) -> None:
    workers = tmp_path / "processors" / "orchestrator"
    for place in ("worker-0/1", "worker-0/2", "worker-1/2"):
        (workers / place).mkdir(parents=True)
    word = ("--accept-log", "the disk was lost")
    with (workers / "worker-0" / "lock").open("a") as lock, _running(tmp_path):
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        code, told = _recover(tmp_path, *word, "--partition", "1")
        assert code != 0 and "partitions 1 are not stopped" in told
        assert _accepted(tmp_path) == set()
        code, told = _recover(tmp_path, *word)
        assert (code, told) == (0, "1 partitions of orchestrator will accept their log within seconds")
        assert _accepted(tmp_path) == {"orchestrator/worker-0/2", "orchestrator/worker-1/2"}


def test_recover_leaves_no_word_with_partitions_that_work(tmp_path: Path) -> None:
    worker = tmp_path / "processors" / "orchestrator" / "worker-0"
    (worker / "0").mkdir(parents=True)
    with (worker / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        code, told = _recover(tmp_path, "--accept-log", "just in case")
        assert code != 0 and "no partition is stopped" in told
    code, told = _recover(tmp_path, "--accept-log", "just in case")
    assert (code, told) == (0, "1 partitions of orchestrator will accept their log at the next start")
    assert _accepted(tmp_path) == {"orchestrator/worker-0/0"}
