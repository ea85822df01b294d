"""What a running system says of itself: `run/state.json` in its data folder, true while the lock is held."""

import contextlib
import fcntl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

import msgspec

STARTING: Final = "starting"
RUNNING: Final = "running"
NOT_READY: Final = "not ready"
WAITING: Final = "waiting to restart"
STOPPING: Final = "stopping"
STOPPED: Final = "stopped"
_LOCK_TRIES: Final = 5
_LOCK_PAUSE_S: Final = 0.1


class DataInUse(RuntimeError):
    """Another system runs on the data folder."""


class DataUnusable(RuntimeError):
    """The data folder cannot be written; the text says why, and what to do."""


class ProcessState(msgspec.Struct, frozen=True):
    """One process of the system; `created_at` (seconds, this machine's clock) tells reused pids apart."""

    name: str
    status: str
    pid: int | None
    created_at: float | None
    restarts: int
    last_exit_code: int | None
    log: str
    metrics_url: str = ""  # empty: it serves none, or not yet
    stopped_partitions: dict[str, str] = {}  # those that may not go on, and why


class State(msgspec.Struct, frozen=True):
    """The system as a whole. `endpoints` are settings that reach it, by their names."""

    status: str
    pid: int
    started_at: str
    data: str
    endpoints: dict[str, str]
    notes: list[str]
    processes: list[ProcessState]
    metrics_url: str = ""  # of the supervisor; empty: it serves none


def run_folder(data: Path) -> Path:
    """Where a running system keeps its lock, its state and the ready files of its processes."""
    return data / "run"


def made(folder: Path) -> Path:
    """Makes a folder in the data folder, if it is not there. Raises DataUnusable."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataUnusable(
            f"the folder {folder} cannot be made: {error.strerror}. Name another data folder with --data"
        ) from error
    return folder


def write_state(data: Path, state: State) -> None:
    """Replaces the state; a reader sees the old or the new one, never half of it."""
    file = _state_file(data)
    draft = file.with_suffix(".new")
    draft.write_bytes(msgspec.json.format(msgspec.json.encode(state)))
    draft.replace(file)


def state_before(data: Path) -> State | None:
    """The last state of the system that ran before on this data folder, if it did not stop in order."""
    return _read(_state_before_file(data))


def clear_state(data: Path) -> None:
    """Forgets the state: the system has stopped in order."""
    _state_file(data).unlink(missing_ok=True)
    _state_before_file(data).unlink(missing_ok=True)


def forget_processes(data: Path) -> None:
    """Removes what processes that have ended told of themselves: that they are ready, where their metrics are, what
    of theirs is stopped.
    """
    for pattern in ("*.ready", "*.metrics", "*.stopped"):
        for file in run_folder(data).glob(pattern):
            file.unlink(missing_ok=True)


def _state_file(data: Path) -> Path:
    return run_folder(data) / "state.json"


def _state_before_file(data: Path) -> Path:
    return run_folder(data) / "state-before.json"


def _read(file: Path) -> State | None:
    try:
        return msgspec.json.decode(file.read_bytes(), type=State)
    except (OSError, msgspec.MsgspecError):
        return None


def running_state(data: Path) -> State | None:
    """The state of the system that runs on this data folder now; None if none does."""
    return _read(_state_file(data)) if is_running(data) else None


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
    """Holds the data folder for this supervisor. Raises DataInUse if another one has it, DataUnusable."""
    with (made(run_folder(data)) / "lock").open("a+b") as file:
        if not _locked(file):
            other = _read(_state_file(data))
            who = f" (process {other.pid})" if other else ""
            raise DataInUse(
                f"a system already runs on {data}{who}. Stop it with `neural-hive down --data {data}`, "
                "or choose another folder with --data"
            )
        with contextlib.suppress(
            FileNotFoundError
        ):  # of a system that was killed: it must not pass for this one's
            _state_file(data).replace(_state_before_file(data))
        yield


def _locked(file: BinaryIO) -> bool:
    """Takes the lock; tries for a moment, because a look at it (`is_running`) holds it for an instant."""
    for _ in range(_LOCK_TRIES):
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        time.sleep(_LOCK_PAUSE_S)
    return False
