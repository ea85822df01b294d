"""`backup` and `restore`: a system is saved as of one moment, and set up again elsewhere."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from neural_hive.commands.replay_source import Config, Data, kafka_of, systems_of
from neural_hive.quiet import logs_to_stderr
from neural_hive.settings import PREFIX, Settings, load_settings

Folder = Annotated[Path, typer.Argument(help="The backup's folder", file_okay=False)]


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    app.command()(backup)
    app.command()(restore)


def backup(
    folder: Folder,
    check: Annotated[bool, typer.Option("--check", help="Only look whether the backup is whole")] = False,
    without_keys: Annotated[bool, typer.Option("--without-keys", help="Leave out the keys")] = False,
    limit: Annotated[
        float, typer.Option(help="How long the systems may take to come to rest, s", min=1, max=600)
    ] = 40.0,
    data: Data = None,
    config: Config = None,
) -> None:
    """Save log, archive, keys and artifacts as of one moment; a further backup into the same folder adds what is new.

    The system may be at work: its inputs are held up for about a second.
    """
    logs_to_stderr()
    if check:
        _check(folder)
        return
    from neural_hive.projections.archive_reader import ArchiveReader
    from neural_hive.replay.backup.copies import are_secret
    from neural_hive.replay.backup.saved import Source, back_up
    from neural_hive.schemas.extensions import all_topics

    settings = load_settings(config, data=data)
    source = Source(
        kafka=kafka_of(settings),
        systems=systems_of(settings),
        topics={name: topic.kind for name, topic in all_topics().items()},
        archive=ArchiveReader.of(settings),
        data=settings.data,
        build=version("neural-hive"),
        with_keys=not without_keys,
        limit_s=limit,
    )
    with _progress() as tell:
        manifest = back_up(source, folder, tell)
    console = Console()
    console.print(
        _told(folder, manifest), f"inputs were held for {manifest.held_s:.1f} s", sep="\n", highlight=False
    )
    if are_secret(manifest.keys):
        keys = f"keys are in {folder / 'keys'}: who has them can sign as this system. Keep them apart (--without-keys)"
        console.print(keys, style="yellow", highlight=False)
    for warning in manifest.warnings:
        console.print(f"note: {warning}", style="yellow", highlight=False)


def restore(
    folder: Folder,
    brokers: Annotated[int, typer.Option(help="Kafka brokers that are started here: 1 or 3")] = 1,
    data: Data = None,
    config: Config = None,
) -> None:
    """Restore a backup into an empty cluster: the servers of the settings, or ones that are started on the data folder.

    Nothing else may run on it. `neural-hive up` starts the system afterwards.
    """
    if brokers not in (1, 3):
        raise typer.BadParameter("must be 1 or 3", param_hint="--brokers")
    logs_to_stderr()
    settings = load_settings(config, running=False, data=data)
    with _servers(settings, brokers) as reached, _progress() as tell:
        manifest = _restored(folder, reached, tell)
    console = Console()
    console.print(_told(folder, manifest), "restored: the tables have all of it", sep="\n", highlight=False)
    counts = sorted({len(t.partitions) for t in manifest.topics if t.name in _declared()})
    if counts and counts != [settings.partitions]:
        told = (
            f"{PREFIX}PARTITIONS={counts[-1]}"
            if len(counts) == 1
            else "each topic's own number of partitions"
        )
        console.print(f"note: start it with {told}, as the backup has it", style="yellow", highlight=False)
    console.print("Next: neural-hive up, then neural-hive replay verify", highlight=False)


def _restored(folder: Path, settings: Settings, tell: Callable[[Any], None]) -> Any:
    from neural_hive.projections.http_store import HttpStore
    from neural_hive.replay.backup.restored import Target
    from neural_hive.replay.backup.restored import restore as run
    from neural_hive.schemas.extensions import all_topics

    store = HttpStore.of(settings)
    kinds = {name: topic.kind for name, topic in all_topics().items()}
    try:
        return run(
            folder, Target(kafka_of(settings), settings.replication, store, kinds, settings.data), tell
        )
    finally:
        store.close()


@contextmanager
def _servers(settings: Settings, brokers: int) -> Iterator[Settings]:
    """Kafka and ClickHouse: those of the settings, or started on the data folder for as long as this lasts."""
    from neural_hive.state import held
    from neural_hive.supervisor import Stage, Supervisor
    from neural_hive.system import plan_system

    with held(settings.data):
        plan = plan_system(settings, brokers)
        supervisor = Supervisor(settings.data, [Stage(plan.stages[0].services)], plan.endpoints, plan.notes)
        try:
            supervisor.start()
            yield plan.settings
        finally:
            supervisor.stop()
            if plan.kafka:
                plan.kafka.keep_class_cache()


def _check(folder: Path) -> None:
    from neural_hive.replay.backup.check import check

    with _progress() as tell:
        manifest = check(folder, tell)
    Console().print(_told(folder, manifest), "the backup is whole", sep="\n", highlight=False)


def _told(folder: Path, manifest: Any) -> str:
    size_bytes = sum(file.size_bytes for file in manifest.files)
    beside = f"{manifest.artifacts} artifacts, {len(manifest.keys)} keys"
    return (
        f"{folder}: {manifest.records:,} records of {len(manifest.topics)} topics in {len(manifest.files)} files "
        f"({size_bytes / 1e6:,.1f} MB), {beside}, as of {manifest.cut_at}"
    )


def _declared() -> frozenset[str]:
    from neural_hive.schemas.extensions import all_topics

    return frozenset(all_topics())


@contextmanager
def _progress() -> Iterator[Callable[[Any], None]]:
    """Shows how far it is, on a terminal."""
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as shown:
        task = shown.add_task("beginning", total=None)
        yield lambda told: shown.update(
            task, description=told.what or "ending", completed=told.done, total=told.all or None
        )
