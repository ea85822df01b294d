"""`recover`: a person's word that a damaged log shall count."""

import fcntl
import getpass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from neural_hive.settings import load_settings


class NothingToRecover(RuntimeError):
    """There is no state that could be in the way; the text says where it was looked for."""


class StillRunning(RuntimeError):
    """The system's workers must be stopped first."""


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

    At its next start a partition that finds its log broken keeps its old state aside, folds the log as it is, and
    records your word as its first event. A partition whose log is whole takes no notice.
    """
    from neural_hive.streams.kernel.acceptance import Acceptance, accept

    if not accept_log.strip():
        raise typer.BadParameter("give a reason", param_hint="--accept-log")
    root = load_settings(config, running=False, data=data).data / "processors" / system
    folders = [f for f in _partition_folders(root) if not partition or int(f.name) in partition]
    if not folders:
        raise NothingToRecover(f"no partition of {system} has a state in {root}")
    acceptance = Acceptance(accept_log.strip(), by or getpass.getuser())
    for folder in folders:
        accept(folder, acceptance)
    console = Console()
    console.print(f"{len(folders)} partitions of {system} will accept their log at the next start")


def _partition_folders(root: Path) -> list[Path]:
    """The partitions' folders of all workers. Raises StillRunning: a worker holds its slot."""
    found: list[Path] = []
    for worker in sorted(root.glob("worker-*")):
        with (worker / "lock").open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise StillRunning(f"{worker.name} of {root.name} is running: stop it first") from None
        found += [folder for folder in sorted(worker.iterdir()) if folder.name.isdigit()]
    return found
