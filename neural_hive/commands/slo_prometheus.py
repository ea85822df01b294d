"""`sli-prometheus`: the process that counts the SLIs which Prometheus knows."""

import typer

from neural_hive.commands.shown import Config, Data
from neural_hive.process import process, stop_event
from neural_hive.settings import load_settings


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("sli-prometheus")(sli_prometheus)


def sli_prometheus(data: Data = None, config: Config = None) -> None:
    """Ask Prometheus for the events of SLOs, minute by minute. Several may run: each minute counts once."""
    settings = load_settings(config, data=data)
    with process(settings, "sli-prometheus") as ready:
        from neural_hive.asked_prometheus import prometheus_of
        from neural_hive.sdk.tables import client_as
        from neural_hive.streams.sli_prometheus.minute_counter import run

        stopping, prometheus = stop_event(), prometheus_of(settings)
        try:
            with client_as(settings, settings.clickhouse_reader) as tables:
                run(settings, tables, prometheus, stopping, ready)
        finally:
            prometheus.close()
