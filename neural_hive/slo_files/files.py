"""Reads and writes files of SLOs: our own form, OpenSLO v1, and Prometheus' alert rules, told apart by document."""

import re
from collections.abc import Sequence
from enum import StrEnum
from typing import Any, Final

import msgspec
import yaml

from neural_hive.aggregates.freeze_policy import Policy
from neural_hive.aggregates.slo import Definition
from neural_hive.documents import BadDocument, Placed, read_documents
from neural_hive.slo_files import openslo, openslo_write, own
from neural_hive.slo_files.alert_rules import RULES_MAX, count_rules, is_rules, read_rules
from neural_hive.slo_files.openslo import Object, Unclear, object_of
from neural_hive.slo_files.openslo_read import read_objects
from neural_hive.slo_files.report import Finding, Notes, Outcome, Report

FILE_BYTES_MAX: Final = 4 * 1024 * 1024
DOCUMENTS_MAX: Final = 2_000
FINDINGS_MAX: Final = 20_000
VALUES_MAX: Final = 400_000  # of a file: the place of each is kept
_OTHER_LINE_ENDS: Final = re.compile("[\\r\\x85\\u2028\\u2029]")
_FORMS: Final = (
    f"`kind: {own.SLO_KIND}` or `kind: {own.POLICY_KIND}`, `apiVersion: {openslo.API_VERSION}`, or alert rules "
    "with `groups`"
)


class Form(StrEnum):
    """How SLOs are written."""

    OWN = "own"
    OPENSLO = "openslo"


class Written(msgspec.Struct, frozen=True):
    """A file's text, and what it could not say."""

    text: str
    findings: tuple[Finding, ...] = ()


def read(text: str, name: str) -> Report:
    """What stands in a file; whatever is wrong or not understood in it is a finding, and never an exception.

    `name` is the file's, for the findings.
    """
    reading = _Reading()
    try:
        documents = read_documents(text, FILE_BYTES_MAX, VALUES_MAX)
    except BadDocument as error:
        at = (error.place.line, error.place.column) if error.place else (0, 0)
        found = Finding(Outcome.WRONG, str(error), line=at[0], column=at[1])
        return Report(name, findings=(found,))
    for number, document in enumerate(documents[:DOCUMENTS_MAX], start=1):
        reading.document(document, number)
    if len(documents) > DOCUMENTS_MAX:
        words = f"{len(documents):,} documents; at most {DOCUMENTS_MAX:,} are read: divide the file"
        reading.findings.append(Finding(Outcome.WRONG, words))
    if not documents:
        reading.findings.append(Finding(Outcome.WRONG, f"it is empty: write {_FORMS}"))
    reading.definitions += read_objects(reading.objects, reading.taken)
    ordered = sorted(reading.findings, key=lambda f: (f.document, f.line, f.column))
    if len(ordered) > FINDINGS_MAX:
        more = Finding(Outcome.WRONG, f"and {len(ordered) - FINDINGS_MAX:,} more findings: divide the file")
        ordered = [*ordered[:FINDINGS_MAX], more]
    return Report(name, tuple(reading.definitions), tuple(reading.policies), tuple(ordered))


class _Reading:
    """What was found so far."""

    def __init__(self) -> None:
        self.definitions: list[Definition] = []
        self.policies: list[Policy] = []
        self.objects: list[Object] = []
        self.findings: list[Finding] = []
        self.taken: set[str] = set()
        self._rules_left = RULES_MAX

    def document(self, document: Placed, number: int) -> None:
        """Reads what can be read without the others."""
        notes, value = Notes(self.findings, document, number), document.value
        if not isinstance(value, dict):
            notes.add(Outcome.WRONG, "", f"a document must be a mapping: {_FORMS}")
        elif value.get("apiVersion") == openslo.API_VERSION:
            self._openslo(value, notes)
        elif is_rules(value):
            self.definitions += read_rules(value, notes, self.taken, self._rules_left)
            self._rules_left = max(self._rules_left - count_rules(value), 0)
        elif value.get("kind") == own.SLO_KIND:
            self._own_slo(value, notes)
        elif value.get("kind") == own.POLICY_KIND:
            self._own_policy(value, notes)
        else:
            notes.add(Outcome.NOT_UNDERSTOOD, _subject(value), f"it is none of {_FORMS}")

    def _openslo(self, value: dict[str, Any], notes: Notes) -> None:
        try:
            self.objects.append(object_of(value, notes))
        except Unclear as error:
            notes.add(error.outcome, _subject(value), str(error), error.path)

    def _own_slo(self, value: dict[str, Any], notes: Notes) -> None:
        made = own.read_slo(value, notes, self.taken)
        if made is not None:
            self.taken.add(made.slo_id)
            self.definitions.append(made)

    def _own_policy(self, value: dict[str, Any], notes: Notes) -> None:
        made = own.read_policy(value, notes, {policy.policy_id for policy in self.policies})
        if made is not None:
            self.policies.append(made)


def _subject(value: dict[str, Any]) -> str:
    told = [str(value[name])[:80] for name in ("apiVersion", "kind") if value.get(name)]
    return " ".join(told)


def write(
    definitions: Sequence[Definition], policies: Sequence[Policy] = (), form: Form = Form.OWN
) -> Written:
    """A file that `read` reads as the same SLOs and policies; what its form cannot say is left out, and told."""
    findings: list[Finding] = []
    if form is Form.OWN:
        documents = [*map(own.document, definitions), *map(own.document, policies)]
    else:
        documents = openslo_write.documents(definitions, findings)
        findings += [
            Finding(
                Outcome.LEFT_OUT, "OpenSLO has no freeze policies", subject=f"freeze policy {p.policy_id}"
            )
            for p in policies
        ]
    return Written(_yaml(documents), tuple(findings))


class _Dumper(yaml.SafeDumper):
    """Writes no anchors: they are not read."""

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def text(self, data: str) -> yaml.ScalarNode:
        """In double quotes where another style would make a plain end of line of Unicode's other ones."""
        style = '"' if _OTHER_LINE_ENDS.search(data) else None
        return self.represent_scalar("tag:yaml.org,2002:str", data, style)


_Dumper.add_representer(str, _Dumper.text)


def _yaml(documents: Sequence[dict[str, Any]]) -> str:
    return str(
        yaml.dump_all(
            documents, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110, explicit_start=True
        )
    )
