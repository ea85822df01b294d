"""`sli-history`: the process that counts what happened before SLOs were defined."""

from functools import partial

import typer

from neural_hive.commands.replay_source import schemas_of_others
from neural_hive.commands.shown import Config, Data
from neural_hive.process import process, stop_event
from neural_hive.settings import load_settings


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("sli-history")(sli_history)


def sli_history(data: Data = None, config: Config = None) -> None:
    """Count what the log holds from before SLOs were defined. Several may run: each event counts once."""
    settings = load_settings(config, data=data)
    with process(settings, "sli-history") as ready:
        from neural_hive.projections.archive_reader import ArchiveReader
        from neural_hive.streams.kernel.reading import MessageReader
        from neural_hive.streams.sli_history.historian import run

        read = MessageReader(schemas_of_others(settings))
        run(settings, partial(ArchiveReader.of, settings), read, stop_event(), ready)
