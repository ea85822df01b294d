"""The kernel and its peers at the same work: records of 300 bytes in, for each key a chain of Avro events out.

Every contender reads the same topic from its beginning in a process of its own. Its rate is that of its committed
events between the first and the last append time, so nobody's start counts. Neural Hive runs as it always does.
"""

import tempfile
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec
import psutil

from bench import kernel_scale
from bench.figures import Figures, Goal, Series, in_turn, ratio
from bench.kernel_contenders import (
    BYTEWAX,
    BYTEWAX_RECOVERY,
    HIVE,
    LOOP,
    QUIX_EXACTLY,
    Contender,
    contenders,
)
from bench.topics import Stopped, fill, new_topics, wait_for, written
from neural_hive.connectors.child import tail
from neural_hive.connectors.kafka_embedded import EmbeddedKafka

RECORDS: Final = 200_000
KEYS: Final = 5_000
RECORD_BYTES: Final = 300
Tell = Callable[[str], None]


class Run(msgspec.Struct, frozen=True):
    """What one run of a contender took."""

    rate: float  # events/s
    cpu_us: float  # processor time of its own processes for one event, start included


def measure(rounds: int, tell: Tell, records: int = RECORDS) -> list[Figures]:
    """All contenders, `rounds` times in alternating order, on one broker."""
    found: dict[str, list[Run]] = defaultdict(list)
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, EmbeddedKafka(Path(folder)) as kafka:
        sources = {part: _source(kafka.bootstrap, int(records * part)) for part in (1.0, 0.1)}
        everyone = contenders()
        for number in range(rounds):
            for index in in_turn(len(everyone), number):
                contender = everyone[index]
                run = _run(kafka.bootstrap, sources[contender.part], contender, int(records * contender.part))
                found[contender.name].append(run)
                tell(f"{contender.name}: {run.rate:,.0f} events/s, {run.cpu_us:.1f} µs of CPU an event")
        scale = kernel_scale.measure(kafka.bootstrap, rounds, tell, records, KEYS, RECORD_BYTES)
    return [_rates(found), _costs(found), scale]


def _source(bootstrap: str, records: int) -> str:
    topics = new_topics(bootstrap)
    fill(bootstrap, topics.source, records, KEYS, RECORD_BYTES)
    return topics.source


def _run(bootstrap: str, source: str, contender: Contender, records: int) -> Run:
    topics = new_topics(bootstrap, source)
    with tempfile.TemporaryDirectory(prefix="bench-run-") as folder:
        child = contender.start(topics, Path(folder))
        try:
            wait_for(topics, records)
            cpu_s = cpu_s_of(child.pid)
        except Stopped as error:
            raise Stopped(f"{contender.name}: {error}\n{tail(Path(folder) / 'out.log')}") from error
        finally:
            child.kill()
    found = written(topics)
    if found.count != records:
        raise RuntimeError(f"{contender.name} wrote {found.count:,} events for {records:,} records")
    return Run(found.rate, cpu_s / records * 1e6)


def cpu_s_of(pid: int) -> float:
    """What a process and its children have used of the processor so far, s."""
    process = psutil.Process(pid)
    times = [p.cpu_times() for p in (process, *process.children(recursive=True))]
    return sum(t.user + t.system for t in times)


def _rates(found: dict[str, list[Run]]) -> Figures:
    series = [Series(name, [run.rate for run in runs]) for name, runs in found.items()]
    best = max((BYTEWAX, BYTEWAX_RECOVERY), key=lambda name: ratio(series, name, HIVE))
    goals = [
        Goal("twice Bytewax's best", 2.0, ratio(series, HIVE, best)),
        Goal("3.5 × Quix Streams, exactly once", 3.5, ratio(series, HIVE, QUIX_EXACTLY)),
        Goal("75 % of the loop without a framework", 0.75, ratio(series, HIVE, LOOP)),
    ]
    title = f"Kernel: {RECORD_BYTES}-byte records, {KEYS:,} keys, state, hash chain"
    return Figures("kernel", title, "events/s", series, goals)


def _costs(found: dict[str, list[Run]]) -> Figures:
    series = [Series(name, [run.cpu_us for run in runs]) for name, runs in found.items()]
    title = "Kernel: processor time of the contender for one event, its start included"
    return Figures("kernel-cpu", title, "µs/event", series, [])
