"""What the commands about SLOs share: how a thing is asked for, and how lists and their numbers are shown."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Final

import msgspec
import typer

from neural_hive.commands.common import Asking, Common
from neural_hive.commands.shown import Text, moment, plain, print_json, print_page, say, tables_of
from neural_hive.sdk.asking import ask

ROWS_MAX: Final = 10_000
PROGRAM: Final = "neural-hive slo"
SloId = Annotated[str, typer.Argument(help="Id of the SLO")]
Service = Annotated[str, typer.Option("--service", help="Only of this service")]
Dimension = Annotated[str, typer.Option("--dimension", help="Which of its budgets, if there are several")]
Every = Annotated[bool, typer.Option("--all", help="Those that are over too")]
Time = Annotated[
    datetime,
    typer.Argument(help="In UTC, such as 2026-05-04T13:00", formats=["%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M"]),
]


def ask_sla(asking: Asking, routing_id: str, message: msgspec.Struct, told: str) -> None:
    """Asks the SLA calculator for something, and tells what became of it. Raises CannotDo."""
    from neural_hive.streams.sla.messages import COMMANDS

    outcome = ask(asking.settings(), PROGRAM, COMMANDS, routing_id, message)
    say({"id": routing_id, "verdict": outcome.verdict.value}, asking.as_json, told)


def show_list(
    common: Common,
    name: str,
    columns: Mapping[str, Text],
    more: tuple[str, ...],
    sql: str,
    params: dict[str, Any],
) -> None:
    """Rows of a table. `more`: columns that only JSON has."""
    from neural_hive.listing.pages import Rows, plain_row

    names = (*columns, *more)
    selected = ", ".join(f"`{column}`" for column in names)
    with tables_of(*common.place) as (tables, _):
        rows = tables.rows(f"SELECT {selected} {sql} LIMIT {ROWS_MAX}", params)
    found = [plain_row(names, row) for row in rows]
    if common.as_json:
        print_json({name: found})
    else:
        print_page(Rows(found), columns, f"no {name}", tuple(columns)[:3])


def percent(value: float | None) -> Any:
    """A share, in percent."""
    return plain("" if value is None else f"{value * 100:.2f} %")


def rate(value: float | None) -> Any:
    """A burn rate."""
    return plain("" if value is None else f"{value:.1f} ×")


def words(value: list[str]) -> Any:
    """Several words."""
    return plain(", ".join(value))


def forecast(value: datetime | None) -> Any:
    """When it will be gone; the log says 0 for never."""
    return moment(value if value and value.timestamp() > 0 else None)
