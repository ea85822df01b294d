"""How long a processor's partitions stand still: after kill -9, and with the state deleted so that the log is read.

python -m bench.recovery [--events 1000000] [--kills 5] [--entries 100000]

One worker makes so many events of the toy system. Then: how fast the log alone can be read; how fast it is folded by a
worker without state, and how fast Faust fills a table without files from its changelog; how long partitions stand still
when a worker was killed and is started again at once, and when it is not and another one takes its partitions.
"""

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Final

import msgspec
import psutil
from confluent_kafka import Consumer, TopicPartition

from bench.figures import Figures, Goal, Series, markdown, ratio
from bench.kernel import KEYS, RECORD_BYTES, Tell
from bench.recovery_faust import ENTRIES, Recovered, faust_recovers
from bench.recovery_worker import opened_file
from bench.topics import PARTITIONS, fill, new_topics, trickle, wait_for
from neural_hive.connectors.child import Child, tail
from neural_hive.connectors.kafka_embedded import EmbeddedKafka
from neural_hive.connectors.kafka_log import CommittedLog
from neural_hive.schemas.catalogue import FOLDERS_VARIABLE
from neural_hive.streams.runner import SESSION_S
from tests.toy.harness import ROOT, SCHEMAS

EVENTS: Final = 1_000_000
FAUST_GOAL: Final = 5.0
LOOK_EVERY_S: Final = 0.02
GIVE_UP_S: Final = 600.0


class Stuck(RuntimeError):
    """What must come did not come; the text has the end of the workers' logs."""


class Bench:
    """One system on one broker, and what can be asked of it."""

    def __init__(self, bootstrap: str, folder: Path) -> None:
        self.topics, self.folder = new_topics(bootstrap), folder
        self._config = {"bootstrap.servers": bootstrap, "log_level": 2}
        # Uncommitted, or a killed worker's open transaction would be waited for instead of being told of.
        asking = {"group.id": self.topics.name, "isolation.level": "read_uncommitted"}
        self._consumer = Consumer({**self._config, **asking})

    @contextmanager
    def worker(self) -> Iterator[Child]:
        """A worker; it is killed at the end."""
        topics = (self.topics.bootstrap, self.topics.source, self.topics.events, self.topics.name)
        line = [sys.executable, "-m", "bench.recovery_worker", *topics, str(self.folder)]
        environment = os.environ | {FOLDERS_VARIABLE: str(SCHEMAS), "PYTHONPATH": str(ROOT)}
        child = Child(line, self._log, environment=environment)
        try:
            yield child
        finally:
            child.kill()

    @property
    def _log(self) -> Path:
        return self.folder / "workers.log"

    def opened(self, worker: Child) -> set[int]:
        """The partitions that a worker has opened so far."""
        file = opened_file(self.folder, worker.pid)
        return {int(line) for line in file.read_text().split()} if file.exists() else set()

    def forget_state(self) -> None:
        """Deletes RocksDB."""
        for database in (self.folder / self.topics.name).glob("worker-*/[0-9]*"):
            shutil.rmtree(database)

    def committed(self) -> dict[int, int]:
        """The input offsets of the group."""
        wanted = [TopicPartition(self.topics.source, number) for number in range(PARTITIONS)]
        return {at.partition: at.offset for at in self._consumer.committed(wanted, 30)}

    def goes_on(self) -> Callable[[], bool]:
        """Asks whether each partition has committed something since now."""
        before = self.committed()
        return lambda: all(offset > before[number] for number, offset in self.committed().items())

    def until(self, happened: Callable[[], bool]) -> float:
        """How long it takes until something has happened, s. Raises Stuck."""
        began = time.monotonic()
        while not happened():
            if time.monotonic() - began > GIVE_UP_S:
                raise Stuck(f"not within {GIVE_UP_S:g} s\n{tail(self._log)}")
            time.sleep(LOOK_EVERY_S)
        return time.monotonic() - began

    def read(self) -> float:
        """Reads all events, every partition in a thread, as recovery does; events/s."""

        def count(partition: int) -> int:
            return sum(1 for _ in CommittedLog(self._config, self.topics.events, partition, 0))

        began = time.monotonic()
        with ThreadPoolExecutor(PARTITIONS) as pool:
            return sum(pool.map(count, range(PARTITIONS))) / (time.monotonic() - began)


def opened_after(bench: Bench) -> tuple[float, float]:
    """From the start of a worker until all partitions are open: time, and time of the processor, s."""
    with bench.worker() as worker:
        took_s = bench.until(lambda: len(bench.opened(worker)) == PARTITIONS)
        used = psutil.Process(worker.pid).cpu_times()
        return took_s, used.user + used.system


def started_again(bench: Bench) -> float:
    """From a kill -9 until all partitions go on, with a new process at once, as the supervisor does it, s."""
    with bench.worker():
        bench.until(bench.goes_on())
    moved = bench.goes_on()
    with bench.worker():
        return bench.until(moved)


def taken_over(bench: Bench) -> float:
    """The same where no new process comes, and another worker must take the partitions, s."""
    with bench.worker() as victim:
        bench.until(lambda: bool(bench.opened(victim)))
        bench.until(bench.goes_on())
        moved = bench.goes_on()
    return bench.until(moved)


def run(events: int, kills: int, tell: Tell, entries: int = ENTRIES) -> list[Figures]:
    """All of it, on a broker of its own; each `kills` times."""
    with tempfile.TemporaryDirectory(prefix="bench-") as data, EmbeddedKafka(Path(data) / "kafka") as kafka:
        folder = Path(data) / "workers"
        folder.mkdir()
        bench = Bench(kafka.bootstrap, folder)
        rates = _read_and_folded(bench, events, kills, tell)
        faust = faust_recovers(kafka.bootstrap, Path(data) / "faust", entries, kills, tell)
        with trickle(bench.topics, KEYS, RECORD_BYTES):
            again = [_told(started_again(bench), "started again", tell) for _ in range(kills)]
            with bench.worker():
                over = [_told(taken_over(bench), "taken over", tell) for _ in range(kills)]
    series = [Series("started again at once", again), Series(f"taken over, session {SESSION_S} s", over)]
    stands = Figures("recovery-kill", "From kill -9 until all partitions go on", "s", series, [])
    return [_beside(rates, faust), stands]


def _told(took_s: float, what: str, tell: Tell) -> float:
    tell(f"{what}: {took_s:.1f} s")
    return took_s


def _read_and_folded(bench: Bench, events: int, rounds: int, tell: Tell) -> Figures:
    fill(bench.topics.bootstrap, bench.topics.source, events, KEYS, RECORD_BYTES)
    with bench.worker():
        wait_for(bench.topics, events)
        bench.until(lambda: sum(bench.committed().values()) >= events)
    tell(f"{events:,} events written")
    read, folded, kept, costs = [], [], [], []
    for _ in range(rounds):
        read.append(bench.read())
        tell(f"read, and nothing done with them: {read[-1]:,.0f}/s, {events / read[-1]:.1f} s")
        kept_s, kept_cpu_s = opened_after(bench)
        tell(f"state kept: all partitions open {kept_s:.1f} s after the start of the process")
        bench.forget_state()
        gone_s, gone_cpu_s = opened_after(bench)
        tell(f"state deleted: {gone_s:.1f} s, {gone_s - kept_s:.1f} s more")
        folded.append(events / max(gone_s - kept_s, LOOK_EVERY_S))
        kept.append(kept_s)
        costs.append((gone_cpu_s - kept_cpu_s) / events * 1e6)
    notes = [
        f"{events:,} events in {PARTITIONS} partitions: {median(costs):.1f} µs of the processor each. "
        f"With its state a worker has all partitions open {median(kept):.1f} s after its start."
    ]
    series = [Series("state folded anew", folded), Series("log read alone", read)]
    return Figures("recovery-fold", "State deleted", "events/s", series, [], notes)


def _beside(ours: Figures, faust: Recovered) -> Figures:
    """Our figures with the peer's."""
    series = [*ours.series, Series("Faust's table, from its changelog", faust.rates)]
    goal = Goal("5 × Faust", FAUST_GOAL, ratio(series, series[0].name, series[-1].name))
    note = (
        f"Faust: {faust.entries:,} entries in {PARTITIONS} partitions. "
        f"With its table it goes on {median(faust.kept_s):.1f} s after its start."
    )
    return msgspec.structs.replace(ours, series=series, goals=[goal], notes=[*ours.notes, note])


def measure(rounds: int, tell: Tell) -> list[Figures]:
    """Each so many times."""
    return run(EVENTS, rounds, tell)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--events", type=int, default=EVENTS)
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--entries", type=int, default=ENTRIES)
    given = parser.parse_args()
    since = time.monotonic()

    def say(line: str) -> None:
        print(f"{time.monotonic() - since:7.1f} {line}", flush=True)

    for figures in run(given.events, given.kills, say, given.entries):
        print(f"## {figures.title}\n\n{markdown(figures)}\n")
