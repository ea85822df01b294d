"""How fast `neural-hive replay verify` proves a log that orchestrator and registry wrote: workflows of five tasks.

The command is run as a user runs it, on the system that wrote the log and has nothing more to do: chains, versions,
sequence, ids, every input answered, and the state equal to its fold; then archive and read models too. Its time is the
one in its report: from the start of reading, without the start of the process.
"""

import os
import subprocess
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any, Final

import msgspec

from bench.archive import clickhouse, wait_archived
from bench.figures import Figures, Goal, Series, in_turn
from bench.orchestration import Bench, Clock, Tell, running
from bench.worker import NoWork
from neural_hive.connectors.child import Child
from neural_hive.replay.report import EXIT_CLEAN
from neural_hive.schemas.extensions import all_topics
from neural_hive.settings import Settings
from neural_hive.system import command_line

EVENTS: Final = 200_000
EVENTS_PER_WORKFLOW: Final = 48
IN_FLIGHT: Final = 500
RATE_GOAL: Final = 100_000.0  # events/s
WAYS: Final = {
    "log, inputs and state": ("--without", "archive"),
    "with archive and read models": (),
}


class NotClean(RuntimeError):
    """Something was found, or it could not be verified; the text is the report."""


def measure(rounds: int, tell: Tell, events: int = EVENTS) -> list[Figures]:
    """Both ways, `rounds` times in alternating order, on one log."""
    found: dict[str, list[float]] = defaultdict(list)
    with running() as (system, data), clickhouse(system.kafka_bootstrap, data) as settings:
        environment = {**os.environ, **settings.environment()}
        projector = Child(command_line("projector"), data / "projector.log", environment=environment)
        try:
            _work(settings, -(-events // EVENTS_PER_WORKFLOW))
            wait_archived(settings, tuple(all_topics()), lambda: projector.alive)
        finally:
            projector.stop(30)
        for number in range(rounds):
            for index in in_turn(len(WAYS), number):
                name, options = list(WAYS.items())[index]
                report = _verify(settings, options)
                count = report["counts"]["events"]
                found[name].append(count / report["duration_s"])
                tell(f"{name}: {count:,} events in {report['duration_s']:.1f} s, {found[name][-1]:,.0f}/s")
    return [_figures({name: found[name] for name in WAYS}, report["counts"])]


def _work(settings: Settings, workflows: int) -> None:
    kafka, clock = settings.kafka_config(), Clock()
    with NoWork(kafka, settings.partitions, clock.told):
        Bench(kafka, clock).rate(IN_FLIGHT, workflows)
    if clock.failed:
        raise RuntimeError(f"{len(clock.failed)} workflows did not complete: {clock.failed[:5]}")


def _verify(settings: Settings, options: tuple[str, ...]) -> Any:
    environment = {**os.environ, **settings.environment()}
    line = command_line("replay", "verify", "--json", *options)
    with tempfile.TemporaryDirectory(prefix="bench-run-") as folder:
        done = subprocess.run(
            line, env=environment, cwd=Path(folder), capture_output=True, text=True, check=False
        )
    if done.returncode != EXIT_CLEAN:
        raise NotClean(f"exit code {done.returncode}\n{done.stdout[-2_000:]}\n{done.stderr[-2_000:]}")
    return msgspec.json.decode(done.stdout)


def _figures(found: dict[str, list[float]], counts: dict[str, int]) -> Figures:
    series = [Series(name, runs) for name, runs in found.items()]
    goals = [Goal(f"100,000 events/s: {one.name}", RATE_GOAL, one.median) for one in series]
    notes = [
        f"{counts['events']:,} events of {counts['aggregates']:,} aggregates, {counts['inputs']:,} inputs."
    ]
    return Figures("verify", "Verify: orchestrator and registry", "events/s", series, goals, notes)
