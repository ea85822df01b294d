"""What became of a file of SLOs: all that was read, and what was not, each with its place and its reason."""

from collections import Counter
from collections.abc import Sequence
from enum import StrEnum
from typing import Final

import msgspec

from neural_hive.aggregates.freeze_policy import Policy
from neural_hive.aggregates.slo import Definition
from neural_hive.documents import DocumentPath, Placed

_FIELD_CHARS_MAX: Final = 200


class Outcome(StrEnum):
    """What became of a part of a file."""

    READ = "READ"
    ASSUMED = "ASSUMED"  # it was read, and something that it does not say was taken for granted
    LEFT_OUT = "LEFT_OUT"  # it is known, and means nothing here
    NOT_UNDERSTOOD = "NOT_UNDERSTOOD"  # it may be right, and nothing was made of it
    WRONG = "WRONG"  # it breaks a rule, and nothing was made of it


class Finding(msgspec.Struct, frozen=True):
    """What became of one document, rule or field."""

    outcome: Outcome
    text: str
    document: int = 0  # from 1; 0: it is the file's
    subject: str = ""  # "SLO checkout", "alert HighErrorRate"
    field: str = ""
    line: int = 0  # from 1; 0: it has no place
    column: int = 0
    slo_ids: tuple[str, ...] = ()  # what came of it


class Report(msgspec.Struct, frozen=True):
    """A file that was read."""

    name: str
    definitions: tuple[Definition, ...] = ()
    policies: tuple[Policy, ...] = ()
    findings: tuple[Finding, ...] = ()

    @property
    def is_whole(self) -> bool:
        """Whether something was made of all that could mean something here."""
        return not any(f.outcome in (Outcome.NOT_UNDERSTOOD, Outcome.WRONG) for f in self.findings)

    def text(self) -> str:
        """For people: a line for each finding, and how many of each kind there are."""
        lines = [_line(self.name, finding) for finding in self.findings]
        counts = Counter(finding.outcome for finding in self.findings)
        told = ", ".join(f"{counts[kind]} {_TOLD[kind]}" for kind in Outcome if counts[kind])
        made = f"{_count(self.definitions, 'SLO')}, {_count(self.policies, 'freeze policy')}"
        return "\n".join([*lines, f"{self.name}: {made}" + (f" ({told})" if told else "")])

    def json(self) -> bytes:
        """For programs."""
        return msgspec.json.encode(self)


_TOLD: Final = {
    Outcome.READ: "read",
    Outcome.ASSUMED: "assumed",
    Outcome.LEFT_OUT: "left out",
    Outcome.NOT_UNDERSTOOD: "not understood",
    Outcome.WRONG: "wrong",
}


def _count(things: Sequence[object], name: str) -> str:
    many = f"{name[:-1]}ies" if name.endswith("y") else f"{name}s"
    return f"{len(things):,} {name if len(things) == 1 else many}"


def _line(name: str, finding: Finding) -> str:
    place = f":{finding.line}:{finding.column}" if finding.line else ""
    document = f"document {finding.document}" if finding.document else ""
    where = ": ".join(part for part in (document, finding.subject, finding.field) if part)
    return f"{name}{place}: {where + ': ' if where else ''}{_TOLD[finding.outcome]}: {finding.text}"


class Notes:
    """Collects the findings of one document."""

    def __init__(self, findings: list[Finding], document: Placed, number: int) -> None:
        self._findings = findings
        self._document = document
        self._number = number

    def add(
        self,
        outcome: Outcome,
        subject: str,
        text: str,
        path: DocumentPath = (),
        slo_ids: tuple[str, ...] = (),
    ) -> None:
        """Something became of what stands at a path."""
        place = self._document.place(path)
        at = place.line, place.column
        self._findings.append(
            Finding(outcome, _written(text), self._number, _written(subject), field(path), *at, slo_ids)
        )


def field(path: DocumentPath) -> str:
    """A path as people write it."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).lstrip(".")
    text = _written(text)
    return text if len(text) <= _FIELD_CHARS_MAX else text[: _FIELD_CHARS_MAX - 1] + "…"


def _written(text: str) -> str:
    """A text without halves of characters, which nobody could write down."""
    return text.encode(errors="backslashreplace").decode()
