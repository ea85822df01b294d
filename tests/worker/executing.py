"""A ticket through the choice of its program and the real process executor, as the worker does it."""

import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from neural_hive.aggregates.vocabulary import Artifact
from neural_hive.connectors.artifacts import ArtifactStore
from neural_hive.connectors.process_executor import Cancellation, ProcessExecutor, Report
from neural_hive.streams.work_ledger import Dispatch
from neural_hive.streams.worker.orders import prepare

ALL_TYPES = frozenset({"BUILD", "TEST", "VALIDATE", "DEPLOY", "EXECUTE"})


class Bench:
    """Runs tickets without a broker; `folder` is the test's own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = ArtifactStore(folder / "store")
        self._executor = ProcessExecutor(folder / "attempts", self.store)

    def run(self, task_type: str, parameters: Mapping[str, str], **changes: Any) -> Report:
        """Runs one ticket to its end, or refuses it."""
        whole: dict[str, Any] = {
            "ticket_id": "ticket-1",
            "workflow_id": "workflow-1",
            "task_id": "task",
            "task_type": task_type,
            "attempt": 1,
            "allocated_agent_id": "agent",
            "command": (),
            "parameters": dict(parameters),
            "environment": {},
            "timeout_ms": 120_000,
            "deadline_at": 0,
            "inputs": (),
            **changes,
        }
        prepared = prepare(Dispatch(**whole), "agent", ALL_TYPES)
        if isinstance(prepared, Report):
            return prepared
        return self._executor.run(prepared.order, Cancellation())

    def kept(self, report: Report, name: str) -> str:
        """The text of an artifact."""
        artifact = next(file for file in report.artifacts if file.name == name)
        target = self.folder / "fetched"
        target.unlink(missing_ok=True)
        self.store.fetch(artifact.sha256, target)
        return target.read_text()

    def archive(self, name: str, files: Mapping[str, str]) -> Artifact:
        """Keeps a tar archive of these files, as a task before would have."""
        source, tar = self.folder / f"{name}.source", self.folder / name
        write(source, files)
        with tarfile.open(tar, "w") as opened:
            for file in sorted(path for path in source.rglob("*") if path.is_file()):
                opened.add(file, file.relative_to(source).as_posix())
        kept = self.store.put(tar)
        return Artifact(name, kept.uri, kept.sha256, kept.size_bytes)

    def close(self) -> None:
        """Leaves nothing behind."""
        self._executor.close()
        assert list((self.folder / "attempts").iterdir()) == []


def write(folder: Path, files: Mapping[str, str]) -> Path:
    """Writes files into a folder."""
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder
