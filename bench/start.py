"""How long `neural-hive up` takes until it says that all is ready: broker, registry, ClickHouse, processor, projector.

Each round begins with an empty data folder, with the downloads and Java's class cache there (cold), stops it in order,
and starts it again on what it has left (warm). SQL is asked once it says so.
"""

import os
import re
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Final

import msgspec

from bench.figures import Figures, Goal, Series
from bench.kernel import Tell
from neural_hive.connectors.child import Child, tail
from neural_hive.projections.http_store import HttpStore
from neural_hive.settings import load_settings
from neural_hive.system import command_line
from tests.toy.harness import ROOT

WARM_GOAL_S: Final = 15.0
WARM: Final = "warm"
COLD: Final = "cold, downloads done"
_LOOK_EVERY_S: Final = 0.02
_GIVE_UP_S: Final = 600.0
_STOP_TIMEOUT_S: Final = 180.0
_RUNNING: Final = "running"
_TOLD: Final = re.compile(r"^((?P<word>starting|running) (on|after) |(?P<process>\S+) ready )", re.MULTILINE)


class NotStarted(RuntimeError):
    """It did not become ready, or did not stop in order; the text has the end of its log."""


class Start(msgspec.Struct, frozen=True):
    """One start."""

    whole_s: float
    told_s: dict[
        str, float
    ]  # when the command began to speak, and when it said of a process that it was ready


def measure(rounds: int, tell: Tell) -> list[Figures]:
    """So many cold starts, each followed by a warm one."""
    starts: dict[str, list[Start]] = defaultdict(list)
    _started_once()
    for _ in range(rounds):
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            for name in (COLD, WARM):
                starts[name].append(_start(Path(folder) / "data", Path(folder) / f"{name[:4]}.log"))
                tell(f"{name}: {starts[name][-1].whole_s:.1f} s")
    series = [Series(name, [one.whole_s for one in starts[name]]) for name in (WARM, COLD)]
    goal = Goal("warm within 15 s", WARM_GOAL_S, series[0].median, at_most=True)
    notes = [_parts(name, starts[name]) for name in (WARM, COLD)]
    return [Figures("start", "From the command to a system that is ready", "s", series, [goal], notes)]


def _started_once() -> None:
    """Fetches what is fetched once, and makes Java's class cache, so that no start that counts does it."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        _start(Path(folder) / "data", Path(folder) / "first.log")


def _start(data: Path, log: Path) -> Start:
    began = time.monotonic()
    told_s: dict[str, float] = {}
    with _up(data, log) as system:
        while _RUNNING not in told_s:
            if not system.alive or time.monotonic() - began > _GIVE_UP_S:
                raise NotStarted(f"not ready, exit code {system.exit_code}\n{tail(log)}")
            time.sleep(_LOOK_EVERY_S)
            now_s = time.monotonic() - began
            for found in _TOLD.finditer(log.read_text() if log.exists() else ""):
                told_s.setdefault(found["process"] or found["word"], now_s)
        _ask(data)
    return Start(told_s.pop(_RUNNING), told_s)


@contextmanager
def _up(data: Path, log: Path) -> Iterator[Child]:
    """The command; it is stopped in order at the end."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    system = Child(command_line("up", "--data", str(data)), log, environment=environment)
    try:
        yield system
    finally:
        in_time = system.stop(_STOP_TIMEOUT_S)
    if not in_time or system.exit_code != 0:
        raise NotStarted(f"not stopped in order, exit code {system.exit_code}\n{tail(log)}")


def _ask(data: Path) -> None:
    """Raises if SQL is not answered, though the system says that it is ready."""
    settings = load_settings(data=data)
    user = settings.clickhouse_user
    at = (settings.clickhouse_host, settings.clickhouse_port, user, settings.password_of(user))
    store = HttpStore(*at, settings.clickhouse_database)
    store.rows("SELECT count() FROM tickets")
    store.close()


def _parts(name: str, starts: list[Start]) -> str:
    """Where the time goes: when each word was told, by the medians."""
    parts = {word: median(one.told_s[word] for one in starts) for word in starts[0].told_s}
    told = ", ".join(f"{word} {after_s:.1f} s" for word, after_s in sorted(parts.items(), key=lambda p: p[1]))
    return f"{name}, told after the start of the command: {told}."
