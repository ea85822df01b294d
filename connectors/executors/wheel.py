"""BUILD: a wheel of a Python project.

source   folder or archive of the project; its build requirements must be installed where the worker runs
→ the wheel as an artifact; outputs wheel (its name), name, version, sha256, size_bytes
"""

import hashlib
import sys
from pathlib import Path
from typing import Final

from neural_hive.connectors.executors.source import source_folder
from neural_hive.connectors.executors.task import Failed, Task, Unfit, run, run_program

# The earliest time that a zip file can hold: the same source gives the same bytes, whenever it is built.
_REPRODUCIBLE: Final = {"SOURCE_DATE_EPOCH": "315532800"}


def build(task: Task) -> None:
    """Builds it. Raises Failed, Unfit."""
    task.known("source")
    folder = source_folder(task)
    if not any((folder / name).is_file() for name in ("pyproject.toml", "setup.py")):
        raise Unfit("the source holds neither pyproject.toml nor setup.py")
    command = [sys.executable, "-P", "-m", "build", "--wheel", "--no-isolation"]
    code = run([*command, "--outdir", str(task.artifacts), "."], folder, _REPRODUCIBLE)
    if code:
        raise Failed(f"the build ended with exit code {code}")
    wheels = list(task.artifacts.glob("*.whl"))
    if len(wheels) != 1:
        raise Failed(f"the build made {len(wheels)} wheels; one was expected")
    _tell(task, wheels[0])


def _tell(task: Task, wheel: Path) -> None:
    name, version = wheel.name.split("-")[:2]
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    size_bytes = wheel.stat().st_size
    task.tell(wheel=wheel.name, name=name, version=version, sha256=digest, size_bytes=size_bytes)


if __name__ == "__main__":
    run_program(build)
