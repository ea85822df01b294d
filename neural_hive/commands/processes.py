"""Each process of the system on its own, with settings that may point at real servers."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from neural_hive.connectors.ports import HOST, answers_ok
from neural_hive.process import Readiness, process, processor_name, stop_event
from neural_hive.settings import BadSettings, Settings, load_settings

if TYPE_CHECKING:
    from neural_hive.projections.archive_reader import ArchiveReader

REGISTRY: Final = "registry"  # the system that agents tell of themselves

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
    names: Annotated[
        list[str], typer.Argument(help="The systems to run in one process, such as orchestrator")
    ],
    data: Data = None,
    config: Config = None,
) -> None:
    """Run one worker of the processors of one or more systems. Start more of them to share their partitions."""
    from neural_hive.streams.systems import SYSTEMS

    for name in names:
        if name not in SYSTEMS:
            raise BadSettings(f"there is no system {name}; there are: {', '.join(sorted(SYSTEMS))}")
    if len(set(names)) < len(names):
        raise BadSettings("a system can be named once: start another process to have another worker of it")
    settings = load_settings(config, data=data)
    with process(settings, processor_name(names)) as ready:
        run_processor(settings, names, ready)


def run_processor(settings: Settings, names: Sequence[str], ready: Readiness) -> None:
    """Runs systems by their names until the process is told to stop."""
    from neural_hive.connectors.foreign_schemas import ForeignSchemas
    from neural_hive.streams.flow_c.follow import followed
    from neural_hive.streams.runner import run_systems
    from neural_hive.streams.sla.metrics import follow_sla
    from neural_hive.streams.systems import SYSTEMS

    systems = [SYSTEMS[name](settings) for name in names]
    follow_sla(systems, settings.sla_metrics_slos)
    foreign = ForeignSchemas(settings.schema_registry_url)
    folder = settings.data / "processors"
    with followed(systems, settings):
        run_systems(
            systems,
            settings.kafka_config(),
            folder,
            ready,
            fetch_schema=foreign.schema,
            open_archive=partial(_archive, settings),
            on_stopped=ready.tell_stopped,
        )


def _archive(settings: Settings) -> "ArchiveReader":
    """What goes on where Kafka has no more: its client is loaded when it is needed."""
    from neural_hive.projections.archive_reader import ArchiveReader

    return ArchiveReader.of(settings)


def _known(schemas: tuple[int, ...]) -> tuple[int, ...]:
    from neural_hive.schemas.catalogue import registered

    if unknown := [number for number in schemas if number not in registered()]:
        raise BadSettings(f"schemas_until: this build knows no schema id {unknown[0]}")
    return schemas


def projector(data: Data = None, config: Config = None) -> None:
    """Bring the log into ClickHouse, exactly once."""
    settings = load_settings(config, data=data)
    with process(settings, "projector") as ready:
        from neural_hive.projections.projector import run

        run(settings, stop_event(), ready)


def worker(data: Data = None, config: Config = None) -> None:
    """Execute the tickets of this machine's agent."""
    settings = load_settings(config, data=data)
    with process(settings, "worker") as ready:
        from neural_hive.streams.worker.worker import run

        stopping = stop_event()
        with _told_to_registry(settings):
            run(settings, stopping, ready)


@contextmanager
def _told_to_registry(settings: Settings) -> Iterator[None]:
    """Best effort: the worker works whether or not the registry hears of it."""
    if REGISTRY not in settings.systems:
        yield
        return
    from neural_hive.sdk.agent import AgentClient, AgentConfig, AgentTelemetry
    from neural_hive.streams.worker.metrics import standing

    config = AgentConfig(
        settings.agent_id,
        capabilities=settings.worker_capabilities,
        task_types=settings.worker_task_types,
        capacity=settings.worker_concurrency,
        heartbeat_every_s=settings.agent_heartbeat_s,
    )

    def telemetry() -> AgentTelemetry:
        now = standing()
        return AgentTelemetry(
            now.success_rate, min(now.running / settings.worker_concurrency, 1.0), now.latency_ms
        )

    client = AgentClient(config, settings.kafka_config(), telemetry)
    client.start()
    try:
        yield
    finally:
        client.close("its worker has ended")


def clickhouse(data: Data = None, config: Config = None) -> None:
    """Serve the embedded ClickHouse engine over ClickHouse's HTTP protocol."""
    settings = load_settings(config, data=data)
    with process(settings, "clickhouse") as ready:
        from neural_hive.connectors.clickhouse_embedded import run

        password = settings.clickhouse_password
        run(
            settings.clickhouse_folder,
            settings.clickhouse_http_port,
            password=password.get_secret_value() if password else None,
            database=settings.clickhouse_database,
            ready=ready.file,
            users=settings.sql_users_file,
        )


def schema_registry(data: Data = None, config: Config = None) -> None:
    """Serve the schema registry's REST API; the schemas are in the topic _schemas."""
    settings = load_settings(config, data=data)
    url = f"http://{HOST}:{settings.schema_registry_port}/ready"
    with process(settings, "schema-registry", lambda: answers_ok(url)):
        from neural_hive.connectors.schema_registry_process import run

        run(
            settings.kafka_bootstrap,
            settings.schema_registry_port,
            kafka=settings.kafka_security(),
            fill=True,
        )


def topics(data: Data = None, config: Config = None) -> None:
    """Create the topics that are missing on the Kafka cluster of the settings, and check the others."""
    from neural_hive.system import prepare_topics

    created = prepare_topics(load_settings(config, data=data))
    typer.echo(f"created: {', '.join(created)}" if created else "all topics are there")
