"""`neural-hive replay verify --report FILE`, `check-report`: what was verified, signed by who has verified it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from neural_hive.settings import BadSettings, Settings

if TYPE_CHECKING:
    from neural_hive.replay.report import Report

AUDITOR = "auditor"  # folder and name of the key that reports are signed with

ReportFile = Annotated[
    Path | None,
    typer.Option(
        "--report",
        help="Write the report, signed, to this file (JSON), and beside it one to be read (.md)",
        dir_okay=False,
    ),
]


def register(replay: typer.Typer) -> None:
    """Adds the command to those of `replay`."""
    replay.command("check-report")(check_report)


def write(report: "Report", settings: Settings, source: str, file: Path) -> str:
    """Writes both files; the public key that goes with them. Raises BadSettings: they cannot be written."""
    from neural_hive.connectors.disk import write_whole
    from neural_hive.replay.seal.keys import held_key
    from neural_hive.replay.seal.note import LOG
    from neural_hive.replay.signed_report import Verified, markdown, now, signed

    key = held_key(settings.data / AUDITOR, AUDITOR, LOG)
    verified = Verified(now(), settings.kafka_bootstrap, source, report.exit_code, report)
    try:
        write_whole(file, signed(verified, key))
        write_whole(file.with_suffix(".md"), markdown(verified, key.public).encode())
    except OSError as error:
        raise BadSettings(f"{file} cannot be written: {error.strerror}") from None
    return key.public.text


def check_report(
    file: Annotated[Path, typer.Argument(help="Signed report (JSON)", exists=True, dir_okay=False)],
    key: Annotated[str, typer.Option(help="Public key of who has verified, or the file that holds it")],
) -> None:
    """Check with nothing but the public key that a report is as it was signed; say what it comes to.

    The exit code is the report's: 0 all holds, 1 something was found, 2 not verified to the end; 1 too if it is not as
    it was signed.
    """
    from neural_hive.replay.report import verdict
    from neural_hive.replay.seal.keys import public_key
    from neural_hive.replay.signed_report import checked

    signer = public_key(key)
    verified = checked(file.read_bytes(), signer)
    typer.echo(f"signed by {signer.name}, verified at {verified.verified_at}, log at {verified.kafka}")
    typer.echo(verdict(verified.report))
    raise typer.Exit(verified.exit_code)
