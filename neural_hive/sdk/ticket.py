"""A ticket as the function that executes it sees it."""

import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from neural_hive.aggregates.made import ARTIFACTS_MAX, Made, excess
from neural_hive.aggregates.vocabulary import Artifact
from neural_hive.connectors.artifacts import ArtifactStore
from neural_hive.connectors.process_executor import Cancellation
from neural_hive.streams.work_ledger import Dispatch

_LOOK_EVERY_S: Final = 0.1


class Unfit(ValueError):
    """What a function asked for or returned cannot be; the text says why and what to do."""


class Ticket:
    """One attempt at a ticket. It belongs to the function that was given it, and ends with it.

    `attempt` counts from 1; of two attempts at one ticket the higher one is in charge. Whoever changes something
    outside sends `fencing_token` along, and the target refuses an attempt that is lower than one it has seen.
    """

    def __init__(
        self, dispatch: Dispatch, cancellation: Cancellation, store: ArtifactStore, folder: Path, until: float
    ) -> None:
        """`until`: the end of its time, as `time.monotonic` tells it."""
        self.ticket_id: Final = dispatch.ticket_id
        self.workflow_id: Final = dispatch.workflow_id
        self.task_id: Final = dispatch.task_id
        self.task_type: Final = dispatch.task_type
        self.attempt: Final = dispatch.attempt
        self.command: Final = dispatch.command
        self.parameters: Final[Mapping[str, str]] = dispatch.parameters
        self.environment: Final[Mapping[str, str]] = dispatch.environment
        self.inputs: Final = dispatch.inputs
        self.compensates: Final = dispatch.compensates
        self._cancellation = cancellation
        self._store = store
        self._folder = folder
        self._until = until
        self._lock = threading.Lock()
        self._kept: dict[str, Artifact] = {}

    @property
    def fencing_token(self) -> str:
        """Says which attempt at which ticket somebody speaks for."""
        return f"{self.ticket_id}:{self.attempt}"

    @property
    def cancelled(self) -> bool:
        """Whether the work is no longer wanted, or its time is over: then the function should end soon."""
        return self._cancellation.asked or self.remaining_s <= 0

    @property
    def remaining_s(self) -> float:
        """How many seconds are left; what comes later has timed out."""
        return max(self._until - time.monotonic(), 0.0)

    def sleep(self, seconds: float) -> bool:
        """Waits; True, and at once, if the ticket is cancelled meanwhile."""
        until = time.monotonic() + seconds
        while not self.cancelled and (left := until - time.monotonic()) > 0:
            time.sleep(min(left, _LOOK_EVERY_S))
        return self.cancelled

    @property
    def folder(self) -> Path:
        """An empty folder for this attempt alone; removed when its function has ended."""
        self._folder.mkdir(parents=True, exist_ok=True)
        return self._folder

    def input(self, name: str) -> Path:
        """The file of an artifact of a task before, by its name or its `sha256:` address.

        Raises Unfit: there is none. ArtifactError: it is not in the artifact store, or was changed there.
        """
        found = next((file for file in self.inputs if name in (file.name, file.uri)), None)
        if found is None:
            known = ", ".join(file.name for file in self.inputs[:20]) or "none"
            raise Unfit(f"there is no input {name[:80]!r}; there are: {known}")
        path = self.folder / "inputs" / found.sha256 / (Path(found.name).name or "file")
        with self._lock:
            if not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                self._store.fetch(found.sha256, path)
        return path

    def keep(self, file: Path | str, name: str = "") -> Artifact:
        """Keeps a file as an artifact that later tasks can refer to, under its own name or another.

        Raises Unfit: too many. ArtifactError: it is no regular file, too large, or cannot be kept.
        """
        path = Path(file)
        stored = self._store.put(path)
        artifact = Artifact(name or path.name, stored.uri, stored.sha256, stored.size_bytes)
        with self._lock:
            if len(self._kept) >= ARTIFACTS_MAX:
                raise Unfit(f"more than {ARTIFACTS_MAX} artifacts: make an archive of them")
            self._kept[artifact.name] = artifact
        return artifact

    @property
    def kept(self) -> tuple[Artifact, ...]:
        """The artifacts so far."""
        with self._lock:
            return tuple(self._kept.values())


def outputs_of(returned: object) -> dict[str, str]:
    """What a function returned, as a ticket's outputs. Raises Unfit: it is no mapping of texts and numbers."""
    if returned is None:
        return {}
    if not isinstance(returned, Mapping):
        raise Unfit(
            f"the function returned {_a(returned)}; it must return its outputs, such as {{'size': 3}}, or None"
        )
    for name, value in returned.items():
        if not isinstance(name, str) or not name or not isinstance(value, str | int | float):
            raise Unfit(
                f"output {name!r:.80} is {_a(value)}: outputs are texts and numbers by name, files are kept"
            )
    outputs = {name: str(value) for name, value in returned.items()}
    if too_much := excess(Made(outputs)):
        raise Unfit(too_much)
    return outputs


def _a(value: object) -> str:
    return f"a value of type {type(value).__name__}"
