"""What growth costs: the kernel with 1, 10 and 100 times the events behind it, and with 1, 10 and 100 times the keys.

A worker first does all that is behind it, in portions as large as the probe: what waits is held in memory too, and no
case is to have more of it. Then it is given the same probe in every case, and its rate is that of the probe's events
between the first and the last append time. Its memory (RSS) and processor time are read after the probe.
"""

import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import msgspec
import psutil

from bench.figures import Figures, Goal, Series, in_turn, ratio
from bench.kernel import RECORD_BYTES, cpu_s_of
from bench.kernel_contenders import hive
from bench.topics import PARTITIONS, Stopped, Topics, ends, fill, forget, new_topics, written
from neural_hive.connectors.child import Child, tail
from neural_hive.connectors.kafka_embedded import EmbeddedKafka
from neural_hive.replay.checks.committed import NotVerified, committed_offsets

EVENTS: Final = 20_000
KEYS: Final = 500
TIMES: Final = (1, 10, 100)
MIDDLE: Final = 10  # so many times the events stand behind the worker while keys grow
PROBE: Final = 100_000
RATE_LEAST: Final = 0.9  # of the rate with one times the events or keys
EVENTS_MEMORY_MOST: Final = 1.1  # times the memory, from the middle to the most
KEYS_MEMORY_MOST: Final = 1.5
_LOOK_EVERY_S: Final = 0.2
_STILL_MAX_S: Final = 180.0
Tell = Callable[[str], None]


class Case(msgspec.Struct, frozen=True):
    """What stands behind the worker when the probe comes."""

    events: int
    keys: int

    @property
    def name(self) -> str:
        return f"{self.events:,} events, {self.keys:,} keys"


class Run(msgspec.Struct, frozen=True):
    """One run of a case."""

    rate: float  # events/s, of the probe
    cpu_us: float  # the worker's processor time for one of its events
    memory_mb: float  # RSS of the worker after it


def measure(
    rounds: int, tell: Tell, events: int = EVENTS, keys: int = KEYS, probe: int = PROBE
) -> list[Figures]:
    """All cases, `rounds` times in alternating order, on one broker."""
    growing = [Case(events * times, keys) for times in TIMES]
    spreading = [Case(events * MIDDLE, keys * times) for times in TIMES]
    cases = list(dict.fromkeys(growing + spreading))
    found: dict[str, list[Run]] = defaultdict(list)
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, EmbeddedKafka(Path(folder)) as kafka:
        for number in range(rounds):
            for index in in_turn(len(cases), number):
                case = cases[index]
                run = _run(kafka.bootstrap, case, probe)
                found[case.name].append(run)
                tell(
                    f"{case.name}: {run.rate:,.0f} events/s, {run.cpu_us:.1f} µs of CPU, {run.memory_mb:.0f} MB"
                )
    in_order = {case.name: found[case.name] for case in cases}
    return [
        _rates(in_order, growing, spreading),
        _costs(in_order),
        _memory(in_order, growing, spreading),
    ]


def _run(bootstrap: str, case: Case, probe: int) -> Run:
    topics = new_topics(bootstrap)
    with tempfile.TemporaryDirectory(prefix="bench-run-") as folder:
        worker = hive(topics, Path(folder))
        try:
            for first in range(0, case.events, probe):
                portion = min(probe, case.events - first)
                fill(bootstrap, topics.source, portion, case.keys, RECORD_BYTES, first)
                _wait_until_read(topics)
            before, cpu_s = ends(topics), cpu_s_of(worker.pid)
            with _halted(worker):
                fill(bootstrap, topics.source, probe, case.keys, RECORD_BYTES, case.events)
            _wait_until_read(topics)
            cpu_s = cpu_s_of(worker.pid) - cpu_s
            memory_mb = psutil.Process(worker.pid).memory_info().rss / 1e6
        except Stopped as error:
            raise Stopped(f"{case.name}: {error}\n{tail(Path(folder) / 'out.log')}") from error
        finally:
            worker.kill()
    found = written(topics, before)
    forget(topics)
    if found.count != probe:
        raise RuntimeError(f"{found.count:,} events for {probe:,} records of the probe")
    return Run(found.rate, cpu_s / probe * 1e6, memory_mb)


@contextmanager
def _halted(worker: Child) -> Iterator[None]:
    """Whoever publishes the probe meanwhile takes no processor time from the worker, whose session outlasts it."""
    process = psutil.Process(worker.pid)
    process.suspend()
    try:
        yield
    finally:
        process.resume()


def _wait_until_read(topics: Topics) -> None:
    """Until the worker has committed all that stands in the source. Raises Stopped."""
    config: dict[str, Any] = {"bootstrap.servers": topics.bootstrap, "log_level": 2}  # of syslog's levels
    wanted = sum(ends(topics, topics.source).values())
    before, moved_at = -1, time.monotonic()
    while (found := _committed(config, topics)) < wanted:
        if found != before:
            before, moved_at = found, time.monotonic()
        elif time.monotonic() - moved_at > _STILL_MAX_S:
            raise Stopped(f"{found:,} of {wanted:,} records, and nothing was read for {_STILL_MAX_S:g} s")
        time.sleep(_LOOK_EVERY_S)


def _committed(config: dict[str, Any], topics: Topics) -> int:
    try:
        offsets = committed_offsets(config, topics.name, {topics.source: PARTITIONS})
    except NotVerified:  # the group is new, and its coordinator not there yet
        return 0
    return sum(max(offset, 0) for offset in offsets.values())


def _rates(found: dict[str, list[Run]], growing: list[Case], spreading: list[Case]) -> Figures:
    series = [Series(name, [run.rate for run in runs]) for name, runs in found.items()]
    least = f"{RATE_LEAST:.0%} of the rate"
    goals = [
        Goal(f"{TIMES[-1]} × the events: {least}", RATE_LEAST, _last_to(series, growing, 0)),
        Goal(f"{TIMES[-1]} × the keys: {least}", RATE_LEAST, _last_to(series, spreading, 0)),
    ]
    return Figures("growth-rate", "Growth: the rate behind so many events", "events/s", series, goals)


def _costs(found: dict[str, list[Run]]) -> Figures:
    series = [Series(name, [run.cpu_us for run in runs]) for name, runs in found.items()]
    return Figures("growth-cpu", "Growth: the worker's processor time for one event", "µs/event", series, [])


def _memory(found: dict[str, list[Run]], growing: list[Case], spreading: list[Case]) -> Figures:
    series = [Series(name, [run.memory_mb for run in runs]) for name, runs in found.items()]
    goals = [
        Goal(
            f"{TIMES[-1]} × the events: {EVENTS_MEMORY_MOST:g} × the memory of {TIMES[-2]} ×, at most",
            EVENTS_MEMORY_MOST,
            _last_to(series, growing, -2),
            at_most=True,
        ),
        Goal(
            f"{TIMES[-1]} × the keys: {KEYS_MEMORY_MOST:g} × the memory, at most",
            KEYS_MEMORY_MOST,
            _last_to(series, spreading, 0),
            at_most=True,
        ),
    ]
    return Figures("growth-memory", "Growth: the worker's memory", "MB", series, goals)


def _last_to(series: list[Series], cases: list[Case], base: int) -> float:
    return ratio(series, cases[-1].name, cases[base].name)
