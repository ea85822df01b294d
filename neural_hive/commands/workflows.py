"""`workflows`, `tickets`: what is done, has been done and waits, as the read models have it."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from neural_hive.commands.shown import (
    LIMIT,
    AsJson,
    Config,
    Data,
    Limit,
    PageOf,
    Since,
    asked,
    console,
    moment,
    plain,
    print_json,
    print_page,
    print_text,
    since_us,
    status,
    tables_of,
)

if TYPE_CHECKING:
    from neural_hive.listing.listing import Listing

TICKETS_MAX: Final = 1_000  # of a workflow that is shown; a list of them goes on page by page
_WORKFLOW: Final = {
    "workflow_id": plain,
    "plan_id": plain,
    "status": status,
    "completed_count": plain,
    "task_count": plain,
    "priority": plain,
    "started_at": moment,
    "deadline_at": moment,
    "finished_at": moment,
    "waiting_reason": plain,
}
_TICKET: Final = {
    "ticket_id": plain,
    "task_id": plain,
    "status": status,
    "task_type": plain,
    "attempt": plain,
    "agent_id": plain,
    "started_at": moment,
    "finished_at": moment,
    "error": plain,
}
# What --json tells of each.
WORKFLOW_COLUMNS: Final = (
    *("workflow_id", "plan_id", "status", "priority", "risk_band", "requested_by"),
    *("task_count", "completed_count", "failed_count", "started_at", "deadline_at", "finished_at"),
    *("duration_ms", "waiting_reason", "reason"),
)
TICKET_COLUMNS: Final = (
    *("ticket_id", "task_id", "task_type", "status", "attempt", "agent_id", "priority", "workflow_id"),
    *("plan_id", "created_at", "started_at", "finished_at", "deadline_at", "exit_code", "error"),
)
STEP_COLUMNS: Final = (
    *("version", "event_type", "status", "occurred_at", "attempt", "agent_id", "requested_by", "error"),
)
_STEPS: Final = (
    f"SELECT {', '.join(STEP_COLUMNS)} FROM ticket_history WHERE ticket_id = {{ticket_id:String}} "
    f"ORDER BY occurred_at DESC, version DESC LIMIT {TICKETS_MAX}"
)
_OF_ONE: Final = (
    "task_id",
    "status",
    "attempt",
    "agent_id",
    "started_at",
    "finished_at",
    "ticket_id",
    "error",
)
_STEP: Final = {
    "version": plain,
    "occurred_at": moment,
    "event_type": plain,
    "status": status,
    "attempt": plain,
    "agent_id": plain,
    "error": plain,
}
Statuses = Annotated[
    list[str] | None, typer.Option("--status", help="Only with this status, such as RUNNING; repeatable")
]
Plans = Annotated[
    list[str] | None, typer.Option("--plan", help="Only of plans of this name, with * and ?; repeatable")
]
Priorities = Annotated[list[str] | None, typer.Option("--priority", help="Only of this one; repeatable")]


class NoSuch(LookupError):
    """Nothing of this id is known; the text says what to do."""


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    workflows = typer.Typer(help="List workflows, the newest first; show one.", invoke_without_command=True)
    workflows.callback()(list_workflows)
    workflows.command("show")(show_workflow)
    app.add_typer(workflows, name="workflows")
    tickets = typer.Typer(help="List tickets, the newest first; show one.", invoke_without_command=True)
    tickets.callback()(list_tickets)
    tickets.command("show")(show_ticket)
    app.add_typer(tickets, name="tickets")


def list_workflows(
    context: typer.Context,
    status: Statuses = None,
    plan: Plans = None,
    priority: Priorities = None,
    since: Since = "",
    limit: Limit = LIMIT,
    page: PageOf = "",
    as_json: AsJson = False,
    data: Data = None,
    config: Config = None,
) -> None:
    """List workflows, the newest first; show one."""
    if context.invoked_subcommand:
        return
    from neural_hive.listing.things import WORKFLOWS

    wanted = {"status": _upper(status), "plan": plan, "priority": _upper(priority)}
    _list(WORKFLOWS, WORKFLOW_COLUMNS, wanted, since, limit, page, as_json, data, config)


def list_tickets(
    context: typer.Context,
    status: Statuses = None,
    plan: Plans = None,
    workflow: Annotated[
        list[str] | None, typer.Option("--workflow", help="Only of this workflow; repeatable")
    ] = None,
    task: Annotated[
        list[str] | None, typer.Option("--task", help="Only of tasks of this name, with * and ?; repeatable")
    ] = None,
    task_type: Annotated[
        list[str] | None,
        typer.Option("--type", help="Only BUILD, TEST, VALIDATE, DEPLOY, EXECUTE; repeatable"),
    ] = None,
    agent: Annotated[list[str] | None, typer.Option("--agent", help="Only of this one; repeatable")] = None,
    priority: Priorities = None,
    since: Since = "",
    limit: Limit = LIMIT,
    page: PageOf = "",
    as_json: AsJson = False,
    data: Data = None,
    config: Config = None,
) -> None:
    """List tickets, the newest first; show one."""
    if context.invoked_subcommand:
        return
    from neural_hive.listing.things import TICKETS

    wanted = {
        "status": _upper(status),
        "plan": plan,
        "workflow_id": workflow,
        "task": task,
        "task_type": _upper(task_type),
        "agent_id": agent,
        "priority": _upper(priority),
    }
    _list(TICKETS, TICKET_COLUMNS, wanted, since, limit, page, as_json, data, config)


def _list(
    listing: "Listing",
    columns: Sequence[str],
    wanted: dict[str, Any],
    since: str,
    limit: int,
    page: str,
    as_json: bool,
    data: Path | None,
    config: Path | None,
) -> None:
    from neural_hive.listing.pages import page_rows

    wanted["since"] = since_us(since)
    with tables_of(data, config) as (tables, _):
        found = asked(lambda: page_rows(tables, listing, columns, wanted, limit, page))
    if as_json:
        print_json({listing.table: found.items, "next": found.next})
    elif listing.table == "workflows":
        narrow = ("workflow_id", "status")
        print_page(found, _WORKFLOW, "no workflow fits", narrow)
    else:
        print_page(found, _TICKET, "no ticket fits", ("ticket_id", "task_id", "status"))


def show_workflow(
    workflow_id: Annotated[str, typer.Argument(help="Its id")],
    as_json: AsJson = False,
    data: Data = None,
    config: Config = None,
) -> None:
    """Show a workflow and its tickets as they stand."""
    from neural_hive.listing.pages import page_rows
    from neural_hive.listing.things import TICKETS

    with tables_of(data, config) as (tables, _):
        workflow = _one(tables, "workflows", "workflow_id", workflow_id)
        of_it = {"workflow_id": workflow_id}
        tickets = page_rows(tables, TICKETS, TICKET_COLUMNS, of_it, TICKETS_MAX)
    if as_json:
        print_json({"workflow": workflow, "tickets": tickets.items, "next": tickets.next})
        return
    _print_fields(workflow)
    print_page(
        tickets,
        {name: _TICKET[name] for name in _OF_ONE},
        "it has no tickets",
        ("task_id", "status", "attempt"),
    )


def show_ticket(
    ticket_id: Annotated[str, typer.Argument(help="Its id")],
    as_json: AsJson = False,
    data: Data = None,
    config: Config = None,
) -> None:
    """Show a ticket as it stands, and its steps."""
    from neural_hive.listing.pages import Rows, plain_row

    with tables_of(data, config) as (tables, _):
        ticket = _one(tables, "tickets", "ticket_id", ticket_id)
        rows = tables.rows(_STEPS, {"ticket_id": ticket_id})
    steps = Rows([plain_row(STEP_COLUMNS, row) for row in reversed(rows)])
    if as_json:
        print_json({"ticket": ticket, "steps": steps.items})
        return
    _print_fields(ticket)
    print_page(steps, _STEP, "it has no steps", ("version", "event_type", "status"))


def _one(tables: Any, table: str, key: str, wanted: str) -> dict[str, Any]:
    """All that is known of one thing. Raises NoSuch."""
    from neural_hive.listing.pages import plain_row

    names = [
        str(name)
        for (name,) in tables.rows(
            "SELECT name FROM system.columns WHERE database = currentDatabase() AND table = {table:String} "
            "ORDER BY position",
            {"table": table},
        )
    ]
    if not names:
        raise NoSuch(f"there is no table {table} yet: does the projector run?")
    columns = ", ".join(f"`{name}`" for name in names)
    rows = tables.rows(
        f"SELECT {columns} FROM {table} WHERE {key} = {{wanted:String}} LIMIT 1", {"wanted": wanted}
    )
    if not rows:
        raise NoSuch(f"no {table.removesuffix('s')} {wanted!r} is known: look with `neural-hive {table}`")
    return plain_row(names, rows[0])


def _print_fields(found: dict[str, Any]) -> None:
    from rich.table import Table

    table = Table(box=None, show_header=False, pad_edge=False)
    for name, value in found.items():
        if value not in (None, "", [], {}, ()):
            told = status(value) if name == "status" else plain(value)
            table.add_row(name, told)
    print_text(console(), table)


def _upper(texts: list[str] | None) -> list[str]:
    return [text.upper() for text in texts or ()]
