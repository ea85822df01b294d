"""The supervisor: order, restarts, an end that leaves nothing, also when it is killed itself."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import psutil
import pytest

from neural_hive import supervisor
from neural_hive.settings import load_settings
from neural_hive.state import NOT_READY, RUNNING, DataInUse, State, held, is_running, running_state
from neural_hive.supervisor import Kept, Service

TIMEOUT_S = 90.0
T = TypeVar("T")
Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts the small system on the test's folder."""
    started: list[subprocess.Popen[str]] = []

    def run(*code: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "tests.infra.small_system", str(tmp_path), *code]
        started.append(subprocess.Popen(command, stderr=subprocess.PIPE, text=True))
        return started[-1]

    yield run
    for process in started:
        process.kill()
        process.wait()
        if process.stderr:
            process.stderr.close()


def eventually(look: Callable[[], T | None]) -> T:
    """What `look` gives as soon as it gives something."""
    deadline = time.monotonic() + TIMEOUT_S
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(0.05)
    raise AssertionError("waited in vain")


def running(data: Path) -> State:
    """The state, once all runs."""

    def look() -> State | None:
        state = running_state(data)
        all_run = state and state.status == RUNNING and all(p.status == RUNNING for p in state.processes)
        return state if all_run else None

    return eventually(look)


def family(state: State) -> list[psutil.Process]:
    """Every process of the system, and what these started."""
    found = [psutil.Process(state.pid)]
    return found + found[0].children(recursive=True)


def gone(processes: list[psutil.Process]) -> bool:
    def alive(process: psutil.Process) -> bool:
        with contextlib.suppress(psutil.NoSuchProcess):
            return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
        return False

    return not any(alive(process) for process in processes)


def test_ordered_stop_leaves_no_process_and_no_file(start: Start, tmp_path: Path) -> None:
    supervisor = start()
    members = family(running(tmp_path))
    assert len(members) == 5  # the supervisor, two processes, and one child of each
    supervisor.terminate()
    assert supervisor.wait(TIMEOUT_S) == 0
    assert gone(members)
    assert (tmp_path / "ended").read_text().split() == ["second", "first"]
    assert [file.name for file in (tmp_path / "run").iterdir()] == ["lock"]
    assert not is_running(tmp_path)


def test_a_killed_process_is_started_again(start: Start, tmp_path: Path) -> None:
    start()
    before = running(tmp_path)
    psutil.Process(before.processes[1].pid).kill()

    def restarted() -> State | None:
        state = running(tmp_path)
        return state if state.processes[1].restarts == 1 else None

    after = eventually(restarted)
    assert after.processes[1].pid != before.processes[1].pid
    assert after.processes[1].last_exit_code == -9
    assert after.processes[0] == before.processes[0]
    assert (tmp_path / "logs" / "second.log").read_text().count("hello from second") == 2


def test_a_killed_supervisor_takes_its_processes_with_it(start: Start, tmp_path: Path) -> None:
    supervisor = start()
    state = running(tmp_path)
    members = family(state)
    supervisor.kill()
    eventually(lambda: gone(members) and not is_running(tmp_path))
    assert running_state(tmp_path) is None
    start()
    assert running(tmp_path).pid != state.pid


def test_a_process_that_cannot_start_is_reported_with_its_log(start: Start, tmp_path: Path) -> None:
    supervisor = start("import sys; sys.exit('no such thing as a free port')")
    _, report = supervisor.communicate(timeout=TIMEOUT_S)
    assert supervisor.returncode == 1
    assert "second ended 4 times while starting, last with exit code 1" in report
    assert "no such thing as a free port" in report
    assert (tmp_path / "ended").read_text().split() == ["first"]


def test_a_second_supervisor_is_refused(start: Start, tmp_path: Path) -> None:
    start()
    state = running(tmp_path)
    with (
        pytest.raises(DataInUse, match=f"already runs on .*process {state.pid}.*neural-hive down"),
        held(tmp_path),
    ):
        pass


def test_a_running_system_tells_its_addresses(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start()
    running(tmp_path)
    assert load_settings(data=tmp_path).kafka_bootstrap == "127.0.0.1:1"
    assert load_settings(data=tmp_path, running=False).kafka_bootstrap == "127.0.0.1:19092"
    monkeypatch.setenv("NEURAL_HIVE_KAFKA_BOOTSTRAP", "other:9")
    assert load_settings(data=tmp_path).kafka_bootstrap == "other:9"


def test_down_and_status_from_another_terminal(start: Start, tmp_path: Path) -> None:
    def command(*arguments: str) -> subprocess.CompletedProcess[str]:
        line = [sys.executable, "-m", "neural_hive.cli", *arguments, "--data", str(tmp_path)]
        return subprocess.run(line, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)

    supervisor = start()
    running(tmp_path)
    shown = command("status", "--json")
    assert shown.returncode == 0
    assert '"name":"second","status":"running"' in shown.stdout
    assert command("down").returncode == 0
    assert supervisor.wait(TIMEOUT_S) == 0
    stopped = command("status")
    assert stopped.returncode == 3
    assert "nothing runs" in stopped.stdout


def test_a_port_that_was_taken_meanwhile_is_told_at_the_first_end(start: Start, tmp_path: Path) -> None:
    process = start("import sys; sys.exit('bind: Address already in use')")
    _, report = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 1
    assert "second found its port in use" in report
    assert (tmp_path / "logs" / "second.log").read_text().count("already in use") == 1


def service_of(tmp_path: Path, code: str, is_ready: Callable[[int], bool], **changes: float) -> Kept:
    """A service under no supervisor."""
    log = tmp_path / "one.log"
    return Kept(
        Service("one", lambda: [sys.executable, "-c", code], is_ready, dict(os.environ), log, **changes)
    )


def looked_at(kept: Kept, look: Callable[[], bool]) -> None:
    """Looks after the service until something is true of it."""

    def again() -> bool:
        kept.look()
        return look()

    eventually(again)


def test_what_lives_but_is_not_ready_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "NOT_READY_S", 0.3)
    monkeypatch.setattr(supervisor, "READY_CHECK_S", 0.05)
    ready = tmp_path / "ready"
    kept = service_of(tmp_path, "import time; time.sleep(1000)", lambda _: ready.exists())
    kept.start()
    try:
        ready.touch()
        looked_at(kept, lambda: kept.status == RUNNING)
        ready.unlink()
        looked_at(kept, lambda: kept.status == NOT_READY)
        ready.touch()
        looked_at(kept, lambda: kept.status == RUNNING)
        assert kept.child is not None
        kept.child.signal(signal.SIGSTOP)
        looked_at(kept, lambda: kept.status == NOT_READY)
        kept.child.signal(signal.SIGCONT)
        looked_at(kept, lambda: kept.status == RUNNING)
        assert kept.restarts == 0
    finally:
        assert kept.child is not None
        kept.child.kill()


def test_the_pause_before_a_restart_is_capped_and_forgotten_after_a_healthy_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []
    monkeypatch.setattr(supervisor, "STABLE_S", 0.5)
    kept = service_of(tmp_path, "import time; time.sleep(1000)", lambda _: True, backoff_max_s=1.0)
    kept.start()
    for run_s in (0.0, 0.0, 0.0, 0.0, 0.0, 0.7):
        looked_at(kept, lambda: kept.status == RUNNING)
        time.sleep(run_s)
        assert kept.child is not None
        kept.child.kill()
        ended_at = time.monotonic()
        looked_at(kept, lambda: kept.status != RUNNING)
        looked_at(kept, lambda: kept.child is not None)
        slept.append(time.monotonic() - ended_at)
    assert kept.child is not None
    kept.child.kill()
    assert [pause >= least for pause, least in zip(slept, (0.25, 0.5, 1, 1, 1, 0.25), strict=True)] == [
        True
    ] * 6
    assert slept[4] < 3.5, "without a cap it is 4 s"
    assert slept[5] < slept[4]
