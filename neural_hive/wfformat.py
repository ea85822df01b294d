"""Executions of real workflows, recorded in WfFormat 1.5 (WfCommons), as plans that take the recorded time.

https://github.com/wfcommons/WfFormat: `workflow.specification.tasks` says who waits for whom,
`workflow.execution.tasks` how long each ran. A task of the plan sleeps its runtime, times a scale.
"""

import math
import re
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from neural_hive.aggregates.decision import (
    TASKS_MAX,
    DecisionConsolidated,
    validate,
)
from neural_hive.aggregates.risk import TIMEOUT_MS_MAX
from neural_hive.aggregates.vocabulary import (
    Consistency,
    DeliveryMode,
    Durability,
    Priority,
    RiskBand,
    SecurityLevel,
    Task,
    TaskType,
)

FILE_BYTES_MAX: Final = 256 * 1024 * 1024
_SPARE_TIME_MS: Final = 60_000  # to start a process on a busy machine
_ID_CHARS_MAX: Final = 100


class BadRecording(ValueError):
    """A file that is no usable WfFormat execution; the text says what is wrong."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class _Specified(_Part):
    id: str
    name: str = ""
    parents: tuple[str, ...] = ()
    children: tuple[str, ...] = ()


class _Executed(_Part):
    id: str
    runtime_s: float = Field(alias="runtimeInSeconds", ge=0, allow_inf_nan=False)


class _Specification(_Part):
    tasks: tuple[_Specified, ...]


class _Execution(_Part):
    tasks: tuple[_Executed, ...]


class _Workflow(_Part):
    specification: _Specification
    execution: _Execution


class _Recording(_Part):
    name: str
    schema_version: str = Field(alias="schemaVersion")
    workflow: _Workflow


def read_recording(file: Path, time_scale: float) -> DecisionConsolidated:
    """The plan of a recorded execution; every recorded second becomes `time_scale` seconds.

    Raises BadRecording.
    """
    recording = _parsed(file)
    specified = recording.workflow.specification.tasks
    runtimes = _runtimes(recording.workflow.execution.tasks)
    needs = _needs(specified)
    _check(specified, runtimes)
    names = _unique_ids([task.id for task in specified])
    decision = DecisionConsolidated(
        decision_id=str(uuid.uuid4()),
        plan_id=_clean(recording.name)[:_ID_CHARS_MAX],
        intent_id="wfformat",
        risk_band=RiskBand.LOW,
        priority=Priority.NORMAL,
        confidence=1.0,
        delivery_mode=DeliveryMode.AT_LEAST_ONCE,
        consistency=Consistency.STRONG,
        durability=Durability.PERSISTENT,
        tasks=tuple(_task(task, names, needs[task.id], runtimes[task.id] * time_scale) for task in specified),
        deadline_ms=_deadline_ms(runtimes.values(), time_scale),
    )
    reasons = validate(decision)
    if reasons:
        raise BadRecording("\n".join(f"{file}: {reason}" for reason in reasons))
    return decision


def _parsed(file: Path) -> _Recording:
    try:
        if file.stat().st_size > FILE_BYTES_MAX:
            raise BadRecording(f"{file}: larger than {FILE_BYTES_MAX:,} bytes")
        document = orjson.loads(file.read_bytes())
        version = document.get("schemaVersion") if isinstance(document, dict) else None
        if version != "1.5":
            found = "no schemaVersion" if version is None else f"schemaVersion {version}"
            raise BadRecording(f"{file}: expected WfFormat with schemaVersion 1.5, found {found}")
        return _Recording.model_validate(document)
    except OSError as error:
        raise BadRecording(f"{file}: cannot be read: {error.strerror}") from error
    except orjson.JSONDecodeError as error:
        raise BadRecording(f"{file}:{error.lineno}:{error.colno}: it is not JSON: {error.msg}") from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise BadRecording(f"{file}: {place}: {first['msg']}") from None


def _runtimes(executed: Iterable[_Executed]) -> dict[str, float]:
    found: dict[str, float] = {}
    for task in executed:
        if task.id in found:
            raise BadRecording(f"workflow.execution.tasks: the id {task.id!r} stands twice")
        found[task.id] = task.runtime_s
    return found


def _needs(specified: tuple[_Specified, ...]) -> dict[str, dict[str, None]]:
    """Task → the tasks that it waits for, in order, from its own parents and from others' children."""
    needs: dict[str, dict[str, None]] = {}
    for task in specified:
        if task.id in needs:
            raise BadRecording(f"workflow.specification.tasks: the id {task.id!r} stands twice")
        needs[task.id] = dict.fromkeys(task.parents)
    for task in specified:
        for child in task.children:
            if child not in needs:
                raise BadRecording(f"task {task.id!r} names the child {child!r}, which is no task")
            needs[child][task.id] = None
    return needs


def _check(specified: tuple[_Specified, ...], runtimes: dict[str, float]) -> None:
    known = {task.id for task in specified}
    for task in specified:
        for parent in task.parents:
            if parent not in known:
                raise BadRecording(f"task {task.id!r} names the parent {parent!r}, which is no task")
        if task.id not in runtimes:
            raise BadRecording(f"task {task.id!r} is specified and was never executed: its time is not known")
    strangers = runtimes.keys() - known
    if strangers:
        raise BadRecording(f"task {min(strangers)!r} was executed and is not specified")
    if len(known) > TASKS_MAX:
        raise BadRecording(f"{len(known):,} tasks; a plan holds at most {TASKS_MAX:,}")


def _unique_ids(ids: list[str]) -> dict[str, str]:
    """Ids as a plan may have them, each its own."""
    names: dict[str, str] = {}
    taken: set[str] = set()
    for original in ids:
        name = clean = _clean(original)[:_ID_CHARS_MAX]
        number = 1
        while name in taken:
            number += 1
            name = f"{clean}.{number}"
        taken.add(name)
        names[original] = name
    return names


def _clean(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.\-]", "_", text).lstrip(".-") or "_"


def _task(specified: _Specified, names: dict[str, str], needs: Iterable[str], seconds: float) -> Task:
    duration_ms = math.ceil(seconds * 1_000)
    return Task(
        task_id=names[specified.id],
        task_type=TaskType.EXECUTE,
        timeout_ms=min(duration_ms * 2 + _SPARE_TIME_MS, TIMEOUT_MS_MAX),
        security_level=SecurityLevel.INTERNAL,
        description=(specified.name or specified.id)[:200],
        dependencies=tuple(names[needed] for needed in needs),
        command=("sleep", f"{seconds:.3f}") if seconds >= 0.0005 else ("true",),
        estimated_duration_ms=min(duration_ms, TIMEOUT_MS_MAX),
    )


def _deadline_ms(runtimes: Iterable[float], time_scale: float) -> int:
    """Time enough to run everything one after the other; 0 (the default) when that is enough."""
    whole_ms: float = sum(runtimes) * time_scale * 1_000
    return 0 if whole_ms < 2 * 3_600_000 else min(math.ceil(whole_ms * 2), 90 * 86_400_000)
