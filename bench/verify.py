"""How fast `neural-hive replay verify` proves a log that orchestrator and registry wrote, and in how much memory.

Workflows of five tasks. The command is run as a user runs it, on the system that wrote the log and has nothing more to
do: chains, versions, sequence, ids, every input answered, and the state equal to its fold; then archive and read models
too. Its time is the one in its report: from the start of reading, without the start of the process. Memory is the
highest that each of its processes ever had resident, as the kernel has kept it (VmHWM), added up: what they share is
counted in each, and not all have their highest at one time, so they never had more. It is taken with a tenth of the log
and again with all of it. Broker and ClickHouse are not in it. While the log is made nothing is projected: that follows.
"""

import os
import subprocess
import tempfile
import threading
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Final

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
_LOOK_EVERY_S: Final = 0.05
_ALL, _ARCHIVE, _ONE = (
    "log, inputs and state",
    "with archive and read models",
    "log, inputs and state, one process",
)
WAYS: Final = {
    _ALL: ("--without", "archive"),
    _ARCHIVE: (),
    _ONE: ("--without", "archive", "--processes", "1"),
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
        clock = Clock()
        work = _Work(settings, clock)
        with NoWork(settings.kafka_config(), settings.partitions, clock.told):
            work.add(events // 10, tell)
            with _projected(settings, data, tell):
                for name, options in WAYS.items():
                    memory[_tenth(name)].append(_run(_tenth(name), settings, options, tell).memory_mb)
            work.add(events - events // 10, tell)
        with _projected(settings, data, tell):
            for number in range(rounds):
                for index in in_turn(len(WAYS), number):
                    name, options = list(WAYS.items())[index]
                    run = _run(name, settings, options, tell)
                    rates[name].append(run.rate)
                    cpu[name].append(run.cpu_us)
                    memory[name].append(run.memory_mb)
    counts = run.report["counts"]
    note = f"{counts['events']:,} events of {counts['aggregates']:,} aggregates, {counts['inputs']:,} inputs."
    return [_rates(rates, note), _of(cpu), _memory(memory)]


class _Work:
    """Lets the system make events."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._bench, self._clock = Bench(settings.kafka_config(), clock), clock

    def add(self, events: int, tell: Tell) -> None:
        """About so many more. Raises RuntimeError: a workflow did not complete."""
        self._bench.rate(IN_FLIGHT, -(-events // EVENTS_PER_WORKFLOW))
        if failed := self._clock.failed:
            raise RuntimeError(f"{len(failed)} workflows did not complete: {failed[:5]}")
        tell(f"about {events:,} more events are made")


@contextmanager
def _projected(settings: Settings, data: Path, tell: Tell) -> Iterator[None]:
    """With a projector, when it has come to the end of the log."""
    environment = {**os.environ, **settings.environment()}
    projector = Child(command_line("projector"), data / "projector.log", environment=environment)
    try:
        wait_archived(settings, tuple(all_topics()), lambda: projector.exit_code is None)
        tell("all of it is archived")
        yield
    finally:
        projector.stop(30)


def _run(name: str, settings: Settings, options: Sequence[str], tell: Tell) -> Run:
    environment = {**os.environ, **settings.environment()}
    line = command_line("replay", "verify", "--json", *options)
    with (
        tempfile.TemporaryDirectory(prefix="bench-run-") as folder,
        tempfile.TemporaryFile() as out,
        tempfile.TemporaryFile() as told,
    ):
        process = subprocess.Popen(line, env=environment, cwd=folder, stdout=out, stderr=told)
        look = _Look(process.pid)
        look.start()
        process.wait()
        look.join()
        answer, said = (_all_of(file) for file in (out, told))
    if process.returncode != EXIT_CLEAN:
        text = (said + answer)[-2_000:].decode(errors="replace")
        raise NotClean(f"exit code {process.returncode}\n{text}")
    report = msgspec.json.decode(answer)
    count = report["counts"]["events"]
    found = Run(count, count / report["duration_s"], look.cpu_s / count * 1e6, look.memory_mb, report)
    tell(
        f"{name}: {count:,} events in {report['duration_s']:.1f} s, {found.rate:,.0f}/s, {found.cpu_us:.0f} µs each, "
        f"{found.memory_mb:.0f} MB at most"
    )
    return found


def _all_of(file: IO[bytes]) -> bytes:
    file.seek(0)
    return file.read()


class _Look(threading.Thread):
    """Looks at a process and all that it has started until it ends."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self._process = psutil.Process(pid)
        self._cpu_s: dict[int, float] = {}
        self._highest_kb: dict[int, int] = {}

    @property
    def cpu_s(self) -> float:
        """Processor time of all of them, as far as it was seen."""
        return sum(self._cpu_s.values())

    @property
    def memory_mb(self) -> float:
        """The highest resident memory of each of them, added up."""
        return sum(self._highest_kb.values()) / 1e3

    def run(self) -> None:
        """Until the first process ends."""
        while self._is_alive():
            for process in self._all():
                self._one(process)
            threading.Event().wait(_LOOK_EVERY_S)

    def _is_alive(self) -> bool:
        try:
            return self._process.is_running() and self._process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:  # it has ended between the two looks
            return False

    def _all(self) -> list[psutil.Process]:
        try:
            return [self._process, *self._process.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def _one(self, process: psutil.Process) -> None:
        try:
            times = process.cpu_times()
            self._cpu_s[process.pid] = times.user + times.system
            if highest_kb := _highest_kb(process.pid):
                self._highest_kb[process.pid] = highest_kb
        except (psutil.NoSuchProcess, psutil.AccessDenied, OSError):
            return  # it has ended: what was seen last counts


def _highest_kb(pid: int) -> int:
    """The most that a process ever had resident, as Linux has noted it; 0: it has ended."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next((int(line.split()[1]) for line in lines if line.startswith("VmHWM:")), 0)


def _tenth(name: str) -> str:
    return f"a tenth: {name}"


def _rates(found: dict[str, list[float]], note: str) -> Figures:
    series = [Series(name, found[name]) for name in WAYS]
    goals = [Goal(f"100,000 events/s: {one.name}", RATE_GOAL, one.median) for one in series[:2]]
    return Figures("verify", "Verify: orchestrator and registry", "events/s", series, goals, [note])


def _of(found: dict[str, list[float]]) -> Figures:
    series = [Series(name, found[name]) for name in WAYS]
    return Figures("verify-cpu", "Verify: processor time of its processes", "µs an event", series, [])


def _memory(found: dict[str, list[float]]) -> Figures:
    pairs = [(Series(_tenth(name), found[_tenth(name)]), Series(name, found[name])) for name in WAYS]
    goals = [
        Goal(
            f"ten times the log, memory of a tenth ×: {whole.name}",
            MEMORY_MOST,
            whole.median / tenth.median,
            at_most=True,
        )
        for tenth, whole in pairs
    ]
    series = [one for pair in pairs for one in pair]
    return Figures(
        "verify-memory", "Verify: highest resident memory of all its processes", "MB", series, goals
    )
