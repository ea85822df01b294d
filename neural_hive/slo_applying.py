"""Brings SLOs and freeze policies to what a file says, each as a revision of what is there."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from neural_hive.commands.asking import CannotDo, ask
from neural_hive.sdk.tables import Reader, Tables
from neural_hive.settings import Settings
from neural_hive.slo_files import Report, read
from neural_hive.streams.sla_messages import COMMANDS, DefineFreezePolicy, DefineSlo

BYTES_MAX: Final = 4 * 1024 * 1024
_PROGRAM: Final = "neural-hive slo"
_SLOS: Final = "SELECT slo_id, revision FROM slos"
_POLICIES: Final = "SELECT policy_id, revision FROM freeze_policies"


class Change(msgspec.Struct, frozen=True):
    """What became of an SLO or policy."""

    kind: str
    name: str
    verdict: str


def understood(file: Path) -> Report:
    """What a file says. Raises CannotDo: it cannot be read."""
    try:
        if file.stat().st_size > BYTES_MAX:
            raise CannotDo(f"{file} is larger than {BYTES_MAX:,} bytes: make several of it")
        text = file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise CannotDo(f"{file} cannot be read: {error}") from error
    return read(text, file.name)


def applied(settings: Settings, report: Report, reason: str, by: str) -> Iterator[Change]:
    """Asks for each SLO and policy of a file, one after the other. Raises CannotDo: one was refused."""
    tables = Tables(settings)
    try:
        slos, policies = _revisions(tables, _SLOS), _revisions(tables, _POLICIES)
    finally:
        tables.close()
    for definition in report.definitions:
        name = definition.slo_id
        message = DefineSlo(name, definition, slos.get(name, 0), by, reason)
        yield Change("slo", name, ask(settings, _PROGRAM, COMMANDS, name, message).verdict.value)
    for policy in report.policies:
        name = policy.policy_id
        wanted = DefineFreezePolicy(name, policy, policies.get(name, 0), by, reason)
        yield Change("policy", name, ask(settings, _PROGRAM, COMMANDS, name, wanted).verdict.value)


def _revisions(reader: Reader, sql: str) -> dict[str, int]:
    return {str(name): int(revision) for name, revision in reader.rows(sql)}
