"""`slo budgets` and what corrects them: what is left, how it came about, and what shall not count."""

from datetime import UTC, datetime
from typing import Annotated, Any, Final

import typer

from neural_hive.commands import slo_left
from neural_hive.commands.common import Asking, Common
from neural_hive.commands.shown import Reason, moment, plain, status
from neural_hive.commands.slo_shown import (
    Dimension,
    Every,
    SloId,
    Time,
    ask_sla,
    percent,
    show_list,
)


def history(
    common: Common,
    slo: Annotated[str, typer.Argument(help="Id of one of them; none: all")] = "",
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
        "AND source IN ('TICKETS', 'WORKFLOWS', 'TELEMETRY') AND {slo:String} IN ('', slo_id)) AS s "
        "USING (slo_id, measure) "
        "ORDER BY share, slo_id"
    )
    show_list(common, "history", columns, more, sql, {"slo": slo})


def violations(common: Common, every: Every = False) -> None:
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
    show_list(common, "violations", columns, more, sql, {"every": int(every)})


def recalculate(asking: Asking, slo: SloId, dimension: Dimension = "") -> None:
    """Look at an SLO's budget now."""
    from neural_hive.streams.sla.messages import RecalculateBudget

    ask_sla(asking, slo, RecalculateBudget(slo, dimension, asking.by), f"{slo} was looked at")


def exclude(
    asking: Asking,
    slo: SloId,
    begin: Time,
    end: Time,
    reason: Reason,
    adjustment: Annotated[str, typer.Option("--id", help="Its id [default: made of the rest]")] = "",
    dimension: Dimension = "",
) -> None:
    """Let what happens in a time not count, such as maintenance."""
    from neural_hive.slo_adjusting import exclusion

    message = exclusion(slo, _us(begin), _us(end), reason, asking.by, dimension, adjustment)
    told = f"{message.adjustment_id}: what happens from {begin} to {end} does not count for {slo}"
    ask_sla(asking, slo, message, told)


def lift(
    asking: Asking,
    slo: SloId,
    adjustment: Annotated[str, typer.Argument(help="Id of the exclusion")],
    reason: Reason,
    dimension: Dimension = "",
) -> None:
    """Let what was excluded count again."""
    from neural_hive.slo_adjusting import lifting

    message = lifting(slo, adjustment, reason, asking.by, dimension)
    ask_sla(asking, slo, message, f"{adjustment} is lifted: it counts again")


def correct(
    asking: Asking,
    slo: SloId,
    minute: Time,
    reason: Reason,
    good: Annotated[int, typer.Option("--good", help="So many good events more; fewer if below 0")] = 0,
    valid: Annotated[int, typer.Option("--valid", help="So many valid events more; fewer if below 0")] = 0,
    dimension: Dimension = "",
) -> None:
    """Correct what was counted in a minute."""
    from neural_hive.slo_adjusting import correction

    if not good and not valid:
        raise typer.BadParameter("give --good, --valid, or both", param_hint="--good")
    message = correction(slo, _us(minute), good, valid, reason, asking.by, dimension)
    ask_sla(asking, slo, message, f"{slo}: {good:+d} good, {valid:+d} valid at {minute}")


def _us(at: datetime) -> int:
    return int(at.replace(tzinfo=UTC).timestamp()) * 1_000_000


COMMANDS: Final[tuple[tuple[str, Any], ...]] = (
    ("budgets", slo_left.budgets),
    ("history", history),
    ("explain", slo_left.explain),
    ("recalculate", recalculate),
    ("exclude", exclude),
    ("lift", lift),
    ("correct", correct),
    ("violations", violations),
)
