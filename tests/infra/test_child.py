"""A child process: its log is capped, its group ends with it, and a thread's end does not end it."""

import signal
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from neural_hive.connectors import child as module
from neural_hive.connectors.child import Child, tail

WAIT_S = 30.0
STUBBORN = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print(subprocess.Popen(["sleep", "1000"]).pid, flush=True)
time.sleep(1000)
"""


def python(code: str, log: Path) -> Child:
    return Child([sys.executable, "-c", code], log)


def printed_pid(log: Path) -> int:
    """The pid that a process prints as its first words."""
    deadline = time.monotonic() + WAIT_S
    while not tail(log).isdigit():
        assert time.monotonic() < deadline, f"{log} holds no pid"
        time.sleep(0.05)
    return int(tail(log))


def test_output_and_exit_code_are_kept(tmp_path: Path) -> None:
    child = python("import sys; print('out', flush=True); sys.exit('err')", tmp_path / "logs" / "a.log")
    assert child.wait(WAIT_S)
    child.kill()
    assert child.exit_code == 1
    assert tail(tmp_path / "logs" / "a.log") == "out\nerr"


def test_the_log_does_not_grow_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOG_BYTES_MAX", 100_000)
    log = tmp_path / "a.log"
    child = python("for n in range(100_000): print(f'line {n:>20}')", log)
    assert child.wait(WAIT_S)
    child.kill()
    sizes = [file.stat().st_size for file in tmp_path.iterdir()]
    assert len(sizes) == 2
    assert max(sizes) <= 100_000 + 64 * 1024
    assert tail(log).endswith("99999")


def test_one_that_does_not_listen_is_killed_with_its_group(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    child = python(STUBBORN, log)
    grandchild = psutil.Process(printed_pid(log))
    assert child.stop(0.5) is False
    assert child.exit_code == -signal.SIGKILL
    psutil.wait_procs([grandchild], timeout=WAIT_S)
    assert not grandchild.is_running() or grandchild.status() == psutil.STATUS_ZOMBIE


def test_a_child_outlives_the_thread_that_asked_for_it(tmp_path: Path) -> None:
    started: list[Child] = []
    thread = threading.Thread(
        target=lambda: started.append(python("import time; time.sleep(1000)", tmp_path / "a.log"))
    )
    thread.start()
    thread.join()
    assert not started[0].wait(1)
    started[0].kill()
    assert started[0].exit_code == -signal.SIGKILL
