"""`neural-hive replay`: what the log says, and the proof that it says what was written."""

import time
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer
from rich.console import Console

from neural_hive.commands import replay_look, replay_rebuild, replay_report, replay_rerun, replay_seal
from neural_hive.commands.replay_source import (
    AsJson,
    Config,
    Data,
    From,
    Reveal,
    Source,
    kafka_of,
    print_json,
    reading,
    schemas_of_others,
    shown,
    systems_of,
    tables_of,
)
from neural_hive.quiet import logs_to_stderr
from neural_hive.settings import BadSettings, Settings, load_settings

if TYPE_CHECKING:
    from neural_hive.replay.everything import Request


class Part(StrEnum):
    """What can be left out of a verification."""

    ARCHIVE = "archive"
    STATE = "state"
    SEAL = "seal"


class Asked(msgspec.Struct, frozen=True):
    """What a person has asked to be verified. Another process makes the same request from it."""

    source: Source
    topics: tuple[str, ...]
    left_out: frozenset[Part]
    decisions: bool
    code: str | None


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    replay = typer.Typer(
        no_args_is_help=True, help="Verify what the log and the tables say; ask what was, and why."
    )
    replay.command()(verify)
    replay_look.register(replay)
    replay_seal.register(replay)
    replay.command()(replay_rebuild.rebuild)
    replay_rerun.register(replay)
    replay_report.register(replay)
    app.add_typer(replay, name="replay")


def verify(
    source: From = Source.KAFKA,
    topic: Annotated[list[str] | None, typer.Option(help="Only these event topics [default: all]")] = None,
    without: Annotated[list[Part] | None, typer.Option(help="Leave out a part")] = None,
    decisions: replay_rerun.Decisions = False,
    code: replay_rerun.Revision = None,
    processes: Annotated[
        int | None,
        typer.Option(
            help="How many processes share the work [default: one for each core, for a log that is worth it]",
            min=1,
            max=256,
        ),
    ] = None,
    resume: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Keep in this folder what is done; broken off, the same command goes on from there",
            file_okay=False,
        ),
    ] = None,
    report_file: replay_report.ReportFile = None,
    as_json: AsJson = False,
    reveal: Reveal = False,
    data: Data = None,
    config: Config = None,
) -> None:
    """Prove the log: chains, versions, sequence, ids, every input answered; archive, read models, state
    and seal equal it.

    Exit code 0: all holds. 1: something was found. 2: it could not be verified to the end.
    """
    from neural_hive.replay.everything import How, verify_everything
    from neural_hive.replay.report import render
    from neural_hive.supervisor_metrics import Verified, keep_verified

    settings = load_settings(config, data=data)
    asked = Asked(source, tuple(topic or ()), frozenset(without or ()), decisions, code)
    request = _request(settings, asked)
    how = How(processes, partial(_request, settings, asked), resume)
    with reading(disable=as_json) as told:
        report = verify_everything(msgspec.structs.replace(request, told=told), how)
    if not (asked.left_out or asked.topics):
        keep_verified(
            settings.data,
            Verified(time.time(), report.exit_code, report.findings_count, report.duration_s),
        )
    if report_file is not None:
        signer = replay_report.write(report, settings, source.value, report_file)
        Console(stderr=True).print(
            f"signed report in {report_file}; it is checked with {signer}", highlight=False, soft_wrap=True
        )
    if as_json:
        print_json({**msgspec.to_builtins(report), "exit_code": report.exit_code})
    else:
        render(shown(settings, report, reveal), Console())
    raise typer.Exit(report.exit_code)


def _request(settings: Settings, asked: Asked) -> "Request":
    """What to verify, with this process's connections. Raises BadSettings."""
    from neural_hive.replay.everything import Request

    logs_to_stderr()
    states = settings.data / "processors"
    systems = systems_of(settings)
    known = {a.topic for system in systems for a in system.aggregates}
    if unknown := sorted(set(asked.topics) - known):
        raise BadSettings(f"no event topic {', '.join(unknown)}; there are: {', '.join(sorted(known))}")
    fetch = schemas_of_others(settings)
    no_tables = Part.ARCHIVE in asked.left_out and asked.source is Source.KAFKA
    return Request(
        systems=systems,
        kafka=kafka_of(settings),
        tables=None if no_tables else tables_of(settings),
        states=states if Part.STATE not in asked.left_out and states.is_dir() else None,
        from_archive=asked.source is Source.ARCHIVE,
        partitions=settings.partitions,
        topics=asked.topics,
        fetch_schema=fetch,
        sealing=None if Part.SEAL in asked.left_out else replay_seal.sealing(settings),
        decide=replay_rerun.decide(settings, asked.decisions, asked.code, asked.topics, fetch),
    )
