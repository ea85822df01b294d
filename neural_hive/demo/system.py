"""A whole system for as long as the demo needs it: started on free ports, stopped in order, nothing left."""

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import psutil

from neural_hive.connectors.child import Child, tail
from neural_hive.settings import PREFIX
from neural_hive.state import RUNNING, State, running_state
from neural_hive.system import command_line

START_TIMEOUT_S: Final = 600.0  # the first start downloads
STOP_TIMEOUT_S: Final = 120.0
_KEPT_VARIABLES: Final = (f"{PREFIX}CACHE",)


class DemoFailed(Exception):
    """Something is not as it must be; the text says what, and where to look."""


def own_environment() -> dict[str, str]:
    """The environment without settings that would lead the demo to another system."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(PREFIX) or name in _KEPT_VARIABLES
    }


@contextlib.contextmanager
def running_system(data: Path, tell: Callable[[str], None]) -> Iterator[State]:
    """Starts a system on a data folder, and stops it. Raises DemoFailed: it does not start, or leaves processes."""
    log = data / "logs" / "supervisor.log"
    # Tied to us: if the demo is killed, the supervisor is, and all that it started.
    supervisor = Child(command_line("up", "--data", str(data)), log, environment=own_environment())
    pids: list[int] = [supervisor.pid]
    try:
        state = _wait(data, supervisor, log, tell)
        pids += [process.pid for process in state.processes if process.pid]
        yield state
    finally:
        tell("stopping")
        in_order = supervisor.stop(STOP_TIMEOUT_S)
    left = [pid for pid in pids if psutil.pid_exists(pid)]
    if not in_order or left:
        raise DemoFailed(f"the system did not stop in order (processes left: {left}); its log is {log}")


def _wait(data: Path, supervisor: Child, log: Path, tell: Callable[[str], None]) -> State:
    until = time.monotonic() + START_TIMEOUT_S
    while supervisor.alive and time.monotonic() < until:
        state = running_state(data)
        if state:
            tell(_progress(state))
            if state.status == RUNNING:
                return state
        time.sleep(0.1)
    raise DemoFailed(f"the system did not start:\n{tail(log)}")


def _progress(state: State) -> str:
    return "starting: " + ", ".join(
        process.name if process.status == RUNNING else f"{process.name} …" for process in state.processes
    )
