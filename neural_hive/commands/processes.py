"""Each process of the system on its own, with settings that may point at real servers."""

from pathlib import Path
from typing import Annotated

import typer

from neural_hive.process import Readiness, process, stop_event
from neural_hive.settings import BadSettings, Settings, load_settings

Data = Annotated[
    Path | None, typer.Option("--data", help="Data folder [default: .neural-hive]", file_okay=False)
]
Config = Annotated[Path | None, typer.Option("--config", help="Settings file (TOML or YAML)", dir_okay=False)]


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    app.command()(processor)
    app.command()(projector)
    app.command()(worker)
    app.command()(clickhouse)
    app.command("schema-registry")(schema_registry)
    app.command()(topics)


def processor(
    name: Annotated[str, typer.Argument(help="The system to run, such as orchestrator")],
    data: Data = None,
    config: Config = None,
) -> None:
    """Run one worker of a system's processor. Start more of them to share its partitions."""
    from neural_hive.streams.systems import SYSTEMS

    if name not in SYSTEMS:
        raise BadSettings(f"there is no system {name}; there are: {', '.join(sorted(SYSTEMS))}")
    settings = load_settings(config, data=data)
    with process(settings.data, f"processor-{name}", settings.log_level) as ready:
        run_processor(settings, name, ready)


def run_processor(settings: Settings, name: str, ready: Readiness) -> None:
    """Runs a system by its name until the process is told to stop."""
    from neural_hive.streams.runner import run_system
    from neural_hive.streams.systems import SYSTEMS

    run_system(SYSTEMS[name](settings), settings.kafka_config(), settings.data / "processors", ready)


def projector(data: Data = None, config: Config = None) -> None:
    """Bring the log into ClickHouse, exactly once."""
    settings = load_settings(config, data=data)
    with process(settings.data, "projector", settings.log_level) as ready:
        from neural_hive.projections.projector import run

        run(settings, stop_event(), ready)


def worker(data: Data = None, config: Config = None) -> None:
    """Execute the tickets of this machine's agent."""
    settings = load_settings(config, data=data)
    with process(settings.data, "worker", settings.log_level) as ready:
        from neural_hive.streams.worker import run

        run(settings, stop_event(), ready)


def clickhouse(data: Data = None, config: Config = None) -> None:
    """Serve the embedded ClickHouse engine over ClickHouse's HTTP protocol."""
    settings = load_settings(config, data=data)
    with process(settings.data, "clickhouse", settings.log_level) as ready:
        from neural_hive.connectors.clickhouse_embedded import run

        password = settings.clickhouse_password
        run(
            settings.clickhouse_folder,
            settings.clickhouse_http_port,
            password=password.get_secret_value() if password else None,
            database=settings.clickhouse_database,
            ready=ready.file,
        )


def schema_registry(data: Data = None, config: Config = None) -> None:
    """Serve the schema registry's REST API; the schemas are in the topic _schemas."""
    settings = load_settings(config, data=data)
    with process(settings.data, "schema-registry", settings.log_level):
        from neural_hive.connectors.schema_registry import run

        run(settings.kafka_bootstrap, settings.schema_registry_port, kafka=settings.kafka_security())


def topics(data: Data = None, config: Config = None) -> None:
    """Create the topics that are missing on the Kafka cluster of the settings, and check the others."""
    from neural_hive.system import prepare_topics

    created = prepare_topics(load_settings(config, data=data))
    typer.echo(f"created: {', '.join(created)}" if created else "all topics are there")
