"""`events`: what stands in the log, decoded, and what comes."""

import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
import typer
from rich.console import Console

from neural_hive.commands.shown import Config, Data, console, plain, print_text, since_us, write
from neural_hive.quiet import logs_to_stderr
from neural_hive.settings import load_settings

if TYPE_CHECKING:
    from rich.text import Text

    from neural_hive.event_log import Shown

LAST: Final = 20
LIMIT: Final = 1_000
COUNT_MAX: Final = 100_000
PAYLOAD_CHARS_MAX: Final = 2_000  # of a line


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command()(events)


def events(
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on with what comes, until Ctrl-C")
    ] = False,
    since: Annotated[
        str,
        typer.Option("--from", help="Begin at a time: 15m, 2h, 7d ago; or ISO 8601, UTC unless it says"),
    ] = "",
    last: Annotated[
        int | None,
        typer.Option("--last", help=f"Begin with the newest N [default: {LAST}]", min=0, max=COUNT_MAX),
    ] = None,
    event_type: Annotated[
        list[str] | None, typer.Option("--type", help="Only this one, such as TicketFailed; repeatable")
    ] = None,
    topic: Annotated[list[str] | None, typer.Option("--topic", help="Only from this one; repeatable")] = None,
    aggregate: Annotated[
        list[str] | None,
        typer.Option("--aggregate", help="Only of the workflow, ticket, … of this id; repeatable"),
    ] = None,
    correlation: Annotated[
        list[str] | None, typer.Option("--correlation", help="Only what belongs to this id; repeatable")
    ] = None,
    limit: Annotated[
        int, typer.Option("--limit", help="With --from: at most so many", min=1, max=COUNT_MAX)
    ] = LIMIT,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document a line")] = False,
    data: Data = None,
    config: Config = None,
) -> None:
    """Show events as they stand in the log: the newest, those since a time, and with --follow those that come."""
    from neural_hive.commands.replay_source import kafka_of, schemas_of_others
    from neural_hive.event_log import EventLog, Wanted

    if since and last is not None:
        raise typer.BadParameter("--from and --last both say where to begin: give one of them")
    at_us = since_us(since)
    logs_to_stderr()
    settings = load_settings(config, data=data)
    wanted = Wanted(frozenset(event_type or ()), frozenset(aggregate or ()), frozenset(correlation or ()))
    log = EventLog(kafka_of(settings), topic or (), wanted, schemas_of_others(settings))
    more = False
    try:
        if at_us:
            found, more = log.since(at_us, COUNT_MAX if follow else limit)
        else:
            found = log.newest(LAST if last is None else last)
        out = console()
        for shown in found:
            _tell(shown, as_json, out)
        if more:
            told = f"there are more: begin later with --from, or show more with --limit (now {limit:,})"
            Console(stderr=True).print(told, highlight=False)
        if follow and not more:
            for shown in log.follow():
                _tell(shown, as_json, out)
    except KeyboardInterrupt:
        os.write(2, b"\n")
    finally:
        log.close()


def _tell(shown: "Shown", as_json: bool, out: Console) -> None:
    if as_json:
        write(msgspec.json.encode(shown.document()) + b"\n")
        return
    line = _line(shown)
    line.truncate(out.width, overflow="ellipsis")
    print_text(out, line)


def _line(shown: "Shown") -> "Text":
    from rich.text import Text

    at = _time(shown.appended_ms)
    head = shown.envelope
    if head is None:
        return Text.assemble((at, "dim"), f" {shown.place} ", (shown.error, "red"))
    payload = " ".join(f"{name}={_short(value)}" for name, value in shown.payload.items())
    return Text.assemble(
        (at, "dim"),
        " ",
        (head.event_type, "bold"),
        " ",
        plain(f"{head.aggregate_type}/{head.aggregate_id}"),
        f" v{head.version} ",
        (shown.place, "dim"),
        " ",
        plain(payload[:PAYLOAD_CHARS_MAX]),
    )


def _time(at_ms: int) -> str:
    at = datetime.fromtimestamp(max(at_ms, 0) / 1_000, UTC)
    return f"{at:%Y-%m-%d %H:%M:%S}.{at_ms % 1_000:03}"


def _short(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
