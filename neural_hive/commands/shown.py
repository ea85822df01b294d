"""What the commands that list things share: their options, tables that fit the terminal, and JSON."""

import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
import typer

from neural_hive.quiet import logs_to_stderr
from neural_hive.settings import Settings, load_settings

if TYPE_CHECKING:
    from rich.console import Console

    from neural_hive.listing.pages import Rows
    from neural_hive.sdk.tables import Tables

LIMIT: Final = 50
PIPED_WIDTH: Final = 1_000  # who reads from a pipe wants whole lines
NARROW_CHARS: Final = 100
COLUMN_CHARS: Final = 24  # of a column that is neither the first nor the last, at most
GAP_CHARS: Final = 2
WORDS_CHARS_MIN: Final = 10
_UNITS_S: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_AGO: Final = re.compile(r"(\d{1,9})([smhd])", re.ASCII)

Data = Annotated[
    Path | None, typer.Option("--data", help="Data folder [default: .neural-hive]", file_okay=False)
]
Config = Annotated[Path | None, typer.Option("--config", help="Settings file (TOML or YAML)", dir_okay=False)]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document")]
By = Annotated[str, typer.Option("--by", help="Who asks for it")]
Reason = Annotated[str, typer.Option("--reason", help="Why; it stays in the log")]
Limit = Annotated[int, typer.Option("--limit", help="At most so many, the newest first", min=1, max=1_000)]
PageOf = Annotated[str, typer.Option("--page", help="Go on where a list ended: what it said")]
Since = Annotated[
    str, typer.Option("--since", help="Not before: 15m, 2h, 7d ago; or a time (ISO 8601; UTC unless it says)")
]
Text = Callable[[Any], str]


@contextmanager
def tables_of(data: Path | None, config: Path | None) -> "Iterator[tuple[Tables, Settings]]":
    """The read models, as one who only reads. Raises BadSettings: nothing runs."""
    from neural_hive.sdk.tables import Tables

    logs_to_stderr()
    settings = load_settings(config, data=data)
    tables = Tables(settings)
    try:
        yield tables, settings
    finally:
        tables.close()


def since_us(text: str, option: str = "--since") -> int:
    """The time that a person means, µs since 1970 UTC; 0: none was named. Raises BadParameter."""
    if not text:
        return 0
    if ago := _AGO.fullmatch(text):
        return time.time_ns() // 1_000 - int(ago[1]) * _UNITS_S[ago[2]] * 1_000_000
    try:
        named = datetime.fromisoformat(text)
    except ValueError:
        told = f"{text!r} is no time: 15m, 2h or 7d ago, or such as 2026-05-04T13:00:00"
        raise typer.BadParameter(told, param_hint=option) from None
    at = named if named.tzinfo else named.replace(tzinfo=UTC)
    return int(at.timestamp() * 1_000_000)


def asked(list_page: "Callable[[], Rows]") -> "Rows":
    """A page; what a person has written wrong is told as wrong arguments."""
    from neural_hive.sdk.views import BadCursor

    try:
        return list_page()
    except BadCursor as error:
        raise typer.BadParameter(str(error), param_hint="--page") from None


def console() -> "Console":
    """Standard output: as wide as the terminal, or as wide as a line for who reads from a pipe."""
    from rich.console import Console

    found = Console(highlight=False)
    if found.is_terminal or "COLUMNS" in os.environ:
        return found
    return Console(highlight=False, width=PIPED_WIDTH)


def print_json(value: Any) -> None:
    """One JSON document, for machines and still to be read."""
    write(msgspec.json.format(msgspec.json.encode(value, enc_hook=str)) + b"\n")


def say(told: dict[str, Any], as_json: bool, text: str) -> None:
    """What became of it, for a machine or a person."""
    typer.echo(msgspec.json.encode(told).decode() if as_json else text)


def write(*pieces: bytes) -> None:
    """To standard output; who reads there may have had enough, as `head` does, and that is no error."""
    try:
        for piece in pieces:
            sys.stdout.buffer.write(piece)
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        stop_writing()
        raise typer.Exit from None


def stop_writing() -> None:
    """Nothing may be written at exit either."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def print_page(found: "Rows", columns: Mapping[str, Text], empty: str, narrow: Sequence[str]) -> None:
    """A page as a table; of a narrow terminal's only some columns. `columns`: how each is told."""
    out = console()
    if not found.items:
        print_text(out, empty)
        return
    names = [name for name in columns if out.width >= NARROW_CHARS or name in narrow]
    rows = [[columns[name](item[name]) for name in names] for item in found.items]
    while len(names) > 2 and sum(_widths(names, rows, out.width)) > _room(names, out.width):
        for row in (names, *rows):  # what does not fit is left out; --json has it
            del row[-2]
    print_text(out, _table(names, rows, out.width))
    if found.next:
        print_text(out, f"there are more: --page {found.next}")


def print_text(out: "Console", what: Any) -> None:
    """Prints, unless nobody reads any more."""
    try:
        out.print(what, soft_wrap=isinstance(what, str), markup=False)
        out.file.flush()
    except BrokenPipeError:
        stop_writing()
        raise typer.Exit from None


def _table(names: Sequence[str], rows: Sequence[Sequence[Any]], width: int) -> Any:
    from rich.table import Table

    table = Table(box=None, header_style="bold", padding=(0, GAP_CHARS, 0, 0))
    for name, chars in zip(names, _widths(names, rows, width), strict=True):
        table.add_column(name.replace("_", " "), no_wrap=True, overflow="ellipsis", width=chars)
    for row in rows:
        table.add_row(*row)
    return table


def _widths(names: Sequence[str], rows: Sequence[Sequence[Any]], width: int) -> list[int]:
    """What things are called by stands first and must be whole, to be copied; what stands last is words, and gets what
    is left.
    """
    found = [max(len(name), *(row[n].cell_len for row in rows)) for n, name in enumerate(names)]
    room = _room(names, width)
    if sum(found) > room:
        found[1:-1] = [min(chars, COLUMN_CHARS) for chars in found[1:-1]]
        found[-1] = max(min(found[-1], room - sum(found[:-1])), WORDS_CHARS_MIN)
    return found


def _room(names: Sequence[str], width: int) -> int:
    return width - GAP_CHARS * len(names)


def plain(value: Any) -> Any:
    """A value as it is, safe in a terminal: control characters would be obeyed there."""
    from rich.text import Text as Told

    text = "" if value is None else " ".join(str(value).split())
    return Told("".join(c if c.isprintable() else "\ufffd" for c in text))


def moment(value: datetime | None) -> Any:
    """A time, to the second."""
    return plain(f"{value:%Y-%m-%d %H:%M:%S}" if value else "")


def status(value: str | None) -> Any:
    """A status, in its colour."""
    told = plain(value)
    told.stylize(_COLOURS.get(value or "", ""))
    return told


_COLOURS: Final = {
    **dict.fromkeys(("COMPLETED", "HEALTHY"), "green"),
    **dict.fromkeys(("RUNNING", "ASSIGNED", "READY"), "yellow"),
    **dict.fromkeys(("FAILED", "TIMED_OUT", "REJECTED", "UNHEALTHY"), "red"),
    **dict.fromkeys(("CANCELLED", "COMPENSATED", "COMPENSATING", "PAUSED", "DEGRADED"), "magenta"),
}
