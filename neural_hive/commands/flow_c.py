"""`flow-c`: how the way from accepted plans to done work does, and whether it keeps its objectives."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from neural_hive.quiet import logs_to_stderr
from neural_hive.settings import load_settings

if TYPE_CHECKING:
    from neural_hive.flow_c import FlowCStatus, Objective

_MET = {True: "[green]met[/]", False: "[red]not met[/]", None: "nothing has ended yet"}


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("flow-c")(flow_c)


def flow_c(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document")] = False,
    hours: Annotated[
        float, typer.Option(min=0, help="Only workflows that ended within so many hours; 0: all")
    ] = 0,
    data: Annotated[
        Path | None, typer.Option("--data", help="Data folder [default: .neural-hive]", file_okay=False)
    ] = None,
    config: Annotated[
        Path | None, typer.Option("--config", help="Settings file (TOML or YAML)", dir_okay=False)
    ] = None,
) -> None:
    """Show how Flow C does, and whether it keeps its objectives. The exit code is 0 either way."""
    from neural_hive.connectors.clickhouse import ClickHouse
    from neural_hive.flow_c import flow_c_status

    settings = load_settings(config, data=data)
    password = settings.password_of(settings.clickhouse_user)
    logs_to_stderr()
    with ClickHouse.of(settings, password, secure=settings.clickhouse_secure) as client:
        status = flow_c_status(client, hours)
    if as_json:
        sys.stdout.buffer.write(msgspec.json.format(msgspec.json.encode(status)) + b"\n")
    else:
        _show(status)


def _show(status: "FlowCStatus") -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    figures = Table(box=None, show_header=False)
    for name in status.__struct_fields__:
        value = getattr(status, name)
        if name != "objectives":
            figures.add_row(name, _figure(value))
    console.print(figures)
    objectives = Table("objective", "target", "is", "", box=None, header_style="bold")
    for found in status.objectives:
        objectives.add_row(found.name, found.target, _figure(found.value), _verdict(found))
    console.print(objectives)


def _verdict(objective: "Objective") -> str:
    return _MET[objective.met]


def _figure(value: float | None) -> str:
    if value is None:
        return "-"
    return str(value) if isinstance(value, int) else f"{value:,.3f}".rstrip("0").rstrip(".")
