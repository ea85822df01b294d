"""`erase` and `subject`: a person's data become unreadable; and by which pseudonym the log knows a person."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Final

import orjson
import typer

from neural_hive.commands.publish import refuse
from neural_hive.commands.replay_source import Config, Data, kafka_of, read_of
from neural_hive.quiet import logs_to_stderr
from neural_hive.settings import Settings, load_settings

if TYPE_CHECKING:
    from neural_hive.erasing import Eraser, Outcome

UNFIT: Final = 2
NO_ANSWER: Final = 3
_NAME: Final = "The person's name, as it was given to what was published; - takes it from standard input"
Json = Annotated[bool, typer.Option("--json", help="One JSON document")]


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    app.command()(erase)
    app.command()(subject)


def erase(
    subject: Annotated[str | None, typer.Argument(help=f"{_NAME}. Or a subject id")] = None,
    reason: Annotated[str, typer.Option("--reason", help="Why; it stays in the log")] = "",
    by: Annotated[str, typer.Option("--by", help="Who asks for it; encrypted")] = "",
    from_log: Annotated[
        bool,
        typer.Option("--from-log", help="Destroy again all keys of whom the log says that they are erased"),
    ] = False,
    timeout: Annotated[float, typer.Option(help="Give up waiting after so many seconds", min=0.1)] = 60.0,
    json: Json = False,
    data: Data = None,
    config: Config = None,
) -> None:
    """Destroy a person's key: what the log says of the person is readable no more, and the log says that it is so.

    Exit code: 0 erased, now or before; 1 no such person, or the keys cannot be used; 2 it cannot be asked for like
    this; 3 no answer in time, and nothing is destroyed.
    """
    from neural_hive.erasing import BadErasure, NotAnswered
    from neural_hive.following import Unreachable
    from neural_hive.schemas.codec import BadRecord

    if (subject is None) is not from_log:
        refuse(["give the name of a person or a subject id, or --from-log"], UNFIT, json)
    logs_to_stderr()
    with _eraser(load_settings(config, data=data)) as eraser:
        try:
            found = (
                eraser.erase_again()
                if subject is None
                else [eraser.erase(_name(subject), reason, by, timeout)]
            )
        except (BadErasure, BadRecord) as error:
            refuse([str(error)], UNFIT, json)
        except (Unreachable, NotAnswered) as error:
            refuse([str(error)], NO_ANSWER, json)
    _show(found, json)


def subject(
    name: Annotated[str, typer.Argument(help=_NAME)],
    data: Data = None,
    config: Config = None,
) -> None:
    """Print the subject id of a person: what stands in front of all that the log says of the person."""
    from neural_hive.connectors.key_folder import KeyFolder

    settings = load_settings(config, running=False, data=data)
    typer.echo(KeyFolder(settings.subject_keys_folder).subject_of(_name(name)))


@contextmanager
def _eraser(settings: Settings) -> "Iterator[Eraser]":
    from neural_hive.connectors.personal import Personal
    from neural_hive.erasing import Eraser
    from neural_hive.replay.archive import ArchiveSource

    archive = ArchiveSource.of(settings)
    try:
        yield Eraser(kafka_of(settings), read_of(settings, archive, False), Personal.of(settings))
    finally:
        archive.close()


def _name(given: str) -> str:
    """What is on the command line is seen by all on the machine, and kept by shells."""
    return sys.stdin.read().strip() if given == "-" else given


def _show(found: "list[Outcome]", json: bool) -> None:
    if json:
        told = [
            {
                "status": "ERASED" if one.was_there else "ERASED_BEFORE",
                "subject_id": one.subject_id,
                "event": one.place,
            }
            for one in found
        ]
        typer.echo(orjson.dumps(told, option=orjson.OPT_INDENT_2))
        return
    for one in found:
        if one.was_there:
            typer.echo(f"erased: the key of subject {one.subject_id} is destroyed, event {one.place}")
        else:
            typer.echo(
                f"erased before{f': subject {one.subject_id}, event {one.place}' if one.place else ''}"
            )
    if not found:
        typer.echo("nothing to erase: the log names no subject whose key was here")
