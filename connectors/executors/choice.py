"""Which program runs a ticket that names no command: its type says it, or its parameter `executor`."""

import importlib.util
import shutil
import sys
from collections.abc import Mapping
from typing import Final

import msgspec

from neural_hive.aggregates.vocabulary import TaskType

CHOICE: Final = "executor"  # the parameter that names one


class Refused(Exception):
    """The ticket cannot be run here; the text says why and what to do."""


class Program(msgspec.Struct, frozen=True):
    """One executor: its name, the module that is run, and what it cannot do without."""

    name: str
    module: str
    modules: tuple[str, ...] = ()
    programs: tuple[str, ...] = ()

    @property
    def command(self) -> tuple[str, ...]:
        """How it is started: texts in UTF-8 whatever the language, and no task's own files on the path."""
        return (sys.executable, "-X", "utf8", "-P", "-m", f"neural_hive.connectors.executors.{self.module}")

    def missing(self) -> list[str]:
        """What is not installed where this worker runs."""
        modules = [f"Python's {name}" for name in self.modules if importlib.util.find_spec(name) is None]
        return modules + [name for name in self.programs if shutil.which(name) is None]


# The first of each type is its default.
_PROGRAMS: Final[Mapping[TaskType, tuple[Program, ...]]] = {
    TaskType.BUILD: (Program("wheel", "wheel", modules=("build",)),),
    TaskType.TEST: (Program("pytest", "tests", modules=("pytest",)), Program("command", "tests")),
    TaskType.VALIDATE: (
        Program("bandit", "scan", modules=("bandit",)),
        Program("rego", "policy", modules=("regopy",)),
    ),
    TaskType.DEPLOY: (Program("git", "gitops", programs=("git",)),),
}


def choose(task_type: str, parameters: Mapping[str, str]) -> Program:
    """The program for a ticket. Raises Refused: it says too little, or what it needs is not here."""
    programs = _PROGRAMS.get(TaskType(task_type), ())
    if not programs or not parameters:
        raise Refused("the ticket has no command to run" + (" and no parameters" if programs else ""))
    name = parameters.get(CHOICE, programs[0].name)
    program = next((program for program in programs if program.name == name), None)
    if program is None:
        known = ", ".join(program.name for program in programs)
        raise Refused(f"there is no executor {name[:80]!r} for {task_type} here; there are: {known}")
    missing = program.missing()
    if missing:
        raise Refused(f"executor {name} needs {', '.join(missing)}, not installed where this worker runs")
    return program
