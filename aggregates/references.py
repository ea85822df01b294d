"""What a task takes from tasks before it: `${tasks.<id>.outputs.<name>}` and `${tasks.<id>.artifacts.<name>}`.

An output stands for its value, an artifact for its URI; the artifact itself is among the inputs of the dispatch.
Other `${…}` are left as they are: they are the shell's.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Final

import msgspec

from neural_hive.aggregates.made import Made
from neural_hive.aggregates.vocabulary import Artifact, Task

OPENING: Final = "${tasks."
_REFERENCE: Final = re.compile(
    r"\$\{tasks\.([A-Za-z0-9_][A-Za-z0-9_.\-]*?)\.(outputs|artifacts)\.([^${}]+)\}"
)


class Reference(msgspec.Struct, frozen=True):
    """One place where a task takes something from another."""

    task_id: str
    kind: str  # outputs or artifacts
    name: str
    text: str


class Filled(msgspec.Struct, frozen=True):
    """A task's texts with every reference replaced, or what could not be replaced."""

    command: tuple[str, ...]
    parameters: dict[str, str]
    environment: dict[str, str]
    artifacts: tuple[Artifact, ...]  # those that were referred to
    missing: tuple[str, ...]
    taken_bytes: int = 0  # of the values that were put in


def texts(task: Task) -> Iterator[str]:
    """All texts of a task that may hold references."""
    yield from task.command
    yield from task.parameters.values()
    yield from task.environment.values()


def has_references(task: Task) -> bool:
    """Whether any text of the task holds a reference, or what looks like one."""
    return any(OPENING in text for text in texts(task))


def references(task: Task) -> list[Reference]:
    """All references of a task, in order."""
    return [
        Reference(match[1], match[2], match[3], match[0])
        for text in texts(task)
        if OPENING in text
        for match in _REFERENCE.finditer(text)
    ]


def unreadable(task: Task) -> list[str]:
    """Texts that begin a reference and do not end as one."""
    return [
        text
        for text in texts(task)
        if OPENING in text and text.count(OPENING) != len(_REFERENCE.findall(text))
    ]


def fill(task: Task, made: Callable[[str], Made], bytes_max: int) -> Filled:
    """The task with every reference replaced by what `made(task_id)` says that task has made.

    What is missing, or does not fit into `bytes_max`, is named in `missing`; then the texts are not whole.
    """
    if not has_references(task):
        return Filled(task.command, task.parameters, task.environment, (), ())
    filling = _Filling(made, bytes_max)
    command = tuple(map(filling.text, task.command))
    parameters = filling.mapping(task.parameters)
    environment = filling.mapping(task.environment)
    artifacts, missing = tuple(filling.artifacts.values()), tuple(filling.missing)
    return Filled(command, parameters, environment, artifacts, missing, filling.taken_bytes)


class _Filling:
    """One task being filled in: what it has used so far, and what was missing."""

    def __init__(self, made: Callable[[str], Made], bytes_max: int) -> None:
        self._made = made
        self._bytes_max = bytes_max
        self.taken_bytes = 0
        self.artifacts: dict[tuple[str, str], Artifact] = {}
        self.missing: dict[str, None] = {}

    def mapping(self, values: Mapping[str, str]) -> dict[str, str]:
        return {key: self.text(value) for key, value in values.items()}

    def text(self, text: str) -> str:
        return _REFERENCE.sub(self._replacement, text) if OPENING in text else text

    def _replacement(self, match: re.Match[str]) -> str:
        task_id, kind, name = match.groups()
        value = self._value(task_id, kind, name)
        if value is None:
            self.missing[f"task {task_id} made none of its {kind} named {name}"] = None
            return ""
        self.taken_bytes += len(value.encode())
        if self.taken_bytes > self._bytes_max:
            self.missing[f"what it takes from other tasks is larger than {self._bytes_max:,} bytes"] = None
            return ""
        return value

    def _value(self, task_id: str, kind: str, name: str) -> str | None:
        made = self._made(task_id)
        if kind == "outputs":
            return made.outputs.get(name)
        artifact = made.artifact(name)
        if artifact is None:
            return None
        self.artifacts[task_id, name] = artifact
        return artifact.uri
