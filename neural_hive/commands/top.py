"""`top`: how the system does, live."""

import time
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from neural_hive.commands.shown import (
    NARROW_CHARS,
    Config,
    Data,
    console,
    moment,
    plain,
    print_json,
    print_text,
    status,
)
from neural_hive.quiet import logs_to_stderr
from neural_hive.settings import load_settings

if TYPE_CHECKING:
    from rich.console import RenderableType

    from neural_hive.overview import Overlook, Overview

EVERY_S: Final = 2.0
RATE_S: Final = 1.0  # over which `--once` counts
REST: Final = 2.0  # in the time that a look takes: so much it leaves the servers alone
AGENTS_SHOWN: Final = 12
UNKNOWN: Final = "–"


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command()(top)


def top(
    once: Annotated[bool, typer.Option("--once", help="Look once, and end")] = False,
    every: Annotated[float, typer.Option("--every", help="Look every so many seconds", min=0.5)] = EVERY_S,
    as_json: Annotated[bool, typer.Option("--json", help="Look once, as one JSON document")] = False,
    data: Data = None,
    config: Config = None,
) -> None:
    """Watch the system: rates, lag, health, workflows, deadlines, agents, dead letters. Ctrl-C ends it.

    Where standard output is no terminal it looks once.
    """
    from neural_hive.commands.replay_source import systems_of
    from neural_hive.overview import Overlook

    logs_to_stderr()
    settings = load_settings(config, data=data)
    overlook = Overlook(settings, systems_of(settings))
    try:
        if as_json:
            print_json(_counted(overlook))
        elif once or not console().is_terminal:
            out = console()
            print_text(out, _shown(_counted(overlook), out.width))
        else:
            _watch(overlook, every)
    except KeyboardInterrupt:
        return
    finally:
        overlook.close()


def _counted(overlook: "Overlook") -> "Overview":
    """One look, with the rates of a second before it."""
    overlook.look()
    time.sleep(RATE_S)
    return overlook.look()


def _watch(overlook: "Overlook", every_s: float) -> None:
    from rich.live import Live

    out = console()
    with Live(console=out, screen=True, auto_refresh=False, vertical_overflow="crop") as live:
        while True:
            began = time.monotonic()
            live.update(_shown(overlook.look(), out.width), refresh=True)
            took_s = time.monotonic() - began
            time.sleep(max(every_s - took_s, took_s * REST))


def _shown(found: "Overview", width: int) -> "RenderableType":
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    left = [_processes(found), _readers(found)]
    right = [_work(found), _agents(found), _at_risk(found)]
    head = Text(f"{time.strftime('%Y-%m-%d %H:%M:%S', time.gmtime(found.at))} UTC", "dim")
    troubles = [Text(trouble, "red") for trouble in found.troubles]
    if width < NARROW_CHARS:
        return Group(head, *troubles, *left, *right)
    grid = Table.grid(padding=(0, 3))
    grid.add_row(Group(*left), Group(*right))
    return Group(head, *troubles, grid)


def _table(*names: str) -> Any:
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False)
    for number, name in enumerate(names):
        table.add_column(name, no_wrap=True, justify="left" if number < 2 else "right", overflow="ellipsis")
    return table


def _processes(found: "Overview") -> Any:
    table = _table("process", "status", "restarts")
    for process in found.processes:
        told = "running, but" if process.stopped_partitions else process.status
        table.add_row(plain(process.name), _state(told), str(process.restarts))
        for name, why in process.stopped_partitions.items():
            table.add_row(plain(f"  {name}"), plain(f"stopped: {why}"), "", style="red")
    return table


def _state(told: str) -> Any:
    text = plain(told)
    text.stylize("green" if told == "running" else "yellow")
    return text


def _readers(found: "Overview") -> Any:
    table = _table("reads the log", "", "lag", "records/s", "events/s")
    for reader in found.readers:
        figures = (reader.lag_records, reader.records_per_s, reader.events_per_s)
        table.add_row(plain(reader.name), "", *(_figure(figure) for figure in figures))
    return table


def _figure(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:,}"


def _work(found: "Overview") -> Any:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_row(Text("workflows", "bold"), _by_status(found.workflows))
    table.add_row(Text("tickets", "bold"), _by_status(found.tickets))
    letters = found.dead_letters
    told = UNKNOWN
    if letters is not None:
        told = f"{letters:,}, {found.dead_letters_last_hour or 0:,} of the last hour"
        told += f"; {found.dead_letters_redriven or 0:,} written again"
    table.add_row(Text("dead letters", "bold"), told)
    risk = found.at_risk_count
    table.add_row(Text("deadlines at risk", "bold"), Text(_figure(risk), "red" if risk else ""))
    return table


def _by_status(counts: dict[str, int] | None) -> Any:
    from rich.text import Text

    if counts is None:
        return UNKNOWN
    if not counts:
        return "none"
    parts = [(f"{count:,} ", status(name)) for name, count in sorted(counts.items(), key=lambda p: -p[1])]
    return Text("  ").join(Text.assemble(count, name) for count, name in parts)


def _agents(found: "Overview") -> Any:
    table = _table("agent", "status", "held", "waiting", "capacity", "success", "seen")
    for agent in (found.agents or ())[:AGENTS_SHOWN]:
        rate = agent["success_rate"]
        table.add_row(
            plain(agent["agent_id"]),
            status(agent["status"]),
            *(plain(agent[name]) for name in ("held", "waiting", "capacity")),
            UNKNOWN if rate is None else f"{rate:.0%}",
            moment(agent["seen_at"]),
        )
    if found.agents and len(found.agents) > AGENTS_SHOWN:
        table.add_row(f"… of {len(found.agents):,}", "", "", "", "", "", "")
    return table


def _at_risk(found: "Overview") -> Any:
    table = _table("at risk", "plan", "left, s")
    for one in found.at_risk:
        table.add_row(plain(one.workflow_id), plain(one.plan_id), f"{one.left_s:,}")
    return table if found.at_risk else ""
