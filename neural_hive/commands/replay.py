"""`neural-hive replay`: what the log says, and the proof that it says what was written."""

from collections.abc import Callable
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from neural_hive.commands import replay_rerun
from neural_hive.quiet import logs_to_stderr
from neural_hive.settings import BadSettings, Settings, load_settings

Data = Annotated[
    Path | None, typer.Option("--data", help="Data folder [default: .neural-hive]", file_okay=False)
]
Config = Annotated[Path | None, typer.Option("--config", help="Settings file (TOML or YAML)", dir_okay=False)]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for machines")]
Id = Annotated[str, typer.Argument(help="Id of a workflow, ticket or other aggregate")]


class Source(StrEnum):
    """Where the log is read."""

    KAFKA = "kafka"
    ARCHIVE = "archive"


class Part(StrEnum):
    """What can be left out of a verification."""

    ARCHIVE = "archive"
    STATE = "state"


From = Annotated[
    Source,
    typer.Option(
        "--source",
        help="Read the log from Kafka, and the archive where Kafka has no more; or from the archive alone",
    ),
]


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    replay = typer.Typer(no_args_is_help=True, help="Verify what the log and the tables say.")
    replay.command()(verify)
    replay.command()(state)
    replay.command()(history)
    replay_rerun.register(replay)
    app.add_typer(replay, name="replay")


def verify(
    source: From = Source.KAFKA,
    topic: Annotated[list[str] | None, typer.Option(help="Only these event topics [default: all]")] = None,
    without: Annotated[list[Part] | None, typer.Option(help="Leave out a part")] = None,
    decisions: replay_rerun.Decisions = False,
    code: replay_rerun.Revision = None,
    as_json: AsJson = False,
    data: Data = None,
    config: Config = None,
) -> None:
    """Prove the log: chains, versions, sequence, ids, every input answered; archive, read models and state equal it.

    Exit code 0: all holds. 1: something was found. 2: it could not be verified to the end.
    """
    from neural_hive.replay.everything import Request, verify_everything
    from neural_hive.replay.report import render

    logs_to_stderr()
    settings = load_settings(config, data=data)
    left_out = set(without or ())
    states = settings.data / "processors"
    known = {a.topic for system in _systems(settings) for a in system.aggregates}
    if unknown := sorted(set(topic or ()) - known):
        raise BadSettings(f"no event topic {', '.join(unknown)}; there are: {', '.join(sorted(known))}")
    request = Request(
        systems=_systems(settings),
        kafka=_quiet(settings),
        tables=None if Part.ARCHIVE in left_out and source is Source.KAFKA else _tables(settings),
        states=states if Part.STATE not in left_out and states.is_dir() else None,
        from_archive=source is Source.ARCHIVE,
        topics=tuple(topic or ()),
        fetch_schema=_schemas_of_others(settings),
        decide=replay_rerun.decide(settings, decisions, code, topic, _schemas_of_others(settings)),
    )
    report = verify_everything(request)
    if as_json:
        typer.echo(
            msgspec.json.format(msgspec.json.encode({**_fields(report), "exit_code": report.exit_code}))
        )
    else:
        render(report, Console())
    raise typer.Exit(report.exit_code)


def state(
    aggregate_id: Id,
    at: Annotated[str | None, typer.Option(help="As of this time (ISO 8601; UTC unless it says)")] = None,
    version: Annotated[int | None, typer.Option(help="As of this version", min=1)] = None,
    source: From = Source.KAFKA,
    data: Data = None,
    config: Config = None,
) -> None:
    """Show what an aggregate is, or was: the fold of its events, as JSON."""
    from neural_hive.replay.history import Moment
    from neural_hive.replay.history import state as fold

    settings = load_settings(config, data=data)
    found = _history(settings, source, aggregate_id, Moment(_micros(at), version))
    last = found[-1]
    aggregates = [a for system in _systems(settings) for a in system.all_aggregates]
    shown = {
        "aggregate_type": last.envelope.aggregate_type,
        "aggregate_id": aggregate_id,
        "version": last.envelope.version,
        "occurred_at": _time(last.envelope.occurred_at),
        "hash": last.hash,
        "state": msgspec.to_builtins(fold(found, aggregates)),
    }
    typer.echo(msgspec.json.format(msgspec.json.encode(shown)))


def history(
    aggregate_id: Id,
    as_json: AsJson = False,
    source: From = Source.KAFKA,
    data: Data = None,
    config: Config = None,
) -> None:
    """Show all that happened to an aggregate, in order, with what caused it."""
    from neural_hive.replay.history import Moment

    found = _history(load_settings(config, data=data), source, aggregate_id, Moment())
    if as_json:
        typer.echo(msgspec.json.format(msgspec.json.encode(found, enc_hook=str)))
        return
    table = Table()
    for name in ("version", "occurred at (UTC)", "event", "where", "caused by", "hash"):
        table.add_column(name, overflow="fold")
    for happening in found:
        head = happening.envelope
        cells = (head.event_type, happening.place, head.causation_id, happening.hash[:16])
        table.add_row(str(head.version), _time(head.occurred_at), *cells)
    Console().print(table)


def _systems(settings: Settings) -> tuple[Any, ...]:
    from neural_hive.streams.systems import SYSTEMS

    return tuple(build(settings) for build in SYSTEMS.values())


def _tables(settings: Settings) -> Any:
    from neural_hive.connectors.clickhouse import ClickHouse
    from neural_hive.projections.http_store import HttpStore
    from neural_hive.replay.everything import Tables

    password = settings.password_of(settings.clickhouse_user)
    store = HttpStore(
        settings.clickhouse_host,
        settings.clickhouse_port,
        settings.clickhouse_user,
        password,
        settings.clickhouse_database,
        settings.clickhouse_secure,
    )
    return Tables(ClickHouse.of(settings, password, secure=settings.clickhouse_secure), store)


def _schemas_of_others(settings: Settings) -> Callable[[int], dict[str, Any]]:
    """Looks schemas up in the registry, which need not be there as long as none is asked for."""
    known: list[Any] = []

    def schema(number: int) -> dict[str, Any]:
        if not known:
            from neural_hive.connectors.schema_registry import ForeignSchemas

            known.append(ForeignSchemas(settings.schema_registry_url))
        found: dict[str, Any] = known[0].schema(number)
        return found

    return schema


def _history(settings: Settings, source: Source, aggregate_id: str, moment: Any) -> Any:
    from neural_hive.replay.archive import ArchiveSource
    from neural_hive.replay.history import history as read
    from neural_hive.replay.history import missing_before
    from neural_hive.replay.reader import JoinedSource, KafkaSource, NotedSource

    logs_to_stderr()
    archive = ArchiveSource.of(settings)
    log = NotedSource(
        archive if source is Source.ARCHIVE else JoinedSource(archive, KafkaSource(_quiet(settings)))
    )
    topics = sorted({a.topic for system in _systems(settings) for a in system.aggregates})
    found = read(log, topics, aggregate_id, moment)
    console = Console(stderr=True)
    if any(part.source == archive.name and part.records for part in log.parts):
        console.print(f"Read from {', '.join(sorted({part.source for part in log.parts}))}")
    if missing := missing_before(found):
        console.print(f"versions 1 to {missing} are not there: what follows is only the rest", style="yellow")
    return found


def _quiet(settings: Settings) -> dict[str, Any]:
    return {**settings.kafka_config(), "log_level": 2}


def _fields(report: Any) -> dict[str, Any]:
    fields: dict[str, Any] = msgspec.to_builtins(report)
    return fields


def _micros(text: str | None) -> int | None:
    if text is None:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise BadSettings(
            f"--at {text} is not a time: write it as 2026-05-04T13:00:00 or with +02:00"
        ) from None
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return int(at.timestamp() * 1_000_000)


def _time(at: int) -> str:
    return datetime.fromtimestamp(at / 1_000_000, UTC).isoformat(sep=" ", timespec="milliseconds")
