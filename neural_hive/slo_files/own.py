"""Our own form: `kind: Slo` and `kind: FreezePolicy`, with the fields that definitions and policies have."""

import re
from collections.abc import Container
from typing import Any, Final

import msgspec

from neural_hive.aggregates import freeze_policy, slo
from neural_hive.aggregates.aggregate import Rejected
from neural_hive.aggregates.freeze_policy import DefinePolicy, Policy
from neural_hive.aggregates.slo import Definition, Indicator
from neural_hive.documents import DocumentPath
from neural_hive.slo_files.fields import ERRORS_MAX, Problem, build
from neural_hive.slo_files.report import Notes, Outcome

SLO_KIND: Final = "Slo"
POLICY_KIND: Final = "FreezePolicy"
KINDS: Final = (SLO_KIND, POLICY_KIND)
_INDICATOR_FIELDS: Final = frozenset(Indicator.__struct_fields__)
_FIELDS: Final = _INDICATOR_FIELDS.union(Definition.__struct_fields__, Policy.__struct_fields__)
_BETWEEN_RULES: Final = re.compile(rf"; (?=(?:{'|'.join(sorted(_FIELDS))})\b)")  # one error names all fields


def read_slo(value: dict[str, Any], notes: Notes, taken: Container[str]) -> Definition | None:
    """The SLO that a document of ours describes; None after it was told what is wrong."""
    made: Definition | None = _read(Definition, value, notes, "slo_id", taken)
    return made


def read_policy(value: dict[str, Any], notes: Notes, taken: Container[str]) -> Policy | None:
    """The policy that a document of ours describes; None after it was told what is wrong."""
    made: Policy | None = _read(Policy, value, notes, "policy_id", taken)
    return made


def _read(kind: type[Any], value: dict[str, Any], notes: Notes, id_field: str, taken: Container[str]) -> Any:
    name = str(value.get(id_field) or value.get("name") or "without a name")[:100]
    subject = f"{'SLO' if kind is Definition else 'freeze policy'} {name}"
    problems: list[Problem] = []
    made = build(kind, {name: part for name, part in value.items() if name != "kind"}, (), problems)
    if made is not None:
        problems = rules(made)
        if getattr(made, id_field) in taken:
            problems.append(((id_field,), "stands twice in this file"))
    for path, words in problems[:ERRORS_MAX]:
        notes.add(Outcome.WRONG, subject, words, path)
    if len(problems) > ERRORS_MAX:
        notes.add(Outcome.WRONG, subject, f"and {len(problems) - ERRORS_MAX:,} more")
    if problems:
        return None
    ids = (made.slo_id,) if isinstance(made, Definition) else ()
    notes.add(Outcome.READ, subject, "as it is written", slo_ids=ids)
    return made


def rules(made: Definition | Policy) -> list[Problem]:
    """Which rules it breaks, as the SLA calculator would say it, each with its field where one is named."""
    try:
        if isinstance(made, Definition):
            slo.check(made)
        else:
            freeze_policy.decide(None, DefinePolicy(made, 0, "", "", 0))
    except Rejected as error:
        return [(_path(made, words), words) for words in _BETWEEN_RULES.split(str(error))]
    return []


def _path(made: Definition | Policy, words: str) -> DocumentPath:
    first = words.replace(":", " ").split()[:1]
    if isinstance(made, Definition) and first and first[0] in _INDICATOR_FIELDS:
        return ("indicator", first[0])
    return (first[0],) if first and first[0] in made.__struct_fields__ else ()


def document(made: Definition | Policy) -> dict[str, Any]:
    """What a file of ours holds; what is at its default is left out."""
    kind = SLO_KIND if isinstance(made, Definition) else POLICY_KIND
    return {"kind": kind, **_said(made)}


def _said(made: msgspec.Struct) -> dict[str, Any]:
    said: dict[str, Any] = {}
    for field in msgspec.structs.fields(made):
        value = getattr(made, field.name)
        if isinstance(value, msgspec.Struct):
            said[field.encode_name] = _said(value)
        elif isinstance(value, tuple) and any(isinstance(item, msgspec.Struct) for item in value):
            said[field.encode_name] = [_said(item) for item in value]
        elif field.required or value != _default(field):
            said[field.encode_name] = msgspec.to_builtins(value)
    return said


def _default(field: msgspec.structs.FieldInfo) -> Any:
    return field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory()
