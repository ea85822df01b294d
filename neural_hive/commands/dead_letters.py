"""`dead-letters`: what could not be processed, why, and to write it again once that is mended."""

import getpass
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
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
    tables_of,
)

if TYPE_CHECKING:
    from neural_hive.dead_letters import Content
    from neural_hive.listing.pages import Rows
    from neural_hive.sdk.client import HiveClient
    from neural_hive.sdk.outcome import Outcome
    from neural_hive.sdk.tables import Tables
    from neural_hive.streams.operations.letters import Found

DUMP_BYTES: Final = 512
REDRIVE_MAX: Final = 1_000
_COLUMNS: Final = {
    "dead_letter": plain,
    "written_at": moment,
    "source_topic": plain,
    "error_type": plain,
    "redrives": plain,
    "reason": plain,
}
# What --json tells of each: not the records' bytes, of which a page can be gigabytes.
COLUMNS: Final = (
    *("dead_letter", "written_at", "source_topic", "source_partition", "source_offset", "error_type"),
    *("reason", "processor", "redrives"),
)
_REDRIVES: Final = (
    "SELECT dead_letter, toUInt32(countIf(outcome = 'REDRIVEN')) AS redrives FROM redrives "
    "GROUP BY dead_letter"
)
_WITH_REDRIVES: Final = (
    f"(SELECT l.dead_letter AS dead_letter, l.valid_from AS written_at, source_topic, source_partition, source_offset, "
    f"error_type, reason, processor, r.redrives AS redrives FROM dead_letters AS l LEFT JOIN ({_REDRIVES}) AS r "
    "ON l.dead_letter = r.dead_letter)"
)
Topics = Annotated[
    list[str] | None, typer.Option("--topic", help="Only what came from this topic; repeatable")
]
Errors = Annotated[
    list[str] | None, typer.Option("--error", help="Only of this kind, such as UnknownSchema; repeatable")
]
Processors = Annotated[
    list[str] | None, typer.Option("--processor", help="Only of this one, such as orchestrator.*; repeatable")
]
Reasons = Annotated[
    list[str] | None, typer.Option("--why", help="Only whose reason is like this, with * and ?; repeatable")
]
Place = Annotated[str, typer.Argument(help="Its place, as the list says it: dead.letters:PARTITION:OFFSET")]


class Unasked(ValueError):
    """A redrive that nobody has confirmed, or of nothing; the text says what to do."""


class NotRedriven(RuntimeError):
    """Some records were not written again; the text says how many."""


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    letters = typer.Typer(
        help="List what could not be processed, the newest first; show one; write them again.",
        invoke_without_command=True,
    )
    letters.callback()(list_letters)
    letters.command("show")(show)
    letters.command("redrive")(redrive)
    app.add_typer(letters, name="dead-letters")


def list_letters(
    context: typer.Context,
    topic: Topics = None,
    error: Errors = None,
    processor: Processors = None,
    why: Reasons = None,
    waiting: Annotated[
        bool, typer.Option("--waiting", help="Only those that nobody has written again")
    ] = False,
    since: Since = "",
    limit: Limit = LIMIT,
    page: PageOf = "",
    as_json: AsJson = False,
    data: Data = None,
    config: Config = None,
) -> None:
    """List what could not be processed, the newest first; show one; write them again."""
    if context.invoked_subcommand:
        return
    wanted = _wanted(topic, error, processor, why, since, "waiting" if waiting else "")
    with tables_of(data, config) as (tables, _):
        found = asked(lambda: _page(tables, wanted, limit, page))
    if as_json:
        print_json({"dead_letters": found.items, "next": found.next})
    else:
        print_page(found, _COLUMNS, "no dead letter fits", ("dead_letter", "error_type", "reason"))


def _page(tables: "Tables", wanted: dict[str, Any], limit: int, start: str = "") -> "Rows":
    from neural_hive.listing.pages import page_rows
    from neural_hive.listing.things import DEAD_LETTER_PLACES

    return page_rows(tables, DEAD_LETTER_PLACES, COLUMNS, wanted, limit, start, _WITH_REDRIVES)


def _wanted(
    topic: list[str] | None,
    error: list[str] | None,
    processor: list[str] | None,
    why: list[str] | None,
    since: str,
    state: str,
) -> dict[str, Any]:
    return {
        "source_topic": topic,
        "error_type": error,
        "processors": processor,
        "reason": why,
        "since": since_us(since),
        "state": state,
    }


def show(
    dead_letter: Place,
    bytes_shown: Annotated[
        int, typer.Option("--bytes", help="So many of the record's bytes", min=0)
    ] = DUMP_BYTES,
    as_json: AsJson = False,
    data: Data = None,
    config: Config = None,
) -> None:
    """Show a dead letter: why, where from, its bytes, what can be read of them, and what people did about it."""
    from neural_hive.commands.replay_source import Source, looked_at, schemas_of_others, shown
    from neural_hive.dead_letters import content_of, letter_at, redrives_of
    from neural_hive.streams.kernel.reading import MessageReader

    with looked_at(Source.KAFKA, data, config) as log:
        found = letter_at(log.source, dead_letter)
        content = content_of(found, MessageReader(schemas_of_others(log.settings)))
    with tables_of(data, config) as (tables, _):
        redrives = redrives_of(tables, dead_letter)
    if as_json:
        letter = {"dead_letter": dead_letter, "letter_id": found.letter_id, "is_whole": found.is_whole}
        # Bytes are in Base64.
        print_json({**letter, **msgspec.to_builtins(found.letter), "content": content, "redrives": redrives})
        return
    _show(dead_letter, found, content, bytes_shown)
    for one in shown(log.settings, redrives, reveal=False):
        said = f"{one.outcome} by {one.requested_by}: {one.reason}"
        print_text(console(), plain(f"{said} ({one.obstacle}: {one.rejection})" if one.rejection else said))


def _show(dead_letter: str, found: "Found", content: "Content", bytes_shown: int) -> None:
    from rich.table import Table

    from neural_hive.dead_letters import hexdump

    letter, out = found.letter, console()
    source = f"{letter.source_topic}:{letter.source_partition}:{letter.source_offset}"
    table = Table(box=None, show_header=False, pad_edge=False)
    rows = {
        "dead letter": dead_letter,
        "reason": letter.reason,
        "error": letter.error_type,
        "processor": letter.processor,
        "came from": source if letter.source_topic else "a timer",
        "key": repr(letter.key),
        **{f"header {header.name}": repr(header.value) for header in letter.headers},
        "whole": "yes" if found.is_whole else "no: see the reason",
        "message": f"{content.message_type} {content.message_id}".strip(),
        "cannot be read": content.error,
    }
    for name, value in rows.items():
        if value:
            table.add_row(plain(name), plain(value))
    print_text(out, table)
    if content.payload:
        print_text(out, msgspec.json.format(msgspec.json.encode(content.payload), indent=2).decode())
    for line in hexdump(letter.value, bytes_shown):
        print_text(out, line)


def redrive(
    places: Annotated[
        list[str] | None, typer.Argument(help="Their places, as the list says them; or choose by options")
    ] = None,
    reason: Annotated[
        str, typer.Option("--reason", help="Why they shall be tried again; it stays in the log")
    ] = "",
    by: Annotated[str, typer.Option("--by", help="Who asks for it [default: your name here]")] = "",
    again: Annotated[bool, typer.Option("--again", help="Those too that were written again before")] = False,
    topic: Topics = None,
    error: Errors = None,
    processor: Processors = None,
    why: Reasons = None,
    since: Since = "",
    limit: Annotated[
        int, typer.Option("--limit", help="At most so many, if chosen by options", min=1, max=REDRIVE_MAX)
    ] = REDRIVE_MAX,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask")] = False,
    timeout: Annotated[float, typer.Option(help="Give up waiting after so many seconds", min=0.1)] = 60.0,
    as_json: AsJson = False,
    data: Data = None,
    config: Config = None,
) -> None:
    """Write records into the topics that they had come to, as they were, once what was wrong is mended.

    What had been done already is not done twice, as long as its aggregate remembers the message (the last 16 that
    changed it). Exit code 1: some were refused.
    """
    if not reason.strip():
        raise typer.BadParameter("say why they shall be tried again", param_hint="--reason")
    chosen = places or _chosen(topic, error, processor, why, since, again, limit, data, config)
    if not chosen:
        raise Unasked("no dead letter fits: nothing was written again")
    if not places:
        _confirm(len(chosen), yes)
    outcomes = _redriven(chosen, reason, by or getpass.getuser(), again, timeout, data, config)
    _tell(outcomes, as_json)


def _chosen(
    topic: list[str] | None,
    error: list[str] | None,
    processor: list[str] | None,
    why: list[str] | None,
    since: str,
    again: bool,
    limit: int,
    data: Path | None,
    config: Path | None,
) -> list[str]:
    wanted = _wanted(topic, error, processor, why, since, "")
    if not any(wanted.values()):
        raise typer.BadParameter("name dead letters, or choose them by --topic, --error, --why, …")
    wanted["state"] = "" if again else "waiting"
    with tables_of(data, config) as (tables, _):
        found = _page(tables, wanted, limit)
    # In the order in which they had come.
    return [letter["dead_letter"] for letter in reversed(found.items) if letter["source_topic"]]


def _confirm(count: int, yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise Unasked(f"{count:,} dead letters fit: say --yes to write them all again")
    typer.confirm(f"Write {count:,} records again?", abort=True, err=True)


def _redriven(
    chosen: list[str],
    reason: str,
    by: str,
    again: bool,
    timeout_s: float,
    data: Path | None,
    config: Path | None,
) -> "dict[str, Outcome]":
    from neural_hive.commands.publish import reachable, refuse
    from neural_hive.connectors.clickhouse import ClickHouseError
    from neural_hive.following import Unreachable
    from neural_hive.publishing import ExitCode
    from neural_hive.sdk.client import HiveClient
    from neural_hive.sdk.outcome import NoAnswerYet

    settings = reachable(data, config, False)
    try:
        with HiveClient(settings, timeout_s) as hive:
            return _answered(hive, chosen, reason, by, again)
    except (Unreachable, ClickHouseError, NoAnswerYet) as trouble:
        refuse([str(trouble)], ExitCode.NO_ANSWER, False)


def _answered(
    hive: "HiveClient", chosen: list[str], reason: str, by: str, again: bool
) -> "dict[str, Outcome]":
    tokens = {place: hive.redrive(place, reason, by, again) for place in dict.fromkeys(chosen)}
    return {place: hive.wait(token) for place, token in tokens.items()}


def _tell(outcomes: "dict[str, Outcome]", as_json: bool) -> None:
    redriven = [place for place, outcome in outcomes.items() if outcome.is_accepted]
    if as_json:
        print_json(
            [
                {"dead_letter": place, "verdict": outcome.verdict, "reason": outcome.reason}
                for place, outcome in outcomes.items()
            ]
        )
    else:
        out = console()
        for place, outcome in outcomes.items():
            told = "written again" if outcome.is_accepted else f"not written again: {outcome.reason}"
            print_text(out, plain(f"{place} {told}"))
    if len(redriven) < len(outcomes):
        raise NotRedriven(f"{len(outcomes) - len(redriven):,} of {len(outcomes):,} were not written again")
