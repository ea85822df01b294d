"""`neural-hive replay`: what the log says, and the proof that it says what was written."""

import time
from enum import StrEnum
from typing import Annotated

import msgspec
import typer
from rich.console import Console

from neural_hive.commands import replay_look, replay_rebuild, replay_report, replay_rerun, replay_seal
from neural_hive.commands.replay_source import (
    AsJson,
    Config,
    Data,
    From,
    Source,
    kafka_of,
    print_json,
    reading,
    schemas_of_others,
    systems_of,
    tables_of,
)
from neural_hive.quiet import logs_to_stderr
from neural_hive.settings import BadSettings, load_settings


class Part(StrEnum):
    """What can be left out of a verification."""

    ARCHIVE = "archive"
    STATE = "state"
    SEAL = "seal"


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
    report_file: replay_report.ReportFile = None,
    as_json: AsJson = False,
    data: Data = None,
    config: Config = None,
) -> None:
    """Prove the log: chains, versions, sequence, ids, every input answered; archive, read models, state
    and seal equal it.

    Exit code 0: all holds. 1: something was found. 2: it could not be verified to the end.
    """
    from neural_hive.replay.everything import Request, verify_everything
    from neural_hive.replay.report import render
    from neural_hive.supervisor_metrics import Verified, keep_verified

    logs_to_stderr()
    settings = load_settings(config, data=data)
    left_out = set(without or ())
    states = settings.data / "processors"
    systems = systems_of(settings)
    known = {a.topic for system in systems for a in system.aggregates}
    if unknown := sorted(set(topic or ()) - known):
        raise BadSettings(f"no event topic {', '.join(unknown)}; there are: {', '.join(sorted(known))}")
    request = Request(
        systems=systems,
        kafka=kafka_of(settings),
        tables=None if Part.ARCHIVE in left_out and source is Source.KAFKA else tables_of(settings),
        states=states if Part.STATE not in left_out and states.is_dir() else None,
        from_archive=source is Source.ARCHIVE,
        topics=tuple(topic or ()),
        fetch_schema=schemas_of_others(settings),
        sealing=None if Part.SEAL in left_out else replay_seal.sealing(settings),
        decide=replay_rerun.decide(settings, decisions, code, topic, schemas_of_others(settings)),
    )
    with reading(disable=as_json) as told:
        report = verify_everything(msgspec.structs.replace(request, told=told))
    if not (left_out or topic):
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
        render(report, Console())
    raise typer.Exit(report.exit_code)
