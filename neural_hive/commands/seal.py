"""`sealer`, `witness`, `keys`: who signs that the log only grew, and with what."""

from typing import Annotated

import typer

from neural_hive.commands.replay_report import AUDITOR
from neural_hive.commands.replay_source import Config, Data
from neural_hive.process import process, stop_event
from neural_hive.settings import load_settings


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    app.command()(sealer)
    app.command()(witness)
    app.command()(keys)


def sealer(data: Data = None, config: Config = None) -> None:
    """Sign from time to time that the log is as it is, and only grew."""
    settings = load_settings(config, data=data)
    with process(settings, "sealer") as ready:
        from neural_hive.replay.archive import ArchiveSource
        from neural_hive.replay.seal.keys import held_key
        from neural_hive.replay.seal.note import LOG
        from neural_hive.replay.seal.sealer import Files, run

        folder = settings.seal_folder
        key = held_key(folder, "seal", LOG, settings.seal_origin)
        files = Files(folder, settings.seals_file)
        run(settings, key, files, lambda: ArchiveSource.of(settings), stop_event(), ready)


def witness(
    seals: Annotated[
        str | None, typer.Option(help="Read the seals from this file or URL [default: from the topic]")
    ] = None,
    data: Data = None,
    config: Config = None,
) -> None:
    """Cosign what the sealer signs, if it fits all that was seen before. Best run by somebody else, elsewhere."""
    settings = load_settings(config, data=data)
    with process(settings, "witness") as ready:
        from neural_hive.replay.seal.keys import held_key, sealer_key
        from neural_hive.replay.seal.note import WITNESS
        from neural_hive.replay.seal.witness import run

        folder = settings.witness_folder
        key = held_key(folder, "witness", WITNESS, settings.witness_name)
        stopping = stop_event()
        log_key = sealer_key(settings.seal_key, settings.seal_folder, stopping)
        if log_key is not None:
            run(settings.kafka_config(), key, log_key, folder, seals, stopping, ready)


def keys(
    begin_anew: Annotated[
        str,
        typer.Option(
            help="Seal under a new key from now on, for this reason: after a damage that was accepted"
        ),
    ] = "",
    data: Data = None,
    config: Config = None,
) -> None:
    """Show the public keys of sealer, witness and auditor: who checks proofs and reports elsewhere must have them."""
    from neural_hive.replay.seal.keys import public_file
    from neural_hive.replay.seal.succession import begin_anew as set_aside

    settings = load_settings(config, running=False, data=data)
    if begin_anew:
        aside = set_aside(settings.seal_folder, settings.seals_file, begin_anew)
        typer.echo(f"the old keys are in {aside}; a sealer that runs begins anew by itself")
        return
    held = (
        ("seal", settings.seal_folder),
        ("witness", settings.witness_folder),
        (AUDITOR, settings.data / AUDITOR),
    )
    for who, folder in held:
        file = public_file(folder, who)
        if file.is_file():
            typer.echo(f"{file}\t{file.read_text().strip()}")
