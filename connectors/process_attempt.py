"""The folder of one attempt at a task: what the process finds there, and what it left there.

The process finds its way by its environment, which holds nothing of the worker's but PATH and the language:

    NEURAL_HIVE_INPUTS      folder with the artifacts of the tasks it depends on (read)
    NEURAL_HIVE_PARAMETERS  JSON file with the task's parameters (read)
    NEURAL_HIVE_OUTPUTS     file for `name=value` lines, which later tasks may refer to (write)
    NEURAL_HIVE_ARTIFACTS   folder for files to keep, which later tasks may refer to (write)
"""

import json
import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Final

import msgspec

from neural_hive.aggregates.made import ARTIFACTS_MAX, OUTPUT_BYTES_MAX
from neural_hive.aggregates.vocabulary import Artifact
from neural_hive.connectors.artifacts import ArtifactStore

LOG_NAME: Final = "output.log"  # the artifact that holds what the process printed


class Limits(msgspec.Struct, frozen=True):
    """How much of one attempt is kept."""

    log_head_bytes: int = 256 * 1024
    log_tail_bytes: int = 768 * 1024
    error_chars: int = 4_000
    outputs_max: int = 256
    output_name_chars: int = 128
    outputs_bytes: int = OUTPUT_BYTES_MAX
    artifacts_max: int = ARTIFACTS_MAX - 1  # the log is one more
    grace_s: float = 5.0  # between SIGTERM and SIGKILL
    settle_s: float = (
        30.0  # between the end of the lease and the latest result; the orchestrator waits for longer
    )


class Unusable(Exception):
    """The task broke a rule; the text says which."""


class Attempt:
    """One attempt's folder; gone when it is over."""

    def __init__(self, root: Path, store: ArtifactStore, limits: Limits) -> None:
        self._root = root
        self._store = store
        self._limits = limits
        self.work = root / "work"
        self.log = root / "log"
        self._inputs = root / "inputs"
        self._artifacts = root / "artifacts"
        self._temporary = root / "tmp"
        self._outputs = root / "outputs"
        self._parameters = root / "parameters.json"

    def make(self) -> None:
        """Makes the folder, in place of one that an earlier run of the attempt left."""
        self.remove()
        for folder in (self.work, self._inputs, self._artifacts, self._temporary):
            folder.mkdir(parents=True)

    def remove(self) -> None:
        """Removes the folder and all that the task left in it."""
        remove_tree(self._root)

    def environment(self) -> dict[str, str]:
        """What the process gets, beside what its task names."""
        own = str(Path(sys.executable).parent)  # first, so that `python` is the one we are installed with
        return {
            "PATH": os.pathsep.join((own, os.environ.get("PATH", os.defpath))),
            "LANG": os.environ.get("LANG", "C.UTF-8"),
            "HOME": str(self.work),
            "TMPDIR": str(self._temporary),
            "NEURAL_HIVE_INPUTS": str(self._inputs),
            "NEURAL_HIVE_PARAMETERS": str(self._parameters),
            "NEURAL_HIVE_OUTPUTS": str(self._outputs),
            "NEURAL_HIVE_ARTIFACTS": str(self._artifacts),
        }

    def give_inputs(self, files: tuple[Artifact, ...]) -> dict[str, str]:
        """Puts the inputs into their folder, and says where each address is found: address → path.

        Raises Unusable: a name leads out of the folder. ArtifactError: a file is missing or damaged.
        """
        paths: dict[str, str] = {}
        for file in files:
            path = self._inputs / _safe_name(file.name)
            if path.exists() and paths.get(file.uri) != str(path):
                # Two dependencies made files of one name: the later one is found below its hash.
                path = self._inputs / file.sha256[:12] / _safe_name(file.name)
            if not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                self._store.fetch(file.sha256, path)
            paths[file.uri] = str(path)
        return paths

    def give_parameters(self, parameters: Mapping[str, str]) -> None:
        """Writes the parameters where the process reads them."""
        self._parameters.write_text(json.dumps(parameters))

    def outputs(self) -> dict[str, str]:
        """The outputs that the process named. Raises Unusable: not `name=value`, too many, too large."""
        if not self._outputs.exists():
            return {}
        if self._outputs.stat().st_size > self._limits.outputs_bytes:
            raise Unusable(f"the outputs are larger than {self._limits.outputs_bytes} bytes, the limit")
        try:
            lines = self._outputs.read_text().split("\n")
        except (UnicodeDecodeError, IsADirectoryError) as error:
            raise Unusable("the outputs are no file of UTF-8 text") from error
        pairs = [self._output(number, line) for number, line in enumerate(lines, 1) if line.strip()]
        if len(pairs) > self._limits.outputs_max:
            raise Unusable(f"{len(pairs)} outputs; the limit is {self._limits.outputs_max}")
        return dict(pairs)

    def _output(self, number: int, line: str) -> tuple[str, str]:
        name, found, value = line.partition("=")
        if not found or not name.strip() or len(name) > self._limits.output_name_chars:
            raise Unusable(f"line {number} of the outputs is not name=value: {line[:80]!r}")
        return name.strip(), value

    def artifacts(self) -> tuple[Artifact, ...]:
        """Keeps the files that the process made to be kept.

        Raises Unusable: too many, or a reserved name. ArtifactError: a file cannot be kept.
        """
        found = sorted(path for path in self._artifacts.rglob("*") if path.is_symlink() or not path.is_dir())
        if len(found) > self._limits.artifacts_max:
            raise Unusable(f"{len(found)} artifacts; the limit is {self._limits.artifacts_max}")
        names = [path.relative_to(self._artifacts).as_posix() for path in found]
        if LOG_NAME in names:
            raise Unusable(f"{LOG_NAME} is kept for what the process prints: name the artifact otherwise")
        return tuple(self._keep(path, name) for path, name in zip(found, names, strict=True))

    def kept_log(self) -> tuple[Artifact, ...]:
        """Keeps what the process printed; nothing if it printed nothing."""
        if not self.log.exists() or self.log.stat().st_size == 0:
            return ()
        return (self._keep(self.log, LOG_NAME),)

    def _keep(self, path: Path, name: str) -> Artifact:
        stored = self._store.put(path)
        return Artifact(name, stored.uri, stored.sha256, stored.size_bytes)


def remove_tree(root: Path) -> None:
    """Removes a folder, also where a task took our rights away."""
    shutil.rmtree(root, ignore_errors=True)
    if root.exists():
        for folder, _, _ in os.walk(root):
            Path(folder).chmod(0o700)
        shutil.rmtree(root)


def _safe_name(name: str) -> PurePosixPath:
    path = PurePosixPath(name)
    if not path.parts or path.is_absolute() or ".." in path.parts or "\0" in name:
        raise Unusable(f"the input's name {name[:80]!r} is no relative path")
    return path
