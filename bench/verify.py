"""How fast `neural-hive replay verify` proves a log that orchestrator and registry wrote, and in how much memory.

Workflows of five tasks. The command is run as a user runs it, on the system that wrote the log and has nothing more to
do: chains, versions, sequence, ids, every input answered, and the state equal to its fold; then archive and read models
too. Its time is the one in its report: from the start of reading, without the start of the process. Memory is what all
its processes have together (PSS: what they share is counted once), at its highest; it is taken when a tenth of the log
is there, and again when all of it is.
"""

import os
import subprocess
import tempfile
import threading
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import msgspec
import psutil

from bench.archive import clickhouse, wait_archived
from bench.figures import Figures, Goal, Series, in_turn
from bench.orchestration import Bench, Clock, Tell, running
from bench.worker import NoWork
from neural_hive.connectors.child import Child
from neural_hive.replay.report import EXIT_CLEAN
from neural_hive.schemas.extensions import all_topics
from neural_hive.settings import Settings
from neural_hive.system import command_line

EVENTS: Final = 1_000_000
EVENTS_PER_WORKFLOW: Final = 48
IN_FLIGHT: Final = 500
RATE_GOAL: Final = 100_000.0  # events/s
MEMORY_MOST: Final = 1.25  # times that of a tenth of the log
_LOOK_EVERY_S: Final = 0.1
_TENTH, _WHOLE = "a tenth of the log", "the whole log"
WAYS: Final = {
    "log, inputs and state": ("--without", "archive"),
    "with archive and read models": (),
    "log, inputs and state, one process": ("--without", "archive", "--processes", "1"),
}


class NotClean(RuntimeError):
    """Something was found, or it could not be verified; the text is the report."""


class Run(msgspec.Struct, frozen=True):
    """One run of the command."""

    events: int
    rate: float  # events/s
    cpu_us: float  # processor time of all its processes for an event, their start included
    memory_mb: float
    report: Any


def measure(rounds: int, tell: Tell, events: int = EVENTS) -> list[Figures]:
    """All ways, `rounds` times in alternating order, on one log."""
    rates: dict[str, list[float]] = defaultdict(list)
    cpu: dict[str, list[float]] = defaultdict(list)
    memory: dict[str, list[float]] = defaultdict(list)
    with running() as (system, data), clickhouse(system.kafka_bootstrap, data) as settings:
        with _projected(settings, data):
            work = _Work(settings)
            work.add(events // 10)
            run = _run("tenth", settings, WAYS["with archive and read models"], tell)
            memory[_TENTH].append(run.memory_mb)
            work.add(events - events // 10)
        for number in range(rounds):
            for index in in_turn(len(WAYS), number):
                name, options = list(WAYS.items())[index]
                run = _run(name, settings, options, tell)
                rates[name].append(run.rate)
                cpu[name].append(run.cpu_us)
                if not options:
                    memory[_WHOLE].append(run.memory_mb)
    counts = run.report["counts"]
    note = f"{counts['events']:,} events of {counts['aggregates']:,} aggregates, {counts['inputs']:,} inputs."
    return [_rates(rates, note), _of(cpu), _memory(memory)]


class _Work:
    """Lets the system make events, and waits until they are archived."""

    def __init__(self, settings: Settings) -> None:
        self._settings, self._clock = settings, Clock()
        self._bench = Bench(settings.kafka_config(), self._clock)

    def add(self, events: int) -> None:
        """About so many more."""
        with NoWork(self._settings.kafka_config(), self._settings.partitions, self._clock.told):
            self._bench.rate(IN_FLIGHT, -(-events // EVENTS_PER_WORKFLOW))
        if self._clock.failed:
            raise RuntimeError(
                f"{len(self._clock.failed)} workflows did not complete: {self._clock.failed[:5]}"
            )
        wait_archived(self._settings, tuple(all_topics()), lambda: True)


@contextmanager
def _projected(settings: Settings, data: Path) -> Iterator[None]:
    environment = {**os.environ, **settings.environment()}
    projector = Child(command_line("projector"), data / "projector.log", environment=environment)
    try:
        yield
    finally:
        projector.stop(30)


def _run(name: str, settings: Settings, options: Sequence[str], tell: Tell) -> Run:
    environment = {**os.environ, **settings.environment()}
    line = command_line("replay", "verify", "--json", *options)
    with tempfile.TemporaryDirectory(prefix="bench-run-") as folder, tempfile.TemporaryFile() as out:
        process = subprocess.Popen(line, env=environment, cwd=folder, stdout=out, stderr=subprocess.STDOUT)
        look = _Look(process.pid)
        look.start()
        process.wait()
        look.join()
        out.seek(0)
        answer = out.read()
    if process.returncode != EXIT_CLEAN:
        raise NotClean(f"exit code {process.returncode}\n{answer[-2_000:].decode(errors='replace')}")
    report = msgspec.json.decode(answer)
    count = report["counts"]["events"]
    found = Run(count, count / report["duration_s"], look.cpu_s / count * 1e6, look.memory_mb, report)
    tell(
        f"{name}: {count:,} events in {report['duration_s']:.1f} s, {found.rate:,.0f}/s, {found.cpu_us:.0f} µs each, "
        f"{found.memory_mb:.0f} MB at most"
    )
    return found


class _Look(threading.Thread):
    """Looks at a process and all that it has started until it ends."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self._process = psutil.Process(pid)
        self._cpu_s: dict[int, float] = {}
        self.memory_mb = 0.0

    @property
    def cpu_s(self) -> float:
        """Processor time of all of them, as far as it was seen."""
        return sum(self._cpu_s.values())

    def run(self) -> None:
        while self._process.is_running() and self._process.status() != psutil.STATUS_ZOMBIE:
            self.memory_mb = max(self.memory_mb, sum(map(self._one, self._all())) / 1e6)
            threading.Event().wait(_LOOK_EVERY_S)

    def _all(self) -> list[psutil.Process]:
        try:
            return [self._process, *self._process.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def _one(self, process: psutil.Process) -> int:
        try:
            times = process.cpu_times()
            self._cpu_s[process.pid] = times.user + times.system
            return int(process.memory_full_info().pss)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            return 0


def _rates(found: dict[str, list[float]], note: str) -> Figures:
    series = [Series(name, found[name]) for name in WAYS]
    goals = [Goal(f"100,000 events/s: {one.name}", RATE_GOAL, one.median) for one in series[:2]]
    return Figures("verify", "Verify: orchestrator and registry", "events/s", series, goals, [note])


def _of(found: dict[str, list[float]]) -> Figures:
    series = [Series(name, found[name]) for name in WAYS]
    return Figures("verify-cpu", "Verify: processor time of its processes", "µs an event", series, [])


def _memory(found: dict[str, list[float]]) -> Figures:
    series = [Series(name, found[name]) for name in (_TENTH, _WHOLE)]
    ratio = series[1].median / series[0].median
    goal = Goal("ten times the log, memory of a tenth ×", MEMORY_MOST, ratio, at_most=True)
    return Figures("verify-memory", "Verify: memory of all its processes", "MB", series, [goal])
