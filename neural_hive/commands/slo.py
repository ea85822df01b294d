"""`slo`: what services promise, what is left of their error budgets, and what is frozen for it."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
import typer

from neural_hive.commands.asking import CannotDo, ask, say
from neural_hive.commands.shown import (
    AsJson,
    Config,
    Data,
    Text,
    moment,
    plain,
    print_json,
    print_page,
    status,
    tables_of,
)
from neural_hive.settings import load_settings

if TYPE_CHECKING:
    from neural_hive.streams.promql_counts import Queries

ROWS_MAX: Final = 10_000
_PROGRAM: Final = "neural-hive slo"
SloId = Annotated[str, typer.Argument(help="Id of the SLO")]
Reason = Annotated[str, typer.Option("--reason", help="Why; it stays in the log")]
By = Annotated[str, typer.Option("--by", help="Who asks for it")]
Service = Annotated[str, typer.Option("--service", help="Only of this service")]
Dimension = Annotated[str, typer.Option("--dimension", help="Which of its budgets, if there are several")]
Time = Annotated[
    datetime,
    typer.Argument(help="In UTC, such as 2026-05-04T13:00", formats=["%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M"]),
]


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    group = typer.Typer(help="SLOs, error budgets and freezes.", no_args_is_help=True)
    for name, command in (
        ("apply", apply),
        ("test", test),
        ("list", list_),
        ("remove", remove),
        ("budgets", budgets),
        ("history", history),
        ("explain", explain),
        ("recalculate", recalculate),
        ("exclude", exclude),
        ("lift", lift),
        ("correct", correct),
        ("violations", violations),
        ("policies", policies),
        ("remove-policy", remove_policy),
        ("freezes", freezes),
        ("freeze", freeze),
        ("unfreeze", unfreeze),
    ):
        group.command(name)(command)
    app.add_typer(group, name="slo")


def apply(
    files: Annotated[
        list[Path], typer.Argument(help="SLOs and freeze policies, OpenSLO, Prometheus alert rules (YAML)")
    ],
    reason: Annotated[str, typer.Option("--reason", help="Why; it stays in the log")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what was understood")] = False,
    by: By = "",
    as_json: AsJson = False,
    data: Data = None,
    config: Config = None,
) -> None:
    """Let SLOs and freeze policies be as files say; others stay as they are."""
    from neural_hive.slo_applying import applied, understood

    reports = [understood(file) for file in files]
    if as_json and dry_run:
        print_json(reports)
    if not as_json:
        for report in reports:
            typer.echo(report.text())
    if dry_run:
        return
    settings = load_settings(config, data=data)
    done = [line for report in reports for line in applied(settings, report, reason, by)]
    if as_json:
        print_json({"reports": reports, "applied": done})
    for change in () if as_json else done:
        typer.echo(f"{change.name} {change.verdict}")


def test(
    what: Annotated[str, typer.Argument(help="A file of SLOs, or the id of an SLO", metavar="FILE_OR_SLO")],
    as_json: AsJson = False,
    data: Data = None,
    config: Config = None,
) -> None:
    """Show what SLOs over Prometheus would have counted in the last hour; nothing is changed."""
    from neural_hive.asked_prometheus import dry_run, prometheus_of

    settings = load_settings(config, running=False, data=data)
    prometheus = prometheus_of(settings)
    try:
        found = [dry_run(prometheus, *asked) for asked in _to_test(what, data, config)]
    finally:
        prometheus.close()
    if as_json:
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


def percent(value: float | None) -> Any:
    """A share, in percent."""
    return plain("" if value is None else f"{value * 100:.2f} %")


def rate(value: float | None) -> Any:
    """A burn rate."""
    return plain("" if value is None else f"{value:.1f} ×")


def list_(service: Service = "", as_json: AsJson = False, data: Data = None, config: Config = None) -> None:
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
    _list("slos", columns, more, sql, {"service": service}, as_json, data, config)


def budgets(service: Service = "", as_json: AsJson = False, data: Data = None, config: Config = None) -> None:
    """Show what is left of error budgets, the most spent first."""
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
        "exhausted_at": _forecast,
    }
    more = ("target", "budget_total", "budget_consumed", "starts_at", "revision", "burn_24h", "evaluated_at")
    sql = (
        "FROM budgets WHERE (slo_id, measure) IN (SELECT slo_id, measure FROM slos WHERE status != 'REMOVED' "
        "AND {service:String} IN ('', service_name)) ORDER BY remaining"
    )
    _list("budgets", columns, more, sql, {"service": service}, as_json, data, config)


def history(
    slo: Annotated[str, typer.Argument(help="Id of one of them; none: all")] = "",
    as_json: AsJson = False,
    data: Data = None,
    config: Config = None,
) -> None:
    """Show how much of what happened before SLOs were defined is counted."""
    columns = {
        "slo_id": plain,
        "share": percent,
        "counted_from": moment,
        "good": plain,
        "valid": plain,
        "uncounted": plain,
        "lost_offsets": plain,
        "told_at": moment,
    }
    more = ("measure", "is_counted", "partitions", "whole_partitions")
    sql = (
        "FROM slo_history RIGHT JOIN (SELECT slo_id, measure FROM slos WHERE status != 'REMOVED' "
        "AND source IN ('TICKETS', 'WORKFLOWS') AND {slo:String} IN ('', slo_id)) AS s USING (slo_id, measure) "
        "ORDER BY share, slo_id"
    )
    _list("history", columns, more, sql, {"slo": slo}, as_json, data, config)


def explain(
    slo: SloId,
    dimension: Dimension = "",
    as_json: AsJson = False,
    data: Data = None,
    config: Config = None,
) -> None:
    """Show how an SLO's numbers came about: formula, windows, corrections, and where its bad events stand."""
    from neural_hive.slo_explaining import explained

    with tables_of(data, config) as (tables, _):
        found = explained(tables, slo, dimension)
    if found is None:
        raise CannotDo(
            f"nothing was counted yet for {slo!r} {dimension}: `neural-hive slo list` shows all SLOs"
        )
    if as_json:
        print_json(found)
    else:
        typer.echo(found.text())


def violations(
    every: Annotated[bool, typer.Option("--all", help="Those that are over too")] = False,
    as_json: AsJson = False,
    data: Data = None,
    config: Config = None,
) -> None:
    """Show whose budget is used up or burns too fast."""
    columns = {
        "slo_id": plain,
        "kind": plain,
        "severity": plain,
        "status": status,
        "remaining": percent,
        "opened_at": moment,
        "closed_at": moment,
    }
    more = ("violation_id", "budget_id", "service_name", "burn_rate", "level", "duration_ms")
    sql = "FROM violations WHERE {every:Bool} OR status = 'OPEN' ORDER BY opened_at DESC"
    _list("violations", columns, more, sql, {"every": int(every)}, as_json, data, config)


def policies(as_json: AsJson = False, data: Data = None, config: Config = None) -> None:
    """Show by which policies deploys are frozen."""
    columns = {
        "policy_id": plain,
        "scope": plain,
        "subject": plain,
        "actions": _words,
        "trigger_percent": plain,
        "unfreeze_percent": plain,
        "trigger_level": plain,
    }
    more = ("name", "description", "enabled", "revision", "changed_at")
    sql = "FROM freeze_policies WHERE status != 'REMOVED' ORDER BY policy_id"
    _list("policies", columns, more, sql, {}, as_json, data, config)


def freezes(
    every: Annotated[bool, typer.Option("--all", help="Those that are over too")] = False,
    as_json: AsJson = False,
    data: Data = None,
    config: Config = None,
) -> None:
    """Show what may not be deployed now, and why."""
    columns = {
        "freeze_id": plain,
        "status": status,
        "scope": plain,
        "subject": plain,
        "actions": _words,
        "policy_id": plain,
        "slo_id": plain,
        "activated_at": moment,
        "resolved_at": moment,
        "reason": plain,
    }
    more = ("budget_id", "remaining", "level", "duration_ms", "by_hand")
    sql = "FROM freezes WHERE {every:Bool} OR status = 'ACTIVE' ORDER BY activated_at DESC"
    _list("freezes", columns, more, sql, {"every": int(every)}, as_json, data, config)


def remove(
    slo: SloId,
    reason: Reason,
    by: By = "",
    as_json: AsJson = False,
    data: Data = None,
    config: Config = None,
) -> None:
    """Measure an SLO no longer. What was counted stays."""
    from neural_hive.streams.sla_messages import RemoveSlo

    _ask(slo, RemoveSlo(slo, by, reason), f"{slo} is measured no longer", as_json, data, config)


def remove_policy(
    policy: Annotated[str, typer.Argument(help="Id of the policy")],
    reason: Reason,
    by: By = "",
    as_json: AsJson = False,
    data: Data = None,
    config: Config = None,
) -> None:
    """Freeze nothing by a policy any more."""
    from neural_hive.streams.sla_messages import RemoveFreezePolicy

    told = f"{policy} freezes nothing any more"
    _ask(policy, RemoveFreezePolicy(policy, by, reason), told, as_json, data, config)


def recalculate(
    slo: SloId,
    dimension: Dimension = "",
    by: By = "",
    as_json: AsJson = False,
    data: Data = None,
    config: Config = None,
) -> None:
    """Look at an SLO's budget now."""
    from neural_hive.streams.sla_messages import RecalculateBudget

    told = f"{slo} was looked at"
    _ask(slo, RecalculateBudget(slo, dimension, by), told, as_json, data, config)


def exclude(
    slo: SloId,
    begin: Time,
    end: Time,
    reason: Reason,
    adjustment: Annotated[str, typer.Option("--id", help="Its id [default: made of the rest]")] = "",
    dimension: Dimension = "",
    by: By = "",
    as_json: AsJson = False,
    data: Data = None,
    config: Config = None,
) -> None:
    """Let what happens in a time not count, such as maintenance."""
    from neural_hive.aggregates.budget import AdjustmentKind
    from neural_hive.aggregates.identity import derived_id
    from neural_hive.streams.sla_messages import AdjustBudget

    times = _us(begin), _us(end)
    name = adjustment or derived_id("exclude", slo, dimension, *map(str, times))[:8]
    message = AdjustBudget(
        slo, name, AdjustmentKind.EXCLUDE, *times, reason, dimension=dimension, requested_by=by
    )
    told = f"{name}: what happens from {begin} to {end} does not count for {slo}"
    _ask(slo, message, told, as_json, data, config)


def lift(
    slo: SloId,
    adjustment: Annotated[str, typer.Argument(help="Id of the exclusion")],
    reason: Reason,
    dimension: Dimension = "",
    by: By = "",
    as_json: AsJson = False,
    data: Data = None,
    config: Config = None,
) -> None:
    """Let what was excluded count again."""
    from neural_hive.aggregates.budget import AdjustmentKind
    from neural_hive.streams.sla_messages import AdjustBudget

    message = AdjustBudget(
        slo, adjustment, AdjustmentKind.LIFT, 0, 0, reason, dimension=dimension, requested_by=by
    )
    _ask(slo, message, f"{adjustment} is lifted: it counts again", as_json, data, config)


def correct(
    slo: SloId,
    minute: Time,
    reason: Reason,
    good: Annotated[int, typer.Option("--good", help="So many good events more; fewer if below 0")] = 0,
    valid: Annotated[int, typer.Option("--valid", help="So many valid events more; fewer if below 0")] = 0,
    dimension: Dimension = "",
    by: By = "",
    as_json: AsJson = False,
    data: Data = None,
    config: Config = None,
) -> None:
    """Correct what was counted in a minute."""
    from neural_hive.aggregates.budget import AdjustmentKind
    from neural_hive.aggregates.identity import derived_id
    from neural_hive.aggregates.sla_window import MINUTE
    from neural_hive.streams.sla_messages import AdjustBudget

    if not good and not valid:
        raise typer.BadParameter("give --good, --valid, or both", param_hint="--good")
    at = _us(minute)
    name = derived_id("correct", slo, dimension, str(at), str(good), str(valid), reason)[:8]
    message = AdjustBudget(
        slo, name, AdjustmentKind.CORRECT, at, at + MINUTE, reason, dimension, good, valid, by
    )
    _ask(slo, message, f"{slo}: {good:+d} good, {valid:+d} valid at {minute}", as_json, data, config)


def freeze(
    policy: Annotated[str, typer.Argument(help="Id of the policy that says what is frozen")],
    reason: Reason,
    by: By = "",
    as_json: AsJson = False,
    data: Data = None,
    config: Config = None,
) -> None:
    """Freeze by hand what a policy concerns."""
    from neural_hive.streams.sla_messages import FreezeByHand

    _ask(policy, FreezeByHand(policy, reason, by), f"{policy} is frozen", as_json, data, config)


def unfreeze(
    freeze: Annotated[str, typer.Argument(help="Id of the freeze: see `slo freezes`")],
    reason: Reason,
    by: By = "",
    as_json: AsJson = False,
    data: Data = None,
    config: Config = None,
) -> None:
    """End a freeze; it does not begin again before its budget has recovered."""
    from neural_hive.streams.sla_messages import ResolveFreeze

    with tables_of(data, config) as (tables, _):
        sql = "SELECT slo_id, policy_id FROM freezes WHERE freeze_id = {freeze:String}"
        rows = tables.rows(sql, {"freeze": freeze})
    if not rows:
        raise CannotDo(f"there is no freeze {freeze[:100]!r}: `neural-hive slo freezes` shows them")
    routing_id = str(rows[0][0] or rows[0][1])
    message = ResolveFreeze(freeze, routing_id, reason, by)
    _ask(routing_id, message, f"{freeze} has ended", as_json, data, config)


def _ask(
    routing_id: str, message: msgspec.Struct, told: str, as_json: bool, data: Path | None, config: Path | None
) -> None:
    from neural_hive.streams.sla_messages import COMMANDS

    outcome = ask(load_settings(config, data=data), _PROGRAM, COMMANDS, routing_id, message)
    say({"id": routing_id, "verdict": outcome.verdict.value}, as_json, told)


def _list(
    name: str,
    columns: Mapping[str, Text],
    more: tuple[str, ...],
    sql: str,
    params: dict[str, Any],
    as_json: bool,
    data: Path | None,
    config: Path | None,
) -> None:
    from neural_hive.listing.pages import Rows, plain_row

    names = (*columns, *more)
    selected = ", ".join(f"`{column}`" for column in names)
    with tables_of(data, config) as (tables, _):
        rows = tables.rows(f"SELECT {selected} {sql} LIMIT {ROWS_MAX}", params)
    found = [plain_row(names, row) for row in rows]
    if as_json:
        print_json({name: found})
    else:
        print_page(Rows(found), columns, f"no {name}", tuple(columns)[:3])


def _us(at: datetime) -> int:
    return int(at.replace(tzinfo=UTC).timestamp()) * 1_000_000


def _words(value: list[str]) -> Any:
    return plain(", ".join(value))


def _forecast(value: datetime | None) -> Any:
    """When it will be gone; the log says 0 for never."""
    return moment(value if value and value.timestamp() > 0 else None)
