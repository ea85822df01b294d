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
from collections.abc import Callable
from pathlib import Path
from typing import Final

from bench.archive import archive, clickhouse
from bench.figures import Figures, Goal, Series, in_turn, ratio
from bench.kernel import RECORD_BYTES
from bench.kernel_contenders import hive
from bench.replay_worker import EVENTS_EACH
from bench.topics import Topics, fill, new_topics, wait_for
from neural_hive.connectors.kafka_embedded import EmbeddedKafka
from neural_hive.schemas.catalogue import FOLDERS_VARIABLE
from neural_hive.schemas.topics import Kind
from neural_hive.settings import Settings
from tests.toy.harness import ROOT, SCHEMAS

AGGREGATES: Final = 3_000
TIMES_GOAL: Final = 10.0
KAFKA: Final = "Neural Hive, from Kafka"
ARCHIVE: Final = "Neural Hive, from the archive"
SQLITE: Final = "eventsourcing on SQLite"
MEMORY: Final = "eventsourcing in memory"
WAYS: Final = {KAFKA: "kafka", ARCHIVE: "archive", SQLITE: "sqlite", MEMORY: "memory"}
Tell = Callable[[str], None]


class Failed(RuntimeError):
    """A contender did not come to its end; the text is what it said."""


def measure(rounds: int, tell: Tell, aggregates: int = AGGREGATES) -> list[Figures]:
    """All contenders, `rounds` times in alternating order, on one log and one archive of it."""
    found: dict[str, list[float]] = defaultdict(list)
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as folder,
        EmbeddedKafka(Path(folder) / "kafka") as kafka,
    ):
        topics = _log(kafka.bootstrap, aggregates)
        os.environ[FOLDERS_VARIABLE] = str(SCHEMAS)
        with clickhouse(kafka.bootstrap, Path(folder) / "data") as settings:
            archive(settings, {topics.events: Kind.EVENT})
            tell(f"{aggregates * EVENTS_EACH:,} events written and archived")
            for number in range(rounds):
                for index in in_turn(len(WAYS), number):
                    name = list(WAYS)[index]
                    found[name].append(_rate(WAYS[name], aggregates, topics, settings))
                    tell(f"{name}: {found[name][-1]:,.0f} events/s")
    return [_figures({name: found[name] for name in WAYS})]


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


def _rate(way: str, aggregates: int, topics: Topics, settings: Settings) -> float:
    environment = os.environ | settings.environment() | {"PYTHONPATH": str(ROOT)}
    with tempfile.TemporaryDirectory(prefix="bench-run-") as folder:
        where = (topics.bootstrap, topics.source, topics.events, topics.name)
        line = [sys.executable, "-m", "bench.replay_worker", way, str(aggregates), folder, *where]
        done = subprocess.run(line, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Failed(f"{way}: {done.stderr[-2_000:]}")
    return aggregates * EVENTS_EACH / float(done.stdout.split()[-1])


def _figures(found: dict[str, list[float]]) -> Figures:
    series = [Series(name, runs) for name, runs in found.items()]
    goals = [
        Goal(f"{own}: {TIMES_GOAL:g} × {peer}", TIMES_GOAL, ratio(series, own, peer))
        for own in (KAFKA, ARCHIVE)
        for peer in (SQLITE, MEMORY)
    ]
    return Figures("replay", f"Replay: aggregates of {EVENTS_EACH} events", "events/s", series, goals)
