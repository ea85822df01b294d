"""States made again: aggregates of 100 events, by Neural Hive from Kafka and the archive, and by `eventsourcing`.

Neural Hive does what a worker does that has lost its state: it reads all partitions, checks versions, sequence and hash
chains, folds, and writes RocksDB. The library reads each aggregate back through its repository, from SQLite and from
memory. Every run is a process of its own; its time is from the start of reading to the last state.
"""

import os
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import msgspec

from bench.archive import clickhouse
from bench.figures import Figures, Goal, Series, in_turn, ratio
from bench.kernel import RECORD_BYTES
from bench.kernel_contenders import hive
from bench.replay_worker import EVENTS_EACH
from bench.topics import Topics, fill, new_topics, wait_for
from neural_hive.connectors.kafka_embedded import EmbeddedKafka
from neural_hive.schemas.catalogue import FOLDERS_VARIABLE
from tests.toy.harness import ROOT, SCHEMAS

AGGREGATES: Final = 3_000
TIMES_GOAL: Final = 10.0
KAFKA: Final = "Neural Hive, from Kafka"
ARCHIVE: Final = "Neural Hive, from the archive"
SQLITE: Final = "eventsourcing on SQLite"
MEMORY: Final = "eventsourcing in memory"
WAYS: Final = {KAFKA: "kafka", ARCHIVE: "archive", SQLITE: "sqlite", MEMORY: "memory"}
Tell = Callable[[str], None]


class Run(msgspec.Struct, frozen=True):
    """What one run of a contender took."""

    rate: float  # events/s
    cpu_us: float  # processor time of its own process for one event, without broker and ClickHouse


class Failed(RuntimeError):
    """A contender did not come to its end; the text is what it said."""


def measure(rounds: int, tell: Tell, aggregates: int = AGGREGATES) -> list[Figures]:
    """All contenders, `rounds` times in alternating order, on one log and one archive of it."""
    found: dict[str, list[Run]] = defaultdict(list)
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as folder,
        EmbeddedKafka(Path(folder) / "kafka") as kafka,
    ):
        topics = _log(kafka.bootstrap, aggregates)
        with clickhouse(kafka.bootstrap, Path(folder) / "data") as settings:
            environment = settings.environment()
            _said("bench.archive", environment, topics.events)
            tell(f"{aggregates * EVENTS_EACH:,} events written and archived")
            for number in range(rounds):
                for index in in_turn(len(WAYS), number):
                    name = list(WAYS)[index]
                    run = _run(WAYS[name], aggregates, topics, environment)
                    found[name].append(run)
                    tell(f"{name}: {run.rate:,.0f} events/s, {run.cpu_us:.1f} µs of CPU an event")
    in_order = {name: found[name] for name in WAYS}
    return [_rates(in_order), _costs(in_order)]


def _log(bootstrap: str, aggregates: int) -> Topics:
    """Topics that a worker has filled."""
    topics, events = new_topics(bootstrap), aggregates * EVENTS_EACH
    fill(bootstrap, topics.source, events, aggregates, RECORD_BYTES)
    with tempfile.TemporaryDirectory(prefix="bench-run-") as folder:
        worker = hive(topics, Path(folder))
        try:
            wait_for(topics, events)
        finally:
            worker.stop(30)
    return topics


def _run(way: str, aggregates: int, topics: Topics, environment: Mapping[str, str]) -> Run:
    where = (topics.bootstrap, topics.source, topics.events, topics.name)
    with tempfile.TemporaryDirectory(prefix="bench-run-") as folder:
        said = _said("bench.replay_worker", environment, way, str(aggregates), folder, *where)
    took_s, cpu_s = (float(word) for word in said.split()[-2:])
    events = aggregates * EVENTS_EACH
    return Run(events / took_s, cpu_s / events * 1e6)


def _said(module: str, environment: Mapping[str, str], *arguments: str) -> str:
    """What a module that knows the toy system's schemas has printed. Raises Failed."""
    whole = {**os.environ, **environment, FOLDERS_VARIABLE: str(SCHEMAS), "PYTHONPATH": str(ROOT)}
    line = [sys.executable, "-m", module, *arguments]
    done = subprocess.run(line, env=whole, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Failed(f"{module} {arguments[0]}: {done.stderr[-2_000:]}")
    return done.stdout


def _rates(found: Mapping[str, list[Run]]) -> Figures:
    series = [Series(name, [run.rate for run in runs]) for name, runs in found.items()]
    goals = [
        Goal(f"{own}: {TIMES_GOAL:g} × {peer}", TIMES_GOAL, ratio(series, own, peer))
        for own in (KAFKA, ARCHIVE)
        for peer in (SQLITE, MEMORY)
    ]
    return Figures("replay", f"Replay: aggregates of {EVENTS_EACH} events", "events/s", series, goals)


def _costs(found: Mapping[str, list[Run]]) -> Figures:
    series = [Series(name, [run.cpu_us for run in runs]) for name, runs in found.items()]
    return Figures(
        "replay-cpu", "Replay: processor time of the contender for one event", "µs/event", series, []
    )
