"""`publish windows`: what metrics of services have counted, as messages in the log."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import orjson
import typer

from neural_hive.commands.publish import Config, Data, Json, reachable, refuse
from neural_hive.quiet import logs_to_stderr

if TYPE_CHECKING:
    from neural_hive.aggregates.metric_window import MetricWindow
    from neural_hive.sdk.outcome import Outcome

STDIN = "-"


def windows(
    file: Annotated[Path, typer.Argument(help="Metric windows in YAML, JSON or .jsonl; -: standard input")],
    wait: Annotated[bool, typer.Option("--wait", help="Say what became of them")] = False,
    timeout: Annotated[float, typer.Option(help="Give up waiting after so many seconds", min=0.1)] = 60.0,
    json: Json = False,
    data: Data = None,
    config: Config = None,
) -> None:
    """Publish metric windows: what services' metrics have counted. The same one again counts once.

    Exit code: 0 published (with --wait: none was refused), 1 some were refused, 2 a bad file, 3 no answer in time.
    """
    from neural_hive.metric_windows import read_windows
    from neural_hive.publishing import ExitCode
    from neural_hive.sdk.windows import BadWindows

    try:
        found = read_windows(_text(file), "standard input" if str(file) == STDIN else file.name)
    except BadWindows as error:
        refuse(error.errors, ExitCode.BAD_PLAN, json)
    except (OSError, UnicodeDecodeError) as error:
        refuse([f"{file} cannot be read: {error}"], ExitCode.BAD_PLAN, json)
    outcomes = _publish(found, timeout if wait else None, json, data, config)
    refused = [o.reason for o in outcomes if not o.is_accepted]
    told = {"windows": len(found), "refused": len(refused), "reasons": sorted(set(refused))}
    if json:
        typer.echo(orjson.dumps(told))
    else:
        typer.echo(f"{len(found):,} published" + (f", {len(refused):,} refused" if wait else ""))
        for reason in sorted(set(refused)):
            typer.echo(reason, err=True)
    if refused:
        raise typer.Exit(ExitCode.FAILED)


def _text(file: Path) -> str:
    return sys.stdin.read() if str(file) == STDIN else file.read_text()


def _publish(
    found: "Sequence[MetricWindow]",
    timeout_s: float | None,
    json: bool,
    data: Path | None,
    config: Path | None,
) -> "list[Outcome]":
    from neural_hive.connectors.clickhouse import ClickHouseError
    from neural_hive.following import Unreachable
    from neural_hive.publishing import ExitCode
    from neural_hive.sdk.client import HiveClient
    from neural_hive.sdk.outcome import NoAnswerYet
    from neural_hive.tracing import traced

    logs_to_stderr()
    settings = reachable(data, config, json)
    try:
        with traced(settings, "publish"), HiveClient(settings) as hive:
            tokens = hive.publish_windows(found)
            return [] if timeout_s is None else [hive.wait(token, timeout_s) for token in tokens]
    except (Unreachable, ClickHouseError, NoAnswerYet) as error:
        refuse([str(error)], ExitCode.NO_ANSWER, json)
