"""Brings SLOs and freeze policies to what a file says, each as a revision of what is there."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from neural_hive.sdk.asking import CannotDo, ask
from neural_hive.sdk.tables import Reader, Tables
from neural_hive.settings import Settings
from neural_hive.slo_files import Report, read
from neural_hive.streams.sla.messages import COMMANDS, DefineFreezePolicy, DefineSlo

BYTES_MAX: Final = 4 * 1024 * 1024
_SLOS: Final = "SELECT slo_id, revision FROM slos"
_POLICIES: Final = "SELECT policy_id, revision FROM freeze_policies"


class Wanted(msgspec.Struct, frozen=True):
    """An SLO or policy that shall be as a file says, and the message that asks for it."""

    kind: str  # slo, policy
    name: str
    message: DefineSlo | DefineFreezePolicy


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


def wanted(reader: Reader, report: Report, reason: str, by: str) -> Iterator[Wanted]:
    """What a file asks for, each as a revision of what the tables know. Raises ClickHouseError."""
    slos, policies = _revisions(reader, _SLOS), _revisions(reader, _POLICIES)
    for definition in report.definitions:
        name = definition.slo_id
        yield Wanted("slo", name, DefineSlo(name, definition, slos.get(name, 0), by, reason))
    for policy in report.policies:
        name = policy.policy_id
        yield Wanted("policy", name, DefineFreezePolicy(name, policy, policies.get(name, 0), by, reason))


def applied(settings: Settings, report: Report, program: str, reason: str, by: str) -> Iterator[Change]:
    """Asks for each SLO and policy of a file, one after the other. Raises CannotDo: one was refused."""
    tables = Tables(settings)
    try:
        asked = list(wanted(tables, report, reason, by))
    finally:
        tables.close()
    for each in asked:
        outcome = ask(settings, program, COMMANDS, each.name, each.message)
        yield Change(each.kind, each.name, outcome.verdict.value)


def _revisions(reader: Reader, sql: str) -> dict[str, int]:
    return {str(name): int(revision) for name, revision in reader.rows(sql)}
