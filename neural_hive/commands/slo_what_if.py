"""`slo what-if`: other SLOs and freeze policies over history, in memory."""

import logging
import time
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
import typer

from neural_hive.commands.common import Common
from neural_hive.commands.replay_source import From, Source, looked_at, reading, schemas_of_others
from neural_hive.sdk.asking import CannotDo
from neural_hive.settings import BadSettings

POINTS_MAX: Final = 500  # looks of one budget in the JSON


def what_if(
    common: Common,
    file: Annotated[Path, typer.Argument(help="SLOs and freeze policies to try, as `slo apply` takes them")],
    begin: Annotated[
        str | None,
        typer.Option("--from", help="Tell of the time from then on (ISO 8601; UTC unless it says)"),
    ] = None,
    end: Annotated[str | None, typer.Option("--to", help="And up to then [default: now]")] = None,
    plot: Annotated[Path | None, typer.Option("--plot", help="Write a picture (SVG)", dir_okay=False)] = None,
    source: From = Source.KAFKA,
) -> None:
    """Show what would have been with other SLOs or freeze policies: budgets, freezes, deployments held, violations.

    Counts what the log holds, in memory; nothing is written. SLOs that are not defined yet are counted too.
    """
    from rich.console import Console

    from neural_hive.replay.slos.tables import render, told
    from neural_hive.replay.slos.what_if import Wanted
    from neural_hive.replay.slos.what_if import what_if as compared
    from neural_hive.slo_applying import understood

    report = understood(file)
    if not report.is_whole:
        raise CannotDo(report.text())
    until = _time("--to", end) if end else time.time_ns() // 1_000
    wanted = Wanted(report.definitions, report.policies, until, _time("--from", begin) if begin else 0)
    if wanted.since >= until:
        raise BadSettings("--from must be earlier than --to")
    with looked_at(source, *common.place) as log, reading(common.as_json) as say:
        from neural_hive.replay.reader import ToldSource
        from neural_hive.streams.kernel.reading import MessageReader

        _keep_silent()
        read = MessageReader(schemas_of_others(log.settings))
        answer = compared(ToldSource(log.source, say), wanted, read)
    if plot is not None:
        from neural_hive.replay.slos.chart import chart

        _write(plot, chart(answer))
    if common.as_json:
        typer.echo(msgspec.json.format(msgspec.json.encode(told(answer, POINTS_MAX))))
    else:
        render(answer, Console())


def _time(option: str, text: str) -> int:
    from neural_hive.replay.moment import BadMoment, time_of

    try:
        return time_of(text)
    except BadMoment as error:
        raise BadSettings(f"{option}: {error}") from None


def _keep_silent() -> None:
    """What is decided in memory concerns nobody: what was refused then is refused again."""
    import structlog

    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))


def _write(file: Path, text: Any) -> None:
    try:
        file.write_text(text)
    except OSError as error:
        raise BadSettings(f"cannot write {file}: {error.strerror}") from error
