"""`agents`: who does the work, as the read models have it; and who would get a piece of it."""

import sys
from datetime import UTC
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
import typer

from neural_hive.quiet import logs_to_stderr
from neural_hive.settings import Settings, load_settings

AGENTS_MAX: Final = 10_000
TOP: Final = 10
_COLUMNS: Final = (
    *("agent_id", "status", "load", "success_rate", "latency_ms", "seen_at"),
    *("agent_type", "capacity", "capabilities", "task_types", "reason"),
)
_SHOWN: Final[tuple[str, ...]] = (
    *("agent_id", "status", "held", "waiting", "capacity", "load", "success_rate", "latency_ms", "seen_at"),
)
_SCORES: Final = ("score", "health", "pheromone", "telemetry")
_MATCHED: Final[tuple[str, ...]] = ("agent_id", *_SCORES, "held", "waiting", "capacity")


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command()(agents)


def agents(
    capability: Annotated[
        list[str] | None,
        typer.Option("--capability", help="Only who has it, the best for the work first; repeatable"),
    ] = None,
    task_type: Annotated[
        str | None,
        typer.Option("--task-type", help="Only who takes such tasks, the best first: BUILD, TEST, …"),
    ] = None,
    domain: Annotated[
        str | None, typer.Option("--domain", help="Whose trails count [default: the task type]")
    ] = None,
    top: Annotated[
        int | None, typer.Option("--top", help=f"The best N [default: {TOP}]", min=1, max=1_000)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON list")] = False,
    gone: Annotated[bool, typer.Option("--gone", help="Those too that have left or were removed")] = False,
    data: Annotated[
        Path | None, typer.Option("--data", help="Data folder [default: .neural-hive]", file_okay=False)
    ] = None,
    config: Annotated[
        Path | None, typer.Option("--config", help="Settings file (TOML or YAML)", dir_okay=False)
    ] = None,
) -> None:
    """Show the agents that do the work, and how each is doing; or the best for a piece of work, by their score."""
    settings = load_settings(config, data=data)
    if capability or task_type or domain or top:
        if gone:
            raise typer.BadParameter("who is gone gets no work: leave it out", param_hint="--gone")
        found = _match(settings, tuple(capability or ()), task_type, domain or "", top or TOP)
        shown, empty = _MATCHED, "no healthy agent can do it"
    else:
        found = _read(settings, gone)
        shown, empty = _SHOWN, "no agent is registered"
    if as_json:
        sys.stdout.buffer.write(msgspec.json.format(msgspec.json.encode(found)) + b"\n")
    else:
        _show(found, shown, empty)


def _match(
    settings: Settings, capabilities: tuple[str, ...], task_type: str | None, domain: str, top: int
) -> list[dict[str, Any]]:
    from neural_hive.aggregates.aggregate import Rejected
    from neural_hive.aggregates.vocabulary import TaskType
    from neural_hive.discovery import Wanted, discover

    kinds = [kind for kind in TaskType if kind is not TaskType.UNKNOWN]
    wanted_type = task_type.upper() if task_type else None
    if wanted_type is not None and wanted_type not in kinds:
        raise typer.BadParameter(f"{task_type!r} is none of {', '.join(kinds)}", param_hint="--task-type")
    wanted = Wanted(capabilities, TaskType(wanted_type) if wanted_type else None, domain, top)
    with _tables(settings) as tables:
        try:
            return [msgspec.to_builtins(one) for one in discover(tables, wanted)]
        except Rejected as error:
            raise typer.BadParameter(str(error), param_hint="--domain") from error


def _read(settings: Settings, gone: bool) -> list[dict[str, Any]]:
    from neural_hive.discovery import Load, slot_loads

    known = "1" if gone else "status NOT IN ('REMOVED', 'DEREGISTERED')"
    sql = f"SELECT {', '.join(_COLUMNS)} FROM agents WHERE {known} ORDER BY agent_id LIMIT {AGENTS_MAX}"
    with _tables(settings) as tables:
        rows, loads = tables.rows(sql), slot_loads(tables)
    found = [_agent(dict(zip(_COLUMNS, row, strict=True))) for row in rows]
    return [agent | msgspec.to_builtins(loads.get(agent["agent_id"], Load())) for agent in found]


def _tables(settings: Settings) -> Any:
    from neural_hive.connectors.clickhouse import ClickHouse

    logs_to_stderr()
    user = settings.clickhouse_user
    return ClickHouse.of(settings, settings.password_of(user), secure=settings.clickhouse_secure)


def _agent(row: dict[str, Any]) -> dict[str, Any]:
    return {**row, "seen_at": row["seen_at"].replace(tzinfo=UTC)}


def _show(found: list[dict[str, Any]], shown: tuple[str, ...], empty: str) -> None:
    from rich.console import Console
    from rich.table import Table

    if not found:
        Console().print(empty)
        return
    can_do = ("can do",) if "capabilities" in found[0] else ()
    table = Table(*(name.replace("_", " ") for name in shown), *can_do)
    for agent in found:
        can = (", ".join((*agent["capabilities"], *agent["task_types"])),) if can_do else ()
        table.add_row(*(_text(name, agent[name]) for name in shown), *can)
    Console().print(table)


def _text(name: str, value: Any) -> str:
    if value is None:
        return ""
    if name == "seen_at":
        return f"{value:%Y-%m-%d %H:%M:%S}"
    return f"{value:.3f}" if name in _SCORES else str(value)
