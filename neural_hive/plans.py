"""Plan files: YAML or JSON, as people write them, into the decision that the orchestrator carries out.

    tasks:
      - task_id: build
        command: [python, -m, build]
      - task_id: test
        dependencies: [build]
        command: [python, -m, pytest]

Everything else has a default; errors name file, line, column and field.
"""

import difflib
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from neural_hive.aggregates.decision import DecisionConsolidated, validate
from neural_hive.aggregates.risk import LEFT_OPEN
from neural_hive.aggregates.vocabulary import (
    Consistency,
    DeliveryMode,
    Durability,
    Priority,
    RiskBand,
    SecurityLevel,
    Task,
    TaskType,
    Vote,
)
from neural_hive.documents import BadDocument, Document, DocumentPath, read_document

FILE_BYTES_MAX: Final = 32 * 1024 * 1024  # a plan in the log has at most 8 MB; a file has indentation too
ERRORS_MAX: Final = 20
FIELD_CHARS_MAX: Final = 200  # of a field's name in an error


class BadPlan(ValueError):
    """A plan file that cannot be used; one line per error, each with its place."""

    def __init__(self, errors: list[str]) -> None:
        super().__init__("\n".join(errors))
        self.errors = errors


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class PlanVote(_Model):
    """What one specialist thought of the plan."""

    specialist: str
    weight: float
    confidence: float
    approve: bool
    divergence: float = 0.0
    convergence_time_ms: int = 0


class PlanTask(_Model):
    """One task, as a plan file may write it."""

    task_id: str
    task_type: TaskType = TaskType.EXECUTE
    description: str = ""
    dependencies: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    parameters: dict[str, str] = {}
    environment: dict[str, str] = {}
    template_id: str = ""
    required_capabilities: tuple[str, ...] = ()
    estimated_duration_ms: int = 0
    timeout_ms: int = LEFT_OPEN
    max_retries: int = LEFT_OPEN
    security_level: SecurityLevel = SecurityLevel.INTERNAL
    compensation: tuple[str, ...] = ()
    secrets: tuple[str, ...] = ()


class Plan(_Model):
    """A plan file. Without a decision_id every publication is a new decision."""

    decision_id: str = Field(default_factory=lambda: str(uuid.uuid4()))
    plan_id: str = ""
    intent_id: str = ""
    risk_band: RiskBand = RiskBand.MEDIUM
    priority: Priority = Priority.NORMAL
    confidence: float = 1.0
    votes: tuple[PlanVote, ...] = ()
    deadline_ms: int = 0
    sla_class: str = ""
    delivery_mode: DeliveryMode = DeliveryMode.DERIVED
    consistency: Consistency = Consistency.DERIVED
    durability: Durability = Durability.DERIVED
    requested_by: str = ""
    tasks: tuple[PlanTask, ...]

    def decision(self, name: str) -> DecisionConsolidated:
        """The decision, named after the file where the plan has no name."""
        plan_id = self.plan_id or name
        whole = self.model_dump() | {"plan_id": plan_id, "intent_id": self.intent_id or plan_id}
        whole["tasks"] = tuple(Task(**task) for task in whole["tasks"])
        whole["votes"] = tuple(Vote(**vote) for vote in whole["votes"])
        return DecisionConsolidated(**whole)


def read_plan(file: Path, check: bool = True) -> DecisionConsolidated:
    """The decision that a plan file describes.

    With `check`, whatever the orchestrator would refuse is refused here, with its place. Raises BadPlan.
    """
    try:
        document = read_document(file, FILE_BYTES_MAX)
    except BadDocument as error:
        place = f":{error.place.line}:{error.place.column}" if error.place else ""
        raise BadPlan([f"{file}{place}: {error}"]) from error
    except OSError as error:
        raise BadPlan([f"{file}: cannot be read: {error.strerror}"]) from error
    return _decision(document, str(file), _name_of(file), check)


def plan_from(content: Mapping[str, Any], check: bool = True) -> DecisionConsolidated:
    """The decision that a plan's content describes, as a file would hold it. Raises BadPlan."""
    return _decision(Document(dict(content), "", is_json=True), "plan", "plan", check)


def _decision(document: Document, where: str, name: str, check: bool) -> DecisionConsolidated:
    report = _Report(where, document)
    if not isinstance(document.value, dict):
        raise BadPlan([f"{where}: a plan must be a mapping with `tasks`"])
    try:
        decision = Plan.model_validate(document.value).decision(name)
        msgspec.json.encode(decision)  # whether all its texts are texts
        errors = report.of_rules(decision) if check else []
    except ValidationError as error:
        raise BadPlan(report.of_types(error)) from None
    except UnicodeEncodeError as error:
        half = error.object[error.start : error.start + 1]
        raise BadPlan(
            [f"{where}: a text holds {half!a}, half a character: nobody could write it down"]
        ) from None
    if errors:
        raise BadPlan(errors)
    return decision


def _name_of(file: Path) -> str:
    """An id from the file's name."""
    text = "".join(c if c.isascii() and (c.isalnum() or c in "_.-") else "-" for c in file.stem)
    return text.lstrip(".-")[:128] or "plan"


class _Report:
    """Turns errors of a plan into lines with places."""

    def __init__(self, file: str, document: Document) -> None:
        self._file = file
        self._document = document

    def of_types(self, error: ValidationError) -> list[str]:
        """What does not have the form of a plan."""
        found = error.errors(include_url=False)
        lines = [self._line(_real(problem["loc"]), _words(problem)) for problem in found[:ERRORS_MAX]]
        if len(found) > ERRORS_MAX:
            lines.append(f"{self._file}: and {len(found) - ERRORS_MAX:,} more")
        return lines

    def of_rules(self, decision: DecisionConsolidated) -> list[str]:
        """What has the form and breaks a rule."""
        unknown = list(_unknown_dependencies(decision))[:ERRORS_MAX]
        if unknown:
            return [self._line(path, words) for path, words in unknown]
        places = {f"task {task.task_id!r}": n for n, task in enumerate(decision.tasks)}
        lines = []
        for reason in validate(decision):
            number = places.get(reason.partition(": ")[0])
            path: DocumentPath = ("tasks",) if number is None else ("tasks", number)
            lines.append(self._line(path, reason))
        return lines

    def _line(self, path: DocumentPath, words: str) -> str:
        place = self._document.place(path)
        where = f"{self._file}:{place.line}:{place.column}" if place else self._file
        return f"{where}: {_field(path)}: {words}"


def _unknown_dependencies(decision: DecisionConsolidated) -> Iterator[tuple[DocumentPath, str]]:
    known = {task.task_id for task in decision.tasks}
    for number, task in enumerate(decision.tasks):
        for index, dependency in enumerate(task.dependencies):
            if dependency not in known:
                near = difflib.get_close_matches(dependency, known, 1) if len(known) <= 2_000 else []
                hint = f", did you mean {near[0]!r}?" if near else ""
                path = ("tasks", number, "dependencies", index)
                yield path, f"unknown task {dependency[:128]!r}{hint}"


def _real(location: tuple[int | str, ...]) -> DocumentPath:
    """A place as pydantic names it, without its own marks for keys."""
    return tuple(part for part in location if part != "[key]")


def _words(problem: Any) -> str:
    if problem["type"] == "missing":
        return "is missing"
    if problem["type"] == "extra_forbidden":
        return "there is no such field"
    given = problem["input"]
    shown = "" if isinstance(given, dict | list) else f", not {str(given)[:80]!r}"
    return f"{problem['msg'].replace('Input should be', 'must be')}{shown}"


def _field(path: DocumentPath) -> str:
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).lstrip(".")
    readable = text.encode(errors="backslashreplace").decode()
    return (readable if len(readable) <= FIELD_CHARS_MAX else readable[: FIELD_CHARS_MAX - 1] + "…") or "plan"


def _is_said(value: Any, default: Any) -> bool:
    """Whether a field must stand in a plan file: an empty one need not, but for a number that is not the default."""
    return bool(value != default and (value or isinstance(value, int)))


def plan_document(decision: DecisionConsolidated) -> dict[str, Any]:
    """The decision as a plan file holds it: what is at its default is left out."""
    whole: dict[str, Any] = msgspec.to_builtins(decision)
    defaults = {name: field.default for name, field in PlanTask.model_fields.items()}
    whole["tasks"] = [
        {name: value for name, value in task.items() if _is_said(value, defaults[name])}
        for task in whole["tasks"]
    ]
    empty = {name: value for name, value in whole.items() if not value and name != "tasks"}
    return {name: value for name, value in whole.items() if name not in empty}
