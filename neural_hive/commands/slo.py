"""`slo`: what services promise, what is left of their error budgets, and what is frozen for it."""

from pathlib import Path
from typing import Annotated

import typer

from neural_hive.commands import slo_budgets, slo_exceptions, slo_freezes, slo_test, slo_what_if
from neural_hive.commands.common import Asking, Common, shared
from neural_hive.commands.shown import Reason, plain, print_json
from neural_hive.commands.slo_shown import PROGRAM, Service, SloId, ask_sla, percent, show_list


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    group = typer.Typer(help="SLOs, error budgets and freezes.", no_args_is_help=True)
    for name, command in (
        ("apply", apply),
        ("test", slo_test.test),
        ("what-if", slo_what_if.what_if),
        ("list", list_),
        ("remove", remove),
        *slo_budgets.COMMANDS,
        *slo_freezes.COMMANDS,
        *slo_exceptions.COMMANDS,
    ):
        group.command(name)(shared(command))
    app.add_typer(group, name="slo")


def apply(
    asking: Asking,
    files: Annotated[
        list[Path], typer.Argument(help="SLOs and freeze policies, OpenSLO, Prometheus alert rules (YAML)")
    ],
    reason: Reason = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what was understood")] = False,
) -> None:
    """Let SLOs and freeze policies be as files say; others stay as they are."""
    from neural_hive.slo_applying import applied, understood

    reports = [understood(file) for file in files]
    if asking.as_json and dry_run:
        print_json(reports)
    if not asking.as_json:
        for report in reports:
            typer.echo(report.text())
    if dry_run:
        return
    settings = asking.settings()
    done = [line for report in reports for line in applied(settings, report, PROGRAM, reason, asking.by)]
    if asking.as_json:
        print_json({"reports": reports, "applied": done})
    for change in () if asking.as_json else done:
        typer.echo(f"{change.name} {change.verdict}")


def list_(common: Common, service: Service = "") -> None:
    """Show what services promise."""
    columns = {
        "slo_id": plain,
        "slo_type": plain,
        "service_name": plain,
        "target": percent,
        "window_kind": plain,
        "window_days": plain,
        "source": plain,
        "good": plain,
    }
    more = (
        *("name", "layer", "namespace", "valid", "group_by", "good_promql", "valid_promql"),
        *("enabled", "revision", "measure", "changed_at"),
    )
    sql = "FROM slos WHERE status != 'REMOVED' AND ({service:String} IN ('', service_name)) ORDER BY slo_id"
    show_list(common, "slos", columns, more, sql, {"service": service})


def remove(asking: Asking, slo: SloId, reason: Reason) -> None:
    """Measure an SLO no longer. What was counted stays."""
    from neural_hive.streams.sla.messages import RemoveSlo

    ask_sla(asking, slo, RemoveSlo(slo, asking.by, reason), f"{slo} is measured no longer")
