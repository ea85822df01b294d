"""`agents`: who does the work, as the read model has it."""

import sys
from datetime import UTC
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
import typer

from neural_hive.settings import load_settings

AGENTS_MAX: Final = 10_000
_SHOWN: Final = ("agent_id", "status", "load", "success_rate", "latency_ms", "seen_at")
_COLUMNS: Final = (*_SHOWN, "agent_type", "capacity", "capabilities", "task_types", "reason")


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command()(agents)


def agents(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON list")] = False,
    gone: Annotated[bool, typer.Option("--gone", help="Those too that have left or were removed")] = False,
    data: Annotated[
        Path | None, typer.Option("--data", help="Data folder [default: .neural-hive]", file_okay=False)
    ] = None,
    config: Annotated[
        Path | None, typer.Option("--config", help="Settings file (TOML or YAML)", dir_okay=False)
    ] = None,
) -> None:
    """Show the agents that do the work, and how each is doing."""
    found = _read(gone, data, config)
    if as_json:
        sys.stdout.buffer.write(msgspec.json.format(msgspec.json.encode(found)) + b"\n")
    else:
        _show(found)


def _read(gone: bool, data: Path | None, config: Path | None) -> list[dict[str, Any]]:
    from neural_hive.connectors.clickhouse import ClickHouse

    settings = load_settings(config, data=data)
    known = "1" if gone else "status NOT IN ('REMOVED', 'DEREGISTERED')"
    sql = f"SELECT {', '.join(_COLUMNS)} FROM agents WHERE {known} ORDER BY agent_id LIMIT {AGENTS_MAX}"
    user = settings.clickhouse_user
    with ClickHouse.of(settings, settings.password_of(user), secure=settings.clickhouse_secure) as client:
        rows = client.rows(sql)
    return [_agent(dict(zip(_COLUMNS, row, strict=True))) for row in rows]


def _agent(row: dict[str, Any]) -> dict[str, Any]:
    return {**row, "seen_at": row["seen_at"].replace(tzinfo=UTC)}


def _show(found: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    if not found:
        Console().print("no agent is registered")
        return
    table = Table(*(name.replace("_", " ") for name in _SHOWN), "can do")
    for agent in found:
        agent["seen_at"] = f"{agent['seen_at']:%Y-%m-%d %H:%M:%S}"
        can = (*agent["capabilities"], *agent["task_types"])
        table.add_row(*("" if agent[name] is None else str(agent[name]) for name in _SHOWN), ", ".join(can))
    Console().print(table)
