"""Proves that one writer's log is as it was written, every input answered, and the state made of it right.

Reads one partition after the other, in this process. `everything` does the same for all systems, in many processes.
"""

import secrets
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from neural_hive.connectors.kafka_log import LostLog, StalledLog, UnreadableLog
from neural_hive.replay.checks.committed import NotVerified, Offsets
from neural_hive.replay.checks.inputs import Read
from neural_hive.replay.fingerprints import KEY_BYTES
from neural_hive.replay.reader import LogSource
from neural_hive.replay.report import Findings, Part, Report
from neural_hive.replay.steps.plan import writer_steps
from neural_hive.replay.steps.results import Results
from neural_hive.replay.steps.scope import scope_of
from neural_hive.replay.steps.target import Target, target_of
from neural_hive.replay.steps.work import do_step, look
from neural_hive.replay.steps.writer import Writer
from neural_hive.streams.kernel.reading import MessageReader
from neural_hive.streams.kernel.system import System


class Verification:
    """One run over one writer's log. Call `run`, then `report`."""

    def __init__(
        self,
        target: Target,
        source: LogSource,
        committed: Callable[[], Offsets] | None,
        system: System | None = None,
        states: Path | None = None,
        read: Read | None = None,
    ) -> None:
        """`system` and `states` (the processors' data folder) let the state be made anew and compared.

        `read` decodes the messages of inputs; without it, only those that have this build's schemas.
        """
        self.findings = Findings()
        self.parts: list[Part] = []
        self.problem = ""
        self._target, self._source, self._committed = target, source, committed
        self._system, self._states = system, states
        self._read = read or MessageReader()
        self._started_at = time.monotonic()

    def run(self) -> None:
        """Reads the whole log. What stops it is in the report, with what was found until then."""
        with TemporaryDirectory(prefix="neural-hive-verify-") as folder:
            try:
                scope = scope_of(self._target, self._source, self._committed)
            except (StalledLog, LostLog, UnreadableLog, NotVerified) as error:
                self.problem = str(error)
                return
            writer = Writer(
                self._target,
                scope,
                self._source,
                self._committed,
                self._system,
                self._states,
                self._read,
                Path(folder),
                secrets.token_bytes(KEY_BYTES),
            )
            self._run(writer, Results(Path(folder), lasting=False))

    def _run(self, writer: Writer, results: Results) -> None:
        for step, needs in writer_steps(writer.target, writer.scope.partitions):
            done = do_step(step, partial(look, writer, step, results.of(needs)), self._source)
            results.keep(done)
            self.findings.take(done.report)
            self.parts += done.report.parts
            if done.report.problem:
                self.problem = done.report.problem
                return

    def report(self) -> Report:
        """All that was found."""
        return self.findings.report(self.parts, time.monotonic() - self._started_at, self.problem)


__all__ = ["Target", "Verification", "target_of"]
