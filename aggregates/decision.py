"""The consolidated decision, with its plan: what must be true of it before any work begins.

A decision is input, not an aggregate: `validate` names everything that is wrong with it, for those who publish it
and for the workflow that would carry it out. Limits are on all that could grow.
"""

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256
from typing import Final

import msgspec

from neural_hive.aggregates import graph
from neural_hive.aggregates.made import size_bytes
from neural_hive.aggregates.references import has_references, references, texts, unreadable
from neural_hive.aggregates.risk import LEFT_OPEN, SLA_CLASSES, TIMEOUT_MS_MAX, Service, service_of
from neural_hive.aggregates.vocabulary import (
    Consistency,
    DeliveryMode,
    Durability,
    Priority,
    RiskBand,
    Task,
    TaskType,
    Vote,
)

TASKS_MAX: Final = 10_000
EDGES_MAX: Final = 100_000
VOTES_MAX: Final = 1_000
TASK_BYTES_MAX: Final = 1024 * 1024  # a task travels whole in its ticket's first event
ITEMS_MAX: Final = 1_000  # arguments, parameters, variables, capabilities, secrets of one task
TEXT_CHARS_MAX: Final = 256  # of names of people, classes, specialists, capabilities
RETRIES_MAX: Final = 100
DAY_MS: Final = 86_400_000
DEADLINE_MS_MAX: Final = 90 * DAY_MS
REASONS_MAX: Final = 20
REASON_CHARS_MAX: Final = 1_000
_CYCLE_TASKS_SHOWN: Final = 20
_ID: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:\-]{0,127}")
_TASK_ID: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\-]{0,127}")
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")


class DecisionConsolidated(msgspec.Struct, frozen=True):
    """The specialists agree that a plan shall be carried out. Its id is also its workflow's."""

    decision_id: str
    plan_id: str
    intent_id: str
    risk_band: RiskBand
    priority: Priority
    confidence: float  # 0 to 1
    delivery_mode: DeliveryMode
    consistency: Consistency
    durability: Durability
    tasks: tuple[Task, ...]
    votes: tuple[Vote, ...] = ()
    deadline_ms: int = 0  # 0: that of the SLA class, or four hours
    sla_class: str = ""  # one of risk.SLA_CLASSES
    requested_by: str = ""


def content_hash(decision: DecisionConsolidated) -> str:
    """SHA-256 of all that the decision says, in hex: two with the same hash are the same decision."""
    return sha256(msgspec.json.encode(decision, order="deterministic")).hexdigest()


def is_identified(decision: DecisionConsolidated) -> bool:
    """Whether the decision's id can name a workflow; if not, not even its refusal can be recorded under it."""
    return _ID.fullmatch(decision.decision_id) is not None


def validate(decision: DecisionConsolidated) -> list[str]:
    """Everything that is wrong with a decision, in words for its author; empty if it may be carried out.

    At most REASONS_MAX reasons. The plan's graph is looked at only when every task alone is sound.
    """
    reasons = _first(_of_decision(decision))
    reasons += _first(_of_tasks(decision.tasks), REASONS_MAX - len(reasons))
    if not reasons:
        reasons = _first(_of_graph(decision.tasks))
    return reasons


def service_wanted(decision: DecisionConsolidated) -> Service:
    """How a plan's tickets are to be served, with all that it leaves open."""
    return service_of(
        decision.risk_band,
        decision.priority,
        decision.sla_class,
        decision.deadline_ms,
        decision.delivery_mode,
        decision.consistency,
        decision.durability,
    )


def dependency_graph(tasks: Iterable[Task]) -> dict[str, tuple[str, ...]]:
    """Task id → ids that it depends on, in the plan's order."""
    return {task.task_id: task.dependencies for task in tasks}


def _first(reasons: Iterable[str], limit: int = REASONS_MAX) -> list[str]:
    kept: list[str] = []
    for reason in reasons:
        if len(kept) >= limit:
            break
        kept.append(reason if len(reason) <= REASON_CHARS_MAX else reason[: REASON_CHARS_MAX - 1] + "…")
    return kept


def _of_decision(decision: DecisionConsolidated) -> Iterator[str]:
    for name in ("decision_id", "plan_id", "intent_id"):
        if not _ID.fullmatch(getattr(decision, name)):
            yield f"{name} must be 1 to 128 letters, digits, or _ . : - ({_quoted(getattr(decision, name))})"
    for name in ("risk_band", "priority", "delivery_mode", "consistency", "durability"):
        yield from _known(name, getattr(decision, name))
    if not 0.0 <= decision.confidence <= 1.0:
        yield f"confidence must be within 0 to 1, not {decision.confidence}"
    if not 0 <= decision.deadline_ms <= DEADLINE_MS_MAX:
        yield f"deadline_ms must be within 0 (4 hours) to {DEADLINE_MS_MAX} (90 days)"
    if decision.sla_class and decision.sla_class not in SLA_CLASSES:
        yield f"sla_class {_quoted(decision.sla_class)} is not known; there are {', '.join(SLA_CLASSES)}"
    if len(decision.requested_by) > TEXT_CHARS_MAX:
        yield f"requested_by must be at most {TEXT_CHARS_MAX} characters"
    if len(decision.votes) > VOTES_MAX:
        yield f"{len(decision.votes)} votes are more than {VOTES_MAX}"
        return
    for vote in decision.votes:
        yield from _of_vote(vote)


def _of_vote(vote: Vote) -> Iterator[str]:
    where = f"vote of {_quoted(vote.specialist)}"
    if not 1 <= len(vote.specialist) <= TEXT_CHARS_MAX:
        yield f"{where}: specialist must be 1 to {TEXT_CHARS_MAX} characters"
    if not 0.0 <= vote.confidence <= 1.0:
        yield f"{where}: confidence must be within 0 to 1, not {vote.confidence}"
    for name in ("weight", "divergence", "convergence_time_ms"):
        value = getattr(vote, name)
        if not (math.isfinite(value) and value >= 0):
            yield f"{where}: {name} must be 0 or more, not {value}"


def _of_tasks(tasks: Sequence[Task]) -> Iterator[str]:
    if not tasks:
        yield "the plan has no tasks"
    if len(tasks) > TASKS_MAX:
        yield f"{len(tasks):,} tasks are more than {TASKS_MAX:,}: split the plan"
        return
    edges = sum(len(task.dependencies) for task in tasks)
    if edges > EDGES_MAX:
        yield f"{edges:,} dependencies are more than {EDGES_MAX:,}: split the plan"
        return
    known = Counter(task.task_id for task in tasks)
    for task_id, count in known.items():
        if count > 1:
            yield f"task id {_quoted(task_id)} stands {count} times"
    for task in tasks:
        for reason in _of_task(task, known):
            yield f"task {_quoted(task.task_id)}: {reason}"


def _of_task(task: Task, known: Counter[str]) -> Iterator[str]:
    if not _TASK_ID.fullmatch(task.task_id):
        yield "task_id must be 1 to 128 letters, digits, or _ . - and begin with none of . -"
    yield from _known("task_type", task.task_type)
    yield from _known("security_level", task.security_level)
    yield from _of_limits(task)
    yield from _of_texts(task)
    by_parameters = task.task_type is not TaskType.EXECUTE and (task.parameters or task.template_id)
    if not task.command and not by_parameters:
        others = "" if task.task_type is TaskType.EXECUTE else ", parameters or a template_id"
        needed = f"a command{others}"
        yield f"a task of type {task.task_type} needs {needed}"
    for dependency in task.dependencies:
        if dependency == task.task_id:
            yield "it depends on itself"
        elif dependency not in known:
            yield f"it depends on {_quoted(dependency)}, which is no task of the plan"
    if len(set(task.dependencies)) < len(task.dependencies):
        yield "it names a dependency more than once"


def _of_limits(task: Task) -> Iterator[str]:
    if task.timeout_ms != LEFT_OPEN and not 0 < task.timeout_ms <= TIMEOUT_MS_MAX:
        yield f"timeout_ms must be within 1 to {TIMEOUT_MS_MAX} (7 days), not {task.timeout_ms}"
    if not 0 <= task.estimated_duration_ms <= TIMEOUT_MS_MAX:
        yield f"estimated_duration_ms must be within 0 to {TIMEOUT_MS_MAX} (7 days), not {task.estimated_duration_ms}"
    if task.max_retries != LEFT_OPEN and not 0 <= task.max_retries <= RETRIES_MAX:
        yield f"max_retries must be within 0 to {RETRIES_MAX}, not {task.max_retries}"


def _of_texts(task: Task) -> Iterator[str]:
    lists = {
        "command": task.command,
        "parameters": task.parameters,
        "environment": task.environment,
        "compensation": task.compensation,
        "required_capabilities": task.required_capabilities,
        "secrets": task.secrets,
    }
    for name, items in lists.items():
        if len(items) > ITEMS_MAX:
            yield f"{name} has {len(items):,} items, more than {ITEMS_MAX:,}"
    for name in ("command", "compensation"):
        arguments = getattr(task, name)
        if arguments and not arguments[0]:
            yield f"{name} must begin with the name of a program"
    for variable in task.environment:
        if not _VARIABLE.fullmatch(variable):
            yield f"environment: {_quoted(variable)} is no name of a variable"
    for name in ("required_capabilities", "secrets"):
        for item in getattr(task, name):
            if not 1 <= len(item) <= TEXT_CHARS_MAX:
                yield f"{name}: {_quoted(item)} must be 1 to {TEXT_CHARS_MAX} characters"
    if any("\0" in text for text in (*texts(task), *task.compensation)):
        yield "a command, parameter or variable holds a NUL character, which no process can be given"
    size = _task_bytes(task)
    if size > TASK_BYTES_MAX:
        yield f"its texts take {size:,} bytes, more than {TASK_BYTES_MAX:,}: keep large data in a file"


def _task_bytes(task: Task) -> int:
    keys = (*task.parameters, *task.environment, *task.required_capabilities, *task.secrets)
    return size_bytes(task.description, task.template_id, *texts(task), *task.compensation, *keys)


def _of_graph(tasks: Sequence[Task]) -> Iterator[str]:
    needs = dependency_graph(tasks)
    order = graph.topological_order(needs)
    if len(order) < len(needs):
        yield f"the dependencies form a cycle, each task needing the next: {_path(graph.cycle(needs))}"
        return
    referring = [task for task in tasks if has_references(task)]
    ancestry = graph.Ancestry(needs, order) if referring else None
    for task in referring:
        for reason in _of_references(task, needs, ancestry):
            yield f"task {_quoted(task.task_id)}: {reason}"


def _of_references(
    task: Task, needs: dict[str, tuple[str, ...]], ancestry: graph.Ancestry | None
) -> Iterator[str]:
    for text in unreadable(task):
        yield (
            f"{_quoted(text)} holds a reference that cannot be read; "
            "write ${tasks.<task id>.outputs.<name>} or ${tasks.<task id>.artifacts.<name>}"
        )
    for reference in references(task):
        if reference.task_id not in needs:
            yield f"{_quoted(reference.text)} refers to {_quoted(reference.task_id)}, which is no task of the plan"
        elif ancestry is not None and not ancestry.precedes(reference.task_id, task.task_id):
            yield (
                f"{_quoted(reference.text)} refers to a task that need not be complete by then; "
                f"add {_quoted(reference.task_id)} to its dependencies"
            )


def _known(name: str, value: str) -> Iterator[str]:
    if value == "UNKNOWN":
        yield f"{name} is missing or not known"


def _quoted(text: str) -> str:
    return repr(text if len(text) <= 100 else text[:99] + "…")


def _path(nodes: Sequence[str]) -> str:
    if len(nodes) <= _CYCLE_TASKS_SHOWN:
        return " -> ".join(nodes)
    half = _CYCLE_TASKS_SHOWN // 2
    left_out = f"… ({len(nodes) - 2 * half:,} more)"
    return " -> ".join((*nodes[:half], left_out, *nodes[-half:]))
