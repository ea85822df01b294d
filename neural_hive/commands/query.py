"""`query`: SQL over everything that the system knows."""

import json
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from neural_hive.commands.narrowed import narrowed
from neural_hive.settings import Settings, load_settings

FORMAT = "PrettyCompact"
REVEALED = ("Pretty", "Vertical", "JSON")  # formats whose answers can be read with persons' names in them

Data = Annotated[
    Path | None, typer.Option("--data", help="Data folder [default: .neural-hive]", file_okay=False)
]
Config = Annotated[Path | None, typer.Option("--config", help="Settings file (TOML or YAML)", dir_okay=False)]


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command()(query)


def query(
    sql: Annotated[str, typer.Argument(help="One statement that reads; - takes it from standard input")],
    output_format: Annotated[
        str, typer.Option("--format", help="Any of ClickHouse's formats: JSON, CSVWithNames, Vertical, …")
    ] = FORMAT,
    param: Annotated[
        list[str] | None, typer.Option("--param", help="name=value for {name:Type} in the query; repeatable")
    ] = None,
    user: Annotated[
        str | None, typer.Option(help="ClickHouse user [default: the one of the settings, or one that reads]")
    ] = None,
    reveal: Annotated[
        bool,
        typer.Option(
            "--reveal",
            help="Show persons by name, if their keys are on this machine: Pretty…, Vertical, JSON…",
        ),
    ] = False,
    data: Data = None,
    config: Config = None,
) -> None:
    """Ask ClickHouse in SQL."""
    from neural_hive.connectors.clickhouse import ClickHouse
    from neural_hive.connectors.clickhouse_sql import output_format as chosen_format

    params = _params(param or [])
    text = sys.stdin.read() if sql == "-" else sql
    text = text.strip().rstrip(";")
    if not text:
        raise typer.BadParameter("there is no statement", param_hint="SQL")
    written = chosen_format(text) or output_format
    if reveal and not written.startswith(REVEALED):
        raise typer.BadParameter(f"it cannot be used with the format {written}", param_hint="--reveal")
    settings = load_settings(config, data=data)
    reader = user or settings.clickhouse_reader
    client = ClickHouse(
        settings.clickhouse_host,
        settings.clickhouse_port,
        user=reader,
        password=_password(settings, reader),
        database=settings.clickhouse_database,
        secure=settings.clickhouse_secure,
        retry_s=0,
    )
    with client, client.raw_stream(text, params, None if chosen_format(text) else output_format) as pieces:
        _write(_revealed(pieces, settings, written) if reveal else pieces)


def _password(settings: Settings, user: str) -> str:
    """The one that the embedded engine keeps, the setting, or what a person types."""
    if found := settings.password_of(user):
        return found
    if settings.clickhouse_password is not None:
        return settings.clickhouse_password.get_secret_value()
    asks = user != "default" and sys.stdin.isatty()
    return str(typer.prompt(f"Password of {user}", hide_input=True, err=True)) if asks else ""


def _params(given: list[str]) -> dict[str, str]:
    params = {}
    for item in given:
        name, equals, value = item.partition("=")
        if not equals or not name.isidentifier():
            raise typer.BadParameter(f"{item!r} is not name=value", param_hint="--param")
        params[name] = value
    return params


def _revealed(pieces: Iterator[bytes], settings: Settings, written: str) -> Iterator[bytes]:
    """What ClickHouse says, line by line, with each ciphertext as its text: as JSON writes it, or as wide as it was."""
    from neural_hive.connectors.personal import Personal, Shown
    from neural_hive.schemas.personal import CIPHERTEXT

    personal = Personal.of(settings)

    def text_of(found: "re.Match[str]") -> str:
        shown = personal.shown(found[0], Shown.CLEAR)
        if written.startswith("JSON"):
            return json.dumps(shown, ensure_ascii=False)[1:-1]
        shown = "".join(c if c.isprintable() else " " for c in shown)
        return shown.ljust(len(found[0])) if written.startswith("Pretty") else shown

    def changed(part: bytes) -> bytes:
        text = part.decode(errors="surrogateescape")  # not all that a table holds is text
        return CIPHERTEXT.sub(text_of, text).encode(errors="surrogateescape")

    if written.startswith("Pretty"):  # the engine has made it as a whole
        table = changed(b"".join(pieces)).decode(errors="surrogateescape")
        yield narrowed(table).encode(errors="surrogateescape")
        return
    rest = b""
    for piece in pieces:
        lines, newline, rest = (rest + piece).rpartition(b"\n")
        yield changed(lines + newline)
    yield changed(rest)


def _write(pieces: Iterator[bytes]) -> None:
    try:
        for piece in pieces:
            sys.stdout.buffer.write(piece)
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        # Who reads has enough, as `head` does; nothing may be written at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
