"""What a verification is made of: steps, each of which can be done in any process, and what each one leaves behind."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import msgspec

from neural_hive.replay.checks.answers import Packed
from neural_hive.replay.report import Report

SCRATCH: Final = "scratch-"


class Kind(StrEnum):
    """What a step looks at; the value is what reports call it."""

    EVENTS = "events"
    LETTERS = "dead letters"
    INPUTS = "inputs"
    STATE = "state"
    DECISIONS = "decisions"
    ARCHIVE = "archive"
    PROJECTION = "read model"
    SEAL = "seal"


class Step(msgspec.Struct, frozen=True):
    """One piece of the work."""

    kind: Kind
    of: str = ""  # the system, topic or read model
    partition: int = -1  # -1: all of them

    @property
    def name(self) -> str:
        """What reports call it."""
        place = f" {self.partition}" if self.partition >= 0 else ""
        return f"{self.kind} of {self.of}{place}" if self.of else str(self.kind)

    @property
    def file(self) -> str:
        """What the names of its files begin with."""
        return f"{self.kind.replace(' ', '-')}.{self.of}.{self.partition}"


class Done(msgspec.Struct, frozen=True):
    """What a step leaves behind: its report, and what later steps need of it."""

    step: Step
    report: Report
    began_at: str  # ISO 8601, UTC
    ended_at: str
    answered: list[Packed] = []  # the places whose records caused something
    causes: str = ""  # the file with the fingerprints of the messages that did
    is_folded: bool = False  # the state was made anew, and inputs were judged on the way
    is_fold_whole: bool = False  # to the end
    without_effect: list[Packed] = []  # places of inputs that do nothing in the state of their place
    silent: dict[str, str] = {}  # partition → the file with its silent inputs that were not judged yet


@contextmanager
def scratch(folder: Path) -> Iterator[Path]:
    """A folder within another one for what a step does not fit into memory; a killed process leaves it behind."""
    with TemporaryDirectory(prefix=SCRATCH, dir=folder) as name:
        yield Path(name)


def now() -> str:
    """The time, as reports tell it."""
    return datetime.now(UTC).isoformat(timespec="seconds")
