"""Decisions made again by the code of a git revision, in a process of its own: see then/, which goes there."""

import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile
from typing import IO, Any, Final

import msgspec

from neural_hive.connectors.kafka_log import UnreadableLog
from neural_hive.replay.reader import LogSource
from neural_hive.replay.report import Findings
from neural_hive.replay.rerun.code import CodeUnusable, checked_out, environment, last_lines
from neural_hive.replay.rerun.decisions import rerun
from neural_hive.replay.rerun.past_views import PastTopic
from neural_hive.replay.rerun.then.serve import read_message, write_message
from neural_hive.replay.rerun.then.words import (
    About,
    Decide,
    Decided,
    Done,
    Folded,
    Keep,
    Know,
    Open,
    Order,
    Take,
    Who,
)
from neural_hive.streams.kernel.system import System

_THEN: Final = Path(__file__).parent / "then"
_PACKAGE: Final = "neural_hive_then"
_END_S: Final = 10.0


class RevisionDecider:
    """See Decider. Every call raises CodeUnusable: the code cannot do it."""

    def __init__(self, revision: str, process: subprocess.Popen[bytes], said: IO[bytes], who: Who) -> None:
        """`said`: the file that the process's standard error goes to."""
        self._revision, self._process, self._said = revision, process, said
        self._about: About = self._answer(who, About)

    def about(self) -> About:
        """See Decider.about."""
        return self._about

    def know(self, topic: Know) -> None:
        """See Decider.know; and topics that are looked into."""
        self._answer(topic, Done)

    def open(self, partition: Open) -> None:
        """See Decider.open."""
        self._answer(partition, Done)

    def decide(self, what: Decide) -> Decided:
        """See Decider.decide."""
        decided: Decided = self._answer(what, Decided)
        return decided

    def keep(self, what: Keep) -> None:
        """See Decider.keep."""
        self._answer(what, Done)

    def take(self, what: Take) -> Folded:
        """See Decider.take."""
        folded: Folded = self._answer(what, Folded)
        return folded

    def _answer(self, order: Order, kind: type[Any]) -> Any:
        orders, answers = self._process.stdin, self._process.stdout
        assert orders is not None and answers is not None
        try:
            write_message(orders, msgspec.msgpack.encode(order))
            message = read_message(answers)
        except BrokenPipeError:
            message = b""
        if not message:
            raise self._unusable()
        return msgspec.msgpack.decode(message, type=kind)

    def _unusable(self) -> CodeUnusable:
        self._process.wait(_END_S)
        self._said.seek(0)
        return CodeUnusable(
            f"the code of {self._revision} cannot make decisions for this build: {last_lines(self._said.read())}. It "
            "is older than what both have in common, or needs packages that are not installed: check that revision "
            "out, with its own packages, and run its own `neural-hive replay verify`"
        )


@contextmanager
def deciding(revision: str, system: str, settings: Mapping[str, Any]) -> Iterator[RevisionDecider]:
    """A system's decisions by the code of a revision. Raises CodeUnusable."""
    with (
        checked_out(revision) as code,
        TemporaryDirectory(prefix="neural-hive-then-") as beside,
        TemporaryFile() as said,
    ):
        shutil.copytree(_THEN, Path(beside) / _PACKAGE, ignore=shutil.ignore_patterns("__pycache__"))
        process = subprocess.Popen(
            [sys.executable, "-m", f"{_PACKAGE}.serve"],
            cwd=code,
            env=environment(code, Path(beside)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=said,
        )
        with process:
            try:
                yield RevisionDecider(revision, process, said, Who(system, dict(settings)))
            finally:
                process.kill()
                with suppress(BrokenPipeError):  # what it has not taken any more
                    assert process.stdin is not None
                    process.stdin.close()


def check_decisions_elsewhere(
    revision: str, system: System, settings: Mapping[str, Any], source: LogSource, findings: Findings
) -> None:
    """Runs all decisions of a system again with the code of a revision. Raises CodeUnusable; what the source raises."""
    with deciding(revision, system.name, settings) as decider:
        for topic in decider.about().looks_into:
            try:
                decider.know(PastTopic(topic, source).known())
            except UnreadableLog:
                continue  # nothing was ever written there
        rerun(system, source, decider, findings)
