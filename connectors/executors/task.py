"""What the executors' programs share: how one reads its task, runs other programs, and says how it went.

A program reads its parameters, leaves files and outputs, and ends with exit code 1 and its reason as the last words
of the log where the task has failed, 2 where the task itself is wrong.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

import msgspec

from neural_hive.connectors.executors.choice import CHOICE


class Failed(Exception):
    """The work was tried, and is not as it must be; the text says why."""


class Unfit(Exception):
    """The task's parameters are wrong; the text says which, and what they must be."""


class Task(msgspec.Struct, frozen=True):
    """One attempt, as its process finds it in the environment."""

    workflow_id: str
    ticket_id: str
    attempt: int  # the fencing token: of two attempts, the one with the higher number is in charge
    parameters: Mapping[str, str]
    artifacts: Path
    outputs: Path

    def known(self, *names: str, prefixes: tuple[str, ...] = ()) -> None:
        """Refuses parameters that nothing reads. Raises Unfit."""
        for name in self.parameters:
            if name not in (*names, CHOICE) and not name.startswith(prefixes or "\0"):
                may = ", ".join((*names, *(f"{prefix}…" for prefix in prefixes)))
                raise Unfit(f"there is no parameter {name[:80]!r}; there are: {may}")

    def needed(self, name: str) -> str:
        """A parameter that must be there. Raises Unfit."""
        value = self.parameters.get(name, "")
        if not value:
            raise Unfit(f"the parameter {name} is missing")
        return value

    def choice(self, name: str, values: Collection[str], default: str) -> str:
        """A parameter that is one of some words. Raises Unfit."""
        value = self.parameters.get(name, default)
        if value not in values:
            raise Unfit(f"the parameter {name} must be one of {', '.join(values)}, not {value[:80]!r}")
        return value

    def tell(self, **outputs: object) -> None:
        """Leaves outputs; later tasks may refer to them."""
        with self.outputs.open("a") as file:
            for name, value in outputs.items():
                file.write(f"{name}={' '.join(str(value).splitlines())}\n")


def run_program(work: Callable[[Task], None]) -> None:
    """The life of a program: reads the task, does the work, ends the process."""
    try:
        work(_from_environment(os.environ))
    except Failed as failure:
        say(str(failure))
        sys.exit(1)
    except (Unfit, OSError) as problem:
        say(str(problem))
        sys.exit(2)


def say(text: str) -> None:
    """A line of the log, in its place among those of the programs that were started."""
    sys.stdout.write(text.rstrip() + "\n")
    sys.stdout.flush()


def run(command: Sequence[str], folder: Path, variables: Mapping[str, str] | None = None) -> int:
    """Runs a program to its end, its output in the log; its exit code. Raises Unfit: there is no such program."""
    try:
        environment = {**os.environ, **(variables or {})}
        return subprocess.run(command, cwd=folder, env=environment, check=False).returncode
    except FileNotFoundError as error:
        raise Unfit(f"there is no program {command[0]!r}") from error


def inside(folder: Path, name: str) -> Path:
    """A path below a folder. Raises Unfit: it leads out of it, also by a link."""
    path = folder / name
    if "\0" in name or not path.resolve().is_relative_to(folder.resolve()):
        raise Unfit(f"{name[:200]!r} leads out of its folder: give a relative path without ..")
    return path


def redacted(text: str) -> str:
    """The text without passwords in addresses."""
    return re.sub(r"(\w+://)[^/@\s]+@", r"\1…@", text)


def _from_environment(environment: Mapping[str, str]) -> Task:
    return Task(
        environment["NEURAL_HIVE_WORKFLOW_ID"],
        environment["NEURAL_HIVE_TICKET_ID"],
        int(environment["NEURAL_HIVE_ATTEMPT"]),
        json.loads(Path(environment["NEURAL_HIVE_PARAMETERS"]).read_text()),
        Path(environment["NEURAL_HIVE_ARTIFACTS"]),
        Path(environment["NEURAL_HIVE_OUTPUTS"]),
    )
