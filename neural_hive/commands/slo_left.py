"""`slo budgets` and `slo explain`: what is left of error budgets, now or as it was believed at a time, and why."""

from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from neural_hive.commands.common import Common
from neural_hive.commands.shown import (
    Text,
    moment,
    plain,
    print_json,
    print_page,
    since_us,
    status,
    tables_of,
)
from neural_hive.commands.slo_shown import Dimension, Service, SloId, forecast, percent, rate, show_list
from neural_hive.sdk.asking import CannotDo

if TYPE_CHECKING:
    from neural_hive.slo_then import BudgetThen

At = Annotated[
    str,
    typer.Option(
        "--at", help="As it was believed at a time: ISO 8601, UTC unless it says; or 15m, 2h, 7d ago"
    ),
]


def budgets(
    common: Common,
    service: Service = "",
    slo: Annotated[str, typer.Option("--slo", help="Only of this SLO")] = "",
    at: At = "",
    known_now: Annotated[
        bool, typer.Option("--known-now", help="With --at: beside it what is known now of the same windows")
    ] = False,
) -> None:
    """Show what is left of error budgets, the most spent first; with --at as it was believed then."""
    if known_now and not at:
        told = "what is known now stands beside what was believed: give --at"
        raise typer.BadParameter(told, param_hint="--known-now")
    if at:
        _then(common, service, slo, since_us(at, "--at"), known_now)
    else:
        _now(common, service, slo)


def explain(common: Common, slo: SloId, dimension: Dimension = "", at: At = "") -> None:
    """Show how an SLO's numbers came about: formula, windows, corrections, and which events were bad."""
    from neural_hive.slo_explaining import explained

    with tables_of(*common.place) as (tables, _):
        found = explained(tables, slo, dimension, since_us(at, "--at"))
    if found is None:
        when = f"up to {at}" if at else "yet"
        told = f"nothing was counted {when} for {slo!r} {dimension}".rstrip()
        raise CannotDo(f"{told}: `neural-hive slo list` shows all SLOs")
    if common.as_json:
        print_json(found)
    else:
        typer.echo(found.text())


def _now(common: Common, service: str, slo: str) -> None:
    columns = {
        "slo_id": plain,
        "dimension": plain,
        "status": status,
        "remaining": percent,
        "level": status,
        "burn_1h": rate,
        "burn_6h": rate,
        "burn_3d": rate,
        "good": plain,
        "valid": plain,
        "upto": moment,
        "exhausted_at": forecast,
    }
    more = ("target", "budget_total", "budget_consumed", "starts_at", "revision", "burn_24h", "evaluated_at")
    sql = (
        "FROM budgets WHERE (slo_id, measure) IN (SELECT slo_id, measure FROM slos WHERE status != 'REMOVED' "
        "AND {service:String} IN ('', service_name)) AND {slo:String} IN ('', slo_id) ORDER BY remaining"
    )
    show_list(common, "budgets", columns, more, sql, {"service": service, "slo": slo})


def _then(common: Common, service: str, slo: str, at: int, known_now: bool) -> None:
    from neural_hive.listing.pages import Rows
    from neural_hive.slo_then import budgets_then

    with tables_of(*common.place) as (tables, _):
        found = budgets_then(tables, at, known_now, slo, service)
    if common.as_json:
        print_json({"budgets": found})
        return
    numbers: dict[str, Text] = {
        "status": status,
        "remaining": percent,
        "level": status,
        "good": plain,
        "valid": plain,
    }
    known = {f"known_{name}": shown for name, shown in numbers.items()} if known_now else {}
    columns = {"slo_id": plain, "dimension": plain, **numbers, **known, "upto": moment}
    print_page(Rows([_row(each) for each in found]), columns, "no budgets", tuple(columns)[:4])


def _row(found: "BudgetThen") -> dict[str, Any]:
    known = msgspec.structs.asdict(found.known) if found.known else {}
    return {**msgspec.structs.asdict(found), **{f"known_{name}": value for name, value in known.items()}}
