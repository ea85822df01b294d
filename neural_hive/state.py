"""What a running system says of itself: `run/state.json` in its data folder, true while the lock is held."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

STARTING: Final = "starting"
RUNNING: Final = "running"
WAITING: Final = "waiting to restart"
STOPPING: Final = "stopping"


class DataInUse(RuntimeError):
    """Another system runs on the data folder."""


class ProcessState(msgspec.Struct, frozen=True):
    """One process of the system; `created_at` (seconds, this machine's clock) tells reused pids apart."""

    name: str
    status: str
    pid: int | None
    created_at: float | None
    restarts: int
    last_exit_code: int | None
    log: str


class State(msgspec.Struct, frozen=True):
    """The system as a whole. `endpoints` are settings that reach it, by their names."""

    status: str
    pid: int
    started_at: str
    data: str
    endpoints: dict[str, str]
    notes: list[str]
    processes: list[ProcessState]


def run_folder(data: Path) -> Path:
    """Where a running system keeps its lock, its state and the ready files of its processes."""
    return data / "run"


def write_state(data: Path, state: State) -> None:
    """Replaces the state; a reader sees the old or the new one, never half of it."""
    file = run_folder(data) / "state.json"
    draft = file.with_suffix(".new")
    draft.write_bytes(msgspec.json.format(msgspec.json.encode(state)))
    draft.replace(file)


def last_state(data: Path) -> State | None:
    """The state as it was last written, by a system that may be gone."""
    try:
        return msgspec.json.decode((run_folder(data) / "state.json").read_bytes(), type=State)
    except (OSError, msgspec.MsgspecError):
        return None


def running_state(data: Path) -> State | None:
    """The state of the system that runs on this data folder now; None if none does."""
    return last_state(data) if is_running(data) else None


def is_running(data: Path) -> bool:
    """True while a supervisor holds the data folder."""
    try:
        with (run_folder(data) / "lock").open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


@contextlib.contextmanager
def held(data: Path) -> Iterator[None]:
    """Holds the data folder for this supervisor. Raises DataInUse if another one has it."""
    run_folder(data).mkdir(parents=True, exist_ok=True)
    with (run_folder(data) / "lock").open("a+b") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            other = last_state(data)
            who = f" (process {other.pid})" if other else ""
            raise DataInUse(
                f"a system already runs on {data}{who}. Stop it with `neural-hive down --data {data}`, "
                "or choose another folder with --data"
            ) from None
        os.set_inheritable(file.fileno(), False)
        yield
