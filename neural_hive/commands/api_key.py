"""`api-key`: who may use the HTTP API."""

from typing import TYPE_CHECKING, Annotated

import typer

from neural_hive.commands.processes import Config, Data
from neural_hive.settings import BadSettings, load_settings

if TYPE_CHECKING:
    from neural_hive.api.permissions import Role

AsJson = Annotated[bool, typer.Option("--json", help="One JSON document")]


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    group = typer.Typer(help="Keys of the HTTP API: make, list, remove.", no_args_is_help=True)
    group.command("add")(add)
    group.command("list")(list_keys)
    group.command("remove")(remove)
    app.add_typer(group, name="api-key")


def add(
    name: Annotated[str, typer.Argument(help="Whose key it is; it stands in the log with what they do")],
    role: Annotated[
        list[str] | None,
        typer.Option("--role", help="publisher, operator, auditor, approver, alerter; repeatable"),
    ] = None,
    data: Data = None,
    config: Config = None,
) -> None:
    """Make a key and show it, this once: only its hash is kept."""
    from neural_hive.api.api_keys import add_key

    settings = load_settings(config, running=False, data=data)
    typer.echo(add_key(settings.api_folder, name, _roles(role or [])))


def list_keys(as_json: AsJson = False, data: Data = None, config: Config = None) -> None:
    """Show whose keys there are."""
    import msgspec

    from neural_hive.api.api_keys import read_keys

    keys = read_keys(load_settings(config, running=False, data=data).api_folder).values()
    if as_json:
        shown = [{n: getattr(key, n) for n in ("key_id", "name", "roles", "created_at")} for key in keys]
        typer.echo(msgspec.json.encode(shown).decode())
        return
    for key in keys:
        typer.echo(f"{key.key_id}\t{key.name}\t{', '.join(key.roles)}\t{key.created_at:%Y-%m-%d %H:%M}")


def remove(
    key_id: Annotated[str, typer.Argument(help="Id of the key, as `list` shows it")],
    data: Data = None,
    config: Config = None,
) -> None:
    """Remove a key: it opens nothing from now on."""
    from neural_hive.api.api_keys import remove_key

    removed = remove_key(load_settings(config, running=False, data=data).api_folder, key_id)
    typer.echo(f"removed the key of {removed.name}")


def _roles(given: list[str]) -> "list[Role]":
    from neural_hive.api.permissions import Role

    known = [role.value for role in Role]
    if unknown := [role for role in given if role not in known]:
        raise BadSettings(f"--role {unknown[0]}: it must be one of {', '.join(known)}")
    return [Role(role) for role in given]
