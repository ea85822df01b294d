"""`alertmanager-sender`: the process that tells an Alertmanager of violations and exclusions."""

import typer

from neural_hive.commands.shown import Config, Data
from neural_hive.process import process, stop_event
from neural_hive.settings import load_settings


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("alertmanager-sender")(alertmanager_sender)


def alertmanager_sender(data: Data = None, config: Config = None) -> None:
    """Tell an Alertmanager of violations as alerts, and of what budgets exclude as silences. Several may run."""
    settings = load_settings(config, data=data)
    with process(settings, "alertmanager-sender") as ready:
        from neural_hive.sdk.tables import client_as
        from neural_hive.streams.alertmanager.sender import run
        from neural_hive.told_alertmanager import alertmanager_of

        stopping, server = stop_event(), alertmanager_of(settings)
        try:
            with client_as(settings, settings.clickhouse_reader) as tables:
                run(settings, tables, server, stopping, ready)
        finally:
            server.close()
