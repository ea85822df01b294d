"""What the `replay` commands share: their options, the log that they read, and how they say where it was read."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import msgspec
import typer

from neural_hive.quiet import logs_to_stderr
from neural_hive.settings import Settings, load_settings

if TYPE_CHECKING:
    from neural_hive.aggregates.aggregate import Aggregate
    from neural_hive.replay.archive import ArchiveSource
    from neural_hive.replay.everything import Tables
    from neural_hive.replay.reader import LogSource, NotedSource, Told
    from neural_hive.streams.kernel.system import System

T = TypeVar("T")
Data = Annotated[
    Path | None, typer.Option("--data", help="Data folder [default: .neural-hive]", file_okay=False)
]
Config = Annotated[Path | None, typer.Option("--config", help="Settings file (TOML or YAML)", dir_okay=False)]
Reveal = Annotated[
    bool, typer.Option("--reveal", help="Show persons by name, if their keys are on this machine")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for machines")]
Id = Annotated[str, typer.Argument(help="Id of a workflow, ticket or other aggregate")]


class Source(StrEnum):
    """Where the log is read."""

    KAFKA = "kafka"
    ARCHIVE = "archive"


From = Annotated[
    Source,
    typer.Option(
        "--source",
        help="Read the log from Kafka, and the archive where Kafka has no more; or from the archive alone",
    ),
]


class Log(msgspec.Struct, frozen=True):
    """The log that a command looks at, and the systems that write it."""

    source: Any  # a NotedSource
    systems: tuple[Any, ...]
    settings: Settings

    @property
    def topics(self) -> list[str]:
        """The topics that events stand in."""
        return sorted({a.topic for system in self.systems for a in system.aggregates})

    def shown(self, found: T, reveal: bool, as_json: bool = False) -> T:
        """What is told of the log; to machines with the ciphertexts as they are, unless names are asked for."""
        return found if as_json and not reveal else shown(self.settings, found, reveal)

    @property
    def aggregates(self) -> "list[Aggregate[Any]]":
        """The aggregates of all systems."""
        return [a for system in self.systems for a in system.all_aggregates]


@contextmanager
def looked_at(source: Source, data: Path | None, config: Path | None) -> Iterator[Log]:
    """The log; afterwards it is said where it was read, if not from Kafka alone."""
    from rich.console import Console

    from neural_hive.replay.archive import ArchiveSource
    from neural_hive.replay.reader import NotedSource

    logs_to_stderr()
    settings = load_settings(config, data=data)
    archive = ArchiveSource.of(settings)
    noted = NotedSource(read_of(settings, archive, source is Source.ARCHIVE))
    try:
        yield Log(noted, systems_of(settings), settings)
        if read := _read_from(noted, archive.name):
            Console(stderr=True).print(read, highlight=False)
    finally:
        archive.close()


@contextmanager
def reading(disable: bool = False) -> "Iterator[Told]":
    """Shows on a terminal how much of a log was read so far, and where it is read now."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:,.0f} records read"),
        TimeElapsedColumn(),
    )
    console = Console(stderr=True)
    hidden = disable or not console.is_terminal
    with Progress(*columns, console=console, transient=True, disable=hidden) as progress:
        task = progress.add_task("log", total=None)  # parts of it are read more than once
        yield lambda topic, partition, count: progress.update(
            task, advance=count, description=f"{topic}:{partition}"
        )


def read_of(settings: Settings, archive: "ArchiveSource", from_archive: bool) -> "LogSource":
    """Where the log is read: the archive alone, or where Kafka has no more."""
    from neural_hive.replay.reader import JoinedSource, KafkaSource

    archive.partitions = settings.partitions
    return archive if from_archive else JoinedSource(archive, KafkaSource(kafka_of(settings)))


def systems_of(settings: Settings) -> "tuple[System, ...]":
    """All systems, as the settings have them."""
    from neural_hive.streams.systems import SYSTEMS

    return tuple(build(settings) for build in SYSTEMS.values())


def kafka_of(settings: Settings) -> dict[str, Any]:
    """Kafka's connection, for a command: what goes wrong is said once."""
    return {**settings.kafka_config(), "log_level": 2}


def schemas_of_others(settings: Settings) -> Callable[[int], dict[str, Any]]:
    """Looks schemas up in the registry, which need not be there as long as none is asked for."""
    known: list[Any] = []

    def schema(number: int) -> dict[str, Any]:
        if not known:
            from neural_hive.connectors.foreign_schemas import ForeignSchemas

            known.append(ForeignSchemas(settings.schema_registry_url))
        found: dict[str, Any] = known[0].schema(number)
        return found

    return schema


def tables_of(settings: Settings) -> "Tables":
    """The ClickHouse database, as a reader and as what makes tables anew."""
    from neural_hive.connectors.clickhouse import ClickHouse
    from neural_hive.projections.http_store import HttpStore
    from neural_hive.replay.everything import Tables

    password = settings.password_of(settings.clickhouse_user)
    return Tables(
        ClickHouse.of(settings, password, secure=settings.clickhouse_secure), HttpStore.of(settings)
    )


def shown(settings: Settings, found: T, reveal: bool) -> T:
    """With persons as people read them: by name if that is asked for, else shortened. Raises SubjectKeysUnusable."""
    from neural_hive.connectors.personal import Personal, Shown

    return Personal.of(settings).shown_in(found, Shown.CLEAR if reveal else Shown.SHORT)


def print_json(value: Any) -> None:
    """One JSON document, for machines and still to be read."""
    typer.echo(msgspec.json.format(msgspec.json.encode(value, enc_hook=str)))


def _read_from(noted: "NotedSource", archive: str) -> str:
    """Which parts of the log came from which source; empty if the archive was not used."""
    if not any(part.source == archive and part.records for part in noted.parts):
        return ""
    topics: dict[str, set[str]] = {}
    for part in noted.parts:
        if part.records:
            topics.setdefault(part.source, set()).add(part.topic)
    return "Read " + "; ".join(
        f"from {source}: {', '.join(sorted(names))}" for source, names in sorted(topics.items())
    )
