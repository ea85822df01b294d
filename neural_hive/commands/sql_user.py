"""`sql-user`: who may ask the embedded ClickHouse in SQL."""

import secrets
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from neural_hive.connectors.sql_users import BadUsers, SqlUser, hash_password, read_users, write_users
from neural_hive.settings import load_settings

Data = Annotated[
    Path | None, typer.Option("--data", help="Data folder [default: .neural-hive]", file_okay=False)
]
Config = Annotated[Path | None, typer.Option("--config", help="Settings file (TOML or YAML)", dir_okay=False)]
Name = Annotated[str, typer.Argument(help="The user's name")]
Make = Annotated[
    bool,
    typer.Option("--make", help="Make a password and print it, instead of reading one from standard input"),
]
Limit = Annotated[int | None, typer.Option(min=1, max=1_000_000_000)]


class Role(StrEnum):
    """Which limits hold."""

    READER = "reader"
    ANALYST = "analyst"


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    users = typer.Typer(no_args_is_help=True, help="Say who may ask ClickHouse in SQL, with a password each.")
    users.command()(add)
    users.command()(password)
    users.command()(remove)
    users.command("list")(list_)
    app.add_typer(users, name="sql-user")


def add(
    name: Name,
    role: Annotated[
        Role, typer.Option(help="reader: 30 s, 2 GB, two queries at once; analyst: 300 s, 4 GB, three")
    ] = Role.READER,
    make: Make = False,
    max_execution_s: Limit = None,
    max_memory_mb: Limit = None,
    max_result_mb: Limit = None,
    max_result_rows: Limit = None,
    queries_at_once: Limit = None,
    data: Data = None,
    config: Config = None,
) -> None:
    """Add a user who may read. From the first one on, nobody asks without a password."""
    file = _file(data, config)
    users = _users(file)
    if name in users:
        raise BadUsers(
            f"{name} is there already: `neural-hive sql-user password {name}` gives a new password"
        )
    first = not file.exists()
    hashed = _hashed(name, make)
    users[name] = SqlUser(
        hashed, role.value, max_execution_s, max_memory_mb, max_result_mb, max_result_rows, queries_at_once
    )
    write_users(file, users)
    typer.echo(f"{name} may read as {role.value}; users are in {file}")
    if first:
        typer.echo("from now on nobody asks without a password, `default` neither")


def password(name: Name, make: Make = False, data: Data = None, config: Config = None) -> None:
    """Give a user a new password."""
    file = _file(data, config)
    users = _users(file)
    users[name] = msgspec.structs.replace(_known(users, name), password=_hashed(name, make))
    write_users(file, users)
    typer.echo(f"{name} has a new password")


def remove(name: Name, data: Data = None, config: Config = None) -> None:
    """Take a user away, at once."""
    file = _file(data, config)
    users = _users(file)
    _known(users, name)
    del users[name]
    write_users(file, users)
    typer.echo(f"{name} may read no more")
    if not users:
        typer.echo(f"nobody is left; without {file} everybody on this machine may read again as `default`")


def list_(
    as_json: Annotated[bool, typer.Option("--json", help="As JSON")] = False,
    data: Data = None,
    config: Config = None,
) -> None:
    """Show the users and their limits."""
    users = _users(_file(data, config))
    shown = [
        {
            "name": name,
            **{key: value for key, value in msgspec.to_builtins(user).items() if key != "password"},
        }
        for name, user in sorted(users.items())
    ]
    if as_json:
        sys.stdout.buffer.write(msgspec.json.format(msgspec.json.encode(shown)) + b"\n")
        return
    table = Table("user", "role", "limits of its own")
    for user in shown:
        limits = (f"{key} {value}" for key, value in user.items() if key not in ("name", "role") and value)
        table.add_row(str(user["name"]), str(user["role"]), ", ".join(limits))
    Console().print(table)


def _file(data: Path | None, config: Path | None) -> Path:
    return load_settings(config, running=False, data=data).sql_users_file


def _users(file: Path) -> dict[str, SqlUser]:
    return read_users(file) if file.exists() else {}


def _known(users: dict[str, SqlUser], name: str) -> SqlUser:
    if name not in users:
        raise BadUsers(f"there is no user {name}: `neural-hive sql-user list` shows them")
    return users[name]


def _hashed(name: str, make: bool) -> str:
    """The hash of a password that is made, asked for, or read: never one of the command line, which others see."""
    if make:
        made = secrets.token_urlsafe(18)
        hashed = hash_password(made)
        typer.echo(f"password: {made}")
        return hashed
    if sys.stdin.isatty():
        return hash_password(typer.prompt(f"Password of {name}", hide_input=True, confirmation_prompt=True))
    return hash_password(sys.stdin.readline().rstrip("\r\n"))
