"""`api`: the HTTP API as a process of its own."""

import typer

from neural_hive.commands.processes import Config, Data
from neural_hive.process import process, stop_event
from neural_hive.settings import load_settings


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command()(api)


def api(data: Data = None, config: Config = None) -> None:
    """Serve the HTTP API on a port of 127.0.0.1."""
    settings = load_settings(config, data=data)
    with process(settings, "api") as ready:
        from neural_hive.api.server import run

        # uvicorn hands a signal on when it has ended: to this event, which nobody asks by then.
        run(settings, stop_event(), ready)
