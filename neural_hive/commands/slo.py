"""`slo`: what services promise, what is left of their error budgets, and what is frozen for it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from neural_hive.commands import slo_budgets, slo_exceptions, slo_freezes
from neural_hive.commands.common import Asking, Common, shared
from neural_hive.commands.shown import Reason, plain, print_json, tables_of
from neural_hive.commands.slo_shown import PROGRAM, Service, SloId, ask_sla, percent, show_list
from neural_hive.sdk.asking import CannotDo
from neural_hive.settings import load_settings

if TYPE_CHECKING:
    from neural_hive.streams.promql_counts import Queries


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    group = typer.Typer(help="SLOs, error budgets and freezes.", no_args_is_help=True)
    for name, command in (
        ("apply", apply),
        ("test", test),
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


def test(
    common: Common,
    what: Annotated[str, typer.Argument(help="A file of SLOs, or the id of an SLO", metavar="FILE_OR_SLO")],
) -> None:
    """Show what SLOs over Prometheus would have counted in the last hour; nothing is changed."""
    from neural_hive.asked_prometheus import dry_run, prometheus_of

    settings = load_settings(common.config, running=False, data=common.data)
    prometheus = prometheus_of(settings)
    try:
        found = [dry_run(prometheus, *asked) for asked in _to_test(what, *common.place)]
    finally:
        prometheus.close()
    if common.as_json:
        print_json({"tested": found})
    else:
        typer.echo("\n".join(each.text() for each in found))
    if not all(each.is_well for each in found):
        raise typer.Exit(1)


def _to_test(what: str, data: Path | None, config: Path | None) -> "list[tuple[str, float, Queries]]":
    """Id, target and queries of each SLO that Prometheus can be asked for. Raises CannotDo: there is none."""
    from neural_hive.aggregates.sli_source import Source
    from neural_hive.streams.promql_counts import Queries

    if Path(what).is_file():
        from neural_hive.slo_applying import understood

        definitions = understood(Path(what)).definitions
        rows: list[Any] = [
            (d.slo_id, d.target, d.indicator.source, d.indicator.good_promql, d.indicator.valid_promql)
            for d in definitions
        ]
    else:
        with tables_of(data, config) as (tables, _):
            sql = "SELECT slo_id, target, source, good_promql, valid_promql FROM slos WHERE slo_id = {slo:String}"
            rows = tables.rows(sql, {"slo": what})
    if not rows:
        raise CannotDo(f"{what!r} is no file with SLOs, and no SLO: `neural-hive slo list` shows all")
    found = [(str(n), float(t), Queries(good, valid)) for n, t, s, good, valid in rows if s == Source.PROMQL]
    if not found:
        sources = ", ".join(sorted({str(row[2]) for row in rows}))
        raise CannotDo(
            f"only SLOs over Prometheus can be tested (source PROMQL), and here is {sources}: "
            "what the hive counts itself, it counts over all that the log holds (`neural-hive slo history`)"
        )
    return found


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
    from neural_hive.streams.sla_messages import RemoveSlo

    ask_sla(asking, slo, RemoveSlo(slo, asking.by, reason), f"{slo} is measured no longer")
