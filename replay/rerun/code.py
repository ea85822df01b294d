"""Other code that decides: a function that builds systems, or a revision of this package in a process of its own.

A revision is unpacked into a temporary folder. What makes single decisions again goes by little of it, and works with
old ones too (see revision.py). A whole run, as what-if makes it, needs the kernel of about today: it is driven by this
build's `replay/`, which is put in the place of the other one.
"""

import importlib
import io
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any, Final

import msgspec

import neural_hive
from neural_hive.replay.rerun.elsewhere import Order
from neural_hive.streams.kernel.system import System
from neural_hive.streams.systems import SYSTEMS, SystemSettings

SETTINGS: Final = tuple(name for name, held in vars(SystemSettings).items() if isinstance(held, property))
_ROOT: Final = Path(neural_hive.__file__).resolve().parent.parent
_OURS: Final = ("replay", "streams/kernel/timer_cause.py")  # what a revision gets of this build
_LINES_SHOWN: Final = 3


class CodeUnusable(ValueError):
    """The code that was asked for cannot be had or run; the text says why, and what to do."""


def systems_of(settings: Mapping[str, Any], names: Sequence[str]) -> list[System]:
    """This build's systems under such settings. Raises LookupError: there is no such system."""
    return [SYSTEMS[name](SimpleNamespace(**settings)) for name in names]


def built_by(function: str, settings: Mapping[str, Any], systems: Sequence[System]) -> list[System]:
    """The systems, with those in their places that a function of the settings builds. Raises CodeUnusable."""
    module, _, name = function.partition(":")
    sys.path.insert(0, str(Path.cwd()))
    try:
        build = getattr(importlib.import_module(module), name)
        made = build(SimpleNamespace(**settings))
    except Exception as error:
        raise CodeUnusable(f"--code {function} cannot be used: {type(error).__name__}: {error}") from error
    finally:
        sys.path.remove(str(Path.cwd()))
    found = [made] if isinstance(made, System) else list(made)
    known = {system.name for system in systems}
    if strangers := [
        getattr(s, "name", s) for s in found if not isinstance(s, System) or s.name not in known
    ]:
        raise CodeUnusable(
            f"--code {function} must give systems named {', '.join(sorted(known))}, and gave {strangers[0]}"
        )
    return list(
        ({system.name: system for system in systems} | {system.name: system for system in found}).values()
    )


@contextmanager
def checked_out(revision: str) -> Iterator[Path]:
    """A folder with the code of a revision. Raises CodeUnusable."""
    with TemporaryDirectory(prefix="neural-hive-code-") as name:
        folder = Path(name)
        packed = _git("archive", "--format=tar", f"{revision}^{{commit}}")
        with tarfile.open(fileobj=io.BytesIO(packed)) as files:
            files.extractall(folder, filter="data")
        yield folder


def _put(ours: Path, theirs: Path) -> None:
    if ours.is_dir():
        shutil.rmtree(theirs, ignore_errors=True)
        shutil.copytree(ours, theirs, ignore=shutil.ignore_patterns("__pycache__"))
    elif not theirs.exists():
        shutil.copy(ours, theirs)


def _git(*arguments: str) -> bytes:
    try:
        done = subprocess.run(["git", "-C", str(_ROOT), *arguments], capture_output=True, check=False)
    except FileNotFoundError:
        raise CodeUnusable("--code REVISION needs git: install it") from None
    if done.returncode:
        why = done.stderr.decode(errors="replace").strip().splitlines()
        raise CodeUnusable(
            f"the revision cannot be had from git ({why[0] if why else 'no reason'}). It must be one of the repository "
            "that this package is run from"
        )
    return done.stdout


def environment(*folders: Path) -> dict[str, str]:
    """Of a process whose code stands in these folders."""
    path = os.pathsep.join(map(str, folders))
    return {**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}


def last_lines(stderr: bytes) -> str:
    """What a process has said at its end."""
    return " ".join(stderr.decode(errors="replace").strip().splitlines()[-_LINES_SHOWN:])


def run_elsewhere(revision: str, order: Order, answer: type[Any]) -> Any:
    """Carries out an order with the code of a revision, and gives what it answers. Raises CodeUnusable."""
    with checked_out(revision) as folder, TemporaryDirectory(prefix="neural-hive-order-") as name:
        asked, answered = Path(name) / "order", Path(name) / "answer"
        for ours in _OURS:
            _put(_ROOT / ours, folder / ours)
        asked.write_bytes(msgspec.msgpack.encode(order))
        done = subprocess.run(
            [sys.executable, "-m", "neural_hive.replay.rerun.elsewhere", str(asked), str(answered)],
            cwd=folder,
            env=environment(folder),
            capture_output=True,
            check=False,
        )
        if done.returncode:
            raise CodeUnusable(
                f"the code of {revision} cannot be run as a whole by this build: {last_lines(done.stderr)}. Its kernel "
                "is too far from today's: name a revision nearer to it, or check that one out and run its own "
                "`neural-hive replay what-if`"
            )
        return msgspec.msgpack.decode(answered.read_bytes(), type=answer)
