"""`demo`: the whole way of three plans, for real, on a system of its own."""

import shutil
import signal
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from neural_hive.settings import keys_beside
from neural_hive.state import made

NEXT = """\
What to try next:
  neural-hive up --detach
  echo 'tasks: [{task_id: hello, command: [echo, hello]}]' > hello.yaml
  neural-hive publish plan hello.yaml --wait
  neural-hive query "SELECT event_type, count() FROM events GROUP BY 1 ORDER BY 2 DESC"
  neural-hive replay verify
  neural-hive down"""


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command()(demo)


def demo(
    keep: Annotated[
        Path | None, typer.Option(help="Keep the data in this folder [default: removed]", file_okay=False)
    ] = None,
) -> None:
    """Start a system, run three plans to their ends and check the outcomes. Exit code 0 if all is as it must be."""
    from neural_hive.demo.system import DemoFailed
    from neural_hive.demo.tour import run

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is stopped
    console = Console()
    data = keep.absolute() if keep else Path(tempfile.mkdtemp(prefix="neural-hive-demo-"))
    made(data)
    try:
        run(data, console)
    except DemoFailed as failure:
        Console(stderr=True).print(f"the demo failed: {failure}", style="red", highlight=False, markup=False)
        raise typer.Exit(1) from None
    finally:
        if not keep:
            shutil.rmtree(data, ignore_errors=True)
            shutil.rmtree(keys_beside(data), ignore_errors=True)
    console.print("[green]✔[/] all is as it must be; nothing is left running")
    console.print(f"The data is kept in {data}" if keep else "The data was removed; --keep FOLDER keeps it")
    console.out(_next(), highlight=False)


def _next() -> str:
    """What to try, as it can be typed where this was started."""
    if shutil.which("neural-hive"):
        return NEXT
    activate = Path(sys.executable).with_name("activate")
    head, _, commands = NEXT.partition("\n")
    return f"{head}\n  source {_near(activate)}\n{commands}" if activate.exists() else NEXT


def _near(file: Path) -> Path:
    return file.relative_to(Path.cwd()) if file.is_relative_to(Path.cwd()) else file
