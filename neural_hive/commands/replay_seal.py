"""`neural-hive replay prove`, `check-proof`, `checkpoint`, `consistency`: what the seal of the log shows to others."""

from pathlib import Path
from typing import Annotated, Any

import typer

from neural_hive.commands.replay_source import Config, Data, kafka_of
from neural_hive.quiet import logs_to_stderr
from neural_hive.settings import BadSettings, Settings, load_settings

Out = Annotated[Path | None, typer.Option("--out", help="Write it to this file", dir_okay=False)]


def register(replay: typer.Typer) -> None:
    """Adds the commands."""
    replay.command()(prove)
    replay.command("check-proof")(check_proof)
    replay.command()(checkpoint)
    replay.command()(consistency)


def prove(
    what: Annotated[str, typer.Argument(help="Id of an event, or topic:partition:offset of any record")],
    out: Out = None,
    data: Data = None,
    config: Config = None,
) -> None:
    """Write the proof that a record is in the sealed log: whoever has it and the public key needs nothing else."""
    from neural_hive.replay.seal import prove as proofs

    settings = load_settings(config, data=data)
    source, history = _history(settings)
    place, offset = _place(source, what)
    proof = proofs.prove(source, history, proofs.cosigned(source, history), place, offset)
    _write(proofs.proof_bytes(proof), out)
    if out:
        typer.echo(f"{place[0]}:{place[1]}:{offset} is in checkpoint {proof.seal_index + 1}: proof in {out}")


def check_proof(
    file: Annotated[Path, typer.Argument(help="Proof file", exists=True, dir_okay=False)],
    key: Annotated[str, typer.Option(help="The sealer's public key, or the file that holds it")],
    witness: Annotated[
        list[str] | None, typer.Option(help="Public key of a witness that must have cosigned, or its file")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the record as JSON, bytes in base64")
    ] = False,
) -> None:
    """Check a proof with nothing but the public key: no Kafka, no settings. Exit code 1: it proves nothing."""
    import msgspec

    from neural_hive.replay.seal import proof as proofs
    from neural_hive.replay.seal.keys import public_key

    witnesses = [public_key(text) for text in witness or ()]
    proven = proofs.check_proof(proofs.read_proof(file.read_bytes()), public_key(key), witnesses)
    typer.echo(
        msgspec.json.format(msgspec.json.encode(proven)).decode() if as_json else proofs.described(proven)
    )


def checkpoint(
    number: Annotated[int | None, typer.Argument(help="Which one [default: the newest]", min=1)] = None,
    out: Out = None,
    data: Data = None,
    config: Config = None,
) -> None:
    """Print a checkpoint with all its signatures: kept elsewhere, it shows later whether the log only grew."""
    from neural_hive.replay.seal.prove import NotSealed, cosigned

    source, history = _history(load_settings(config, data=data))
    size = number or len(history.seals)
    if not 0 < size <= len(history.seals):
        raise NotSealed(f"there are {len(history.seals)} checkpoints")
    note = cosigned(source, history).get(size) or history.note(size - 1)
    _write(note.content.encode(), out)


def consistency(
    old: Annotated[str, typer.Option("--from", help="File of the older checkpoint, or its number")],
    new: Annotated[str, typer.Option("--to", help="File of the newer checkpoint, or its number")],
    data: Data = None,
    config: Config = None,
) -> None:
    """Prove that the log of one checkpoint begins with that of another. Exit code 1: it does not."""
    from neural_hive.replay.seal.prove import proof_text

    _, history = _history(load_settings(config, data=data))
    one, other = _checkpoint(history, old), _checkpoint(history, new)
    proof = history.consistency(one, other)
    typer.echo(f"checkpoint {other.size} begins with checkpoint {one.size}\n{proof_text(one, other, proof)}")


def _history(settings: Settings) -> Any:
    """The log, and all its seals."""
    from neural_hive.replay.archive import ArchiveSource
    from neural_hive.replay.reader import JoinedSource, KafkaSource
    from neural_hive.replay.seal.ledger import published
    from neural_hive.replay.seal.prove import History

    logs_to_stderr()
    key = _key(settings)
    kafka = KafkaSource(kafka_of(settings))
    source = JoinedSource(ArchiveSource.of(settings), kafka)
    return source, History(key, (seal for _, seal in published(kafka, key.name)))


def sealing(settings: Settings) -> Any:
    """What `verify` checks the seal with. Raises KeyRefused: a key that is named cannot be used."""
    from neural_hive.replay.checks.seal import Sealing
    from neural_hive.replay.seal.keys import public_file, public_key
    from neural_hive.replay.seal.sealed_topics import sealed_topics

    there = public_file(settings.seal_folder, "seal").is_file() or settings.seal_key
    own = public_file(settings.witness_folder, "witness")
    witnesses = [*settings.witness_keys, *([str(own)] if own.is_file() else [])]
    return Sealing(
        key=_key(settings) if there else None,
        file=settings.seals_file,
        witnesses=tuple({key.text: key for key in map(public_key, witnesses)}.values()),
        topics=tuple(sealed_topics()),
    )


def _key(settings: Settings) -> Any:
    """The sealer's public key as the settings name it. Raises KeyRefused."""
    from neural_hive.replay.seal.keys import public_file, public_key

    return public_key(settings.seal_key or str(public_file(settings.seal_folder, "seal")))


def _place(source: Any, what: str) -> tuple[tuple[str, int], int]:
    from neural_hive.replay.seal.prove import find_event
    from neural_hive.schemas.extensions import all_topics
    from neural_hive.schemas.topics import Kind

    match what.rsplit(":", 2):
        case [topic, partition, offset] if partition.isdecimal() and offset.isdecimal():
            return (topic, int(partition)), int(offset)
        case [_]:
            topics = [name for name, topic in all_topics().items() if topic.kind is Kind.EVENT]
            return find_event(source, topics, what)
    raise BadSettings(f"{what} is neither the id of an event nor a place such as execution.tickets:0:17")


def _checkpoint(history: Any, named: str) -> Any:
    from neural_hive.replay.seal.checkpoint import Checkpoint, opened
    from neural_hive.replay.seal.prove import NotSealed

    if not named.isdecimal():
        try:
            content = Path(named).read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise BadSettings(f"the checkpoint {named} cannot be read: {error}") from None
        return opened(content, history.chain.key)[1]
    if not 0 < int(named) <= len(history.seals):
        raise NotSealed(f"there are {len(history.seals)} checkpoints, and no {named}")
    return Checkpoint.parse(history.note(int(named) - 1).text)


def _write(content: bytes, out: Path | None) -> None:
    if out is None:
        typer.echo(content.decode(), nl=False)
        return
    try:
        out.write_bytes(content)
    except OSError as error:
        raise BadSettings(f"{out} cannot be written: {error.strerror}") from None
