"""`recover`: a person's word that a damaged log shall count."""

import fcntl
import getpass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from neural_hive.process import stopped_partitions
from neural_hive.settings import load_settings


class NothingToRecover(RuntimeError):
    """There is no state that could be in the way; the text says where it was looked for."""


class StillRunning(RuntimeError):
    """The system's workers run, and the partitions are not stopped."""


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command()(recover)


def recover(
    system: Annotated[str, typer.Argument(help="The system whose partitions stopped, such as orchestrator")],
    accept_log: Annotated[str, typer.Option(help="Why the log as it is shall count: recorded as an event")],
    partition: Annotated[list[int] | None, typer.Option(help="Only these partitions [default: all]")] = None,
    by: Annotated[str, typer.Option(help="Who says so")] = "",
    data: Annotated[Path | None, typer.Option("--data", file_okay=False, help="Data folder")] = None,
    config: Annotated[Path | None, typer.Option("--config", dir_okay=False, help="Settings file")] = None,
) -> None:
    """Go on with a log that lost or changed committed events. Look at `replay verify` and the archive first.

    A stopped partition of a system that runs acts on it within seconds, any other one at its next start: it keeps its
    old state aside, folds the log as it is, and records your word as its first event. A partition whose log is whole
    forgets your word.
    """
    from neural_hive.connectors.personal import Personal
    from neural_hive.streams.kernel.acceptance import Acceptance, accept

    if not accept_log.strip():
        raise typer.BadParameter("give a reason", param_hint="--accept-log")
    settings = load_settings(config, running=False, data=data)
    root = settings.data / "processors" / system
    wanted = set(partition or ())
    at_work = _running(root)
    if at_work:
        wanted = _stopped(settings.data, system, wanted, at_work)
    folders = [f for f in _partition_folders(root) if not wanted or int(f.name) in wanted]
    if not folders:
        raise NothingToRecover(f"no partition of {system} has a state in {root}")
    who = Personal.of(settings).hide(by or getpass.getuser(), "requested_by")
    acceptance = Acceptance(accept_log.strip(), who)
    for folder in folders:
        accept(folder, acceptance)
    count = len({folder.name for folder in folders})
    when = "within seconds" if at_work else "at the next start"
    Console().print(f"{count} partitions of {system} will accept their log {when}")


def _running(root: Path) -> list[str]:
    """The workers that hold their slots."""
    found = []
    for worker in sorted(root.glob("worker-*")):
        with (worker / "lock").open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                found.append(worker.name)
    return found


def _stopped(data: Path, system: str, wanted: set[int], at_work: list[str]) -> set[int]:
    """The partitions that are stopped, of those wanted. Raises StillRunning: one that works has nothing to accept."""
    told = (name.rpartition(".") for name in stopped_partitions(data))
    stopped = {int(number) for name, _, number in told if name == system}
    others = sorted(wanted - stopped) if wanted else []
    if others or not stopped:
        which = f"partitions {', '.join(map(str, others))} are" if others else "no partition is"
        raise StillRunning(
            f"{', '.join(at_work)} of {system} run, and {which}{' not' if others else ''} stopped: there is nothing to "
            "accept. To leave your word with partitions that work, stop the system first"
        )
    return wanted or stopped


def _partition_folders(root: Path) -> list[Path]:
    """The partitions' folders of all workers."""
    workers = sorted(root.glob("worker-*"))
    return [folder for worker in workers for folder in sorted(worker.iterdir()) if folder.name.isdigit()]
