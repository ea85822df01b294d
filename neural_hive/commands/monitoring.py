"""`monitoring write`: Grafana dashboards and Prometheus rules, and the page of all metrics."""

from pathlib import Path
from typing import Annotated

import typer

PAGE = "metrics.md"


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    group = typer.Typer(help="Write Grafana dashboards and Prometheus rules as files.", no_args_is_help=True)
    group.callback()(lambda: None)
    group.command()(write)
    app.add_typer(group, name="monitoring")


def write(
    folder: Annotated[Path, typer.Argument(help="Where to write, such as deploy", file_okay=False)],
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; exit code 1 if a file differs")
    ] = False,
    page: Annotated[
        Path | None, typer.Option(help="Also the page that names every metric, to this file", dir_okay=False)
    ] = None,
) -> None:
    """Write what this build knows: dashboards, alert rules and targets; only what differs is touched."""
    from neural_hive.monitoring.files import differing
    from neural_hive.monitoring.files import write as write_files
    from neural_hive.monitoring.page import metrics_page

    changed = [str(folder / name) for name in (differing(folder) if check else write_files(folder))]
    if page is not None:
        text = metrics_page()
        if not page.is_file() or page.read_text() != text:
            changed.append(str(page))
            if not check:
                page.write_text(text)
    word = "differs" if check else "written"
    for name in changed:
        typer.echo(f"{word}: {name}")
    if check and changed:
        raise typer.Exit(1)
    if not changed:
        typer.echo("all files are up to date")
