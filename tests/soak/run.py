"""Lets a whole system work at half of what it can do, for long, and looks whether anything grows that must not.

python -m tests.soak.run --minutes 60 [--rate PLANS_PER_S] [--report FILE]
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from neural_hive.state import running_state
from tests.chaos.cluster import AS_ONE_STARTS_IT, Cluster, running
from tests.chaos.load import Ends, Load
from tests.chaos.oracle import judge as look_at_log
from tests.chaos.progress import Progress, Unknown
from tests.soak.limits import judge
from tests.soak.report import Report, flat, render
from tests.soak.samples import MEMORY, OPEN, Sample, Sampler

SEED: Final = 1
CAPACITY_S: Final = 60.0
WARM_UP_S: Final = 30.0
OPEN_MAX: Final = 60  # while the capacity is measured: no agent waits, and each plan ends soon
PART_OF_CAPACITY: Final = 0.5
RATE_MIN_PER_S: Final = 0.1
LOOK_EVERY_S: Final = 5.0
TELL_EVERY_S: Final = 60.0
REST_TIMEOUT_S: Final = 300.0
Tell = Callable[[str], None]


class Watched(msgspec.Struct, frozen=True):
    """A system at work, and who looks at it."""

    cluster: Cluster
    load: Load
    ends: Ends
    progress: Progress
    sampler: Sampler


def run(
    data: Path, minutes: float, rate_per_s: float | None = None, tell: Tell = lambda line: None
) -> Report:
    """One run in a folder. The report says what grew, and whether all that was to be done was done once."""
    with running(data, AS_ONE_STARTS_IT) as cluster, _watched(cluster) as watched:
        tell("all processes run")
        load, ends = watched.load, watched.ends
        load.start()
        capacity = None if rate_per_s else _capacity(ends, tell)
        rate = rate_per_s or (capacity or 0.0) * PART_OF_CAPACITY
        load.pace(rate)
        began, before = time.monotonic(), ends.count()
        samples, rates = _watch(watched.sampler, minutes * 60, tell)
        ended_per_s = (ends.count() - before) / (time.monotonic() - began)
        load.stop()
        problems = [*_rest(watched), *_restarted(cluster)]
        tell("everything rests")
        verdict = look_at_log(cluster.settings, load, ends, watched.progress.inputs())
    judged = judge(samples, rates)
    grew = [f"{one.what} {one.whose}: {one.problem}" for one in judged if one.problem]
    return Report(
        minutes,
        capacity,
        round(rate, 2),
        len(load.tasks),
        round(ended_per_s * verdict.events / max(len(load.tasks), 1), 1),
        judged,
        [*problems, *grew, *verdict.problems],
        verdict,
        [flat(sample) for sample in samples],
    )


@contextmanager
def _watched(cluster: Cluster) -> Iterator[Watched]:
    kafka = cluster.settings.kafka_config()
    ends = Ends(kafka, cluster.settings.partitions)
    load = Load(kafka, SEED, ends.count, OPEN_MAX)
    progress = Progress(cluster.settings)
    sampler = Sampler(cluster.settings, ends, lambda: len(load.tasks) - ends.count())
    try:
        yield Watched(cluster, load, ends, progress, sampler)
    finally:
        sampler.close()
        progress.close()
        ends.close()


def _capacity(ends: Ends, tell: Tell) -> float:
    """How many workflows end in a second while as many wait as are wanted."""
    until = time.monotonic() + REST_TIMEOUT_S
    while not ends.count():
        if time.monotonic() > until:
            raise RuntimeError(f"no workflow has ended within {REST_TIMEOUT_S:g} s")
        time.sleep(0.1)
    time.sleep(WARM_UP_S)
    began, before = time.monotonic(), ends.count()
    time.sleep(CAPACITY_S)
    found = (ends.count() - before) / (time.monotonic() - began)
    tell(f"capacity: {found:.1f} workflows/s")
    return max(found, RATE_MIN_PER_S / PART_OF_CAPACITY)


def _watch(sampler: Sampler, seconds: float, tell: Tell) -> tuple[list[Sample], dict[str, float]]:
    """Samples for so long; and what each group has committed in a second."""
    samples = [sampler.look()]
    began = told_at = time.monotonic()
    committed = dict(sampler.committed)
    while (now := time.monotonic()) - began < seconds:
        time.sleep(LOOK_EVERY_S)
        samples.append(sampler.look())
        if now - told_at > TELL_EVERY_S:
            told_at = now
            tell(_line(samples[-1]))
    took_s = time.monotonic() - began
    return samples, {name: (at - committed.get(name, 0)) / took_s for name, at in sampler.committed.items()}


def _line(sample: Sample) -> str:
    return ", ".join(
        f"{whose or what} {value:,.0f}"
        for (what, whose), value in sample.values.items()
        if what in (MEMORY, OPEN)
    )


def _rest(watched: Watched) -> list[str]:
    """Waits until every workflow has ended and every input is committed."""
    until = time.monotonic() + REST_TIMEOUT_S
    behind = -1
    while time.monotonic() < until:
        try:
            behind = watched.progress.behind()
        except Unknown:
            behind = -1
        if behind == 0 and watched.ends.count() >= len(watched.load.tasks):
            return []
        time.sleep(0.5)
    left = len(watched.load.tasks) - watched.ends.count()
    return [f"after {REST_TIMEOUT_S:g} s of rest {left} workflows are open, {behind} inputs behind"]


def _restarted(cluster: Cluster) -> list[str]:
    """Nobody was killed: whoever was started again had ended by itself."""
    state = running_state(cluster.settings.data)
    return [
        f"{process.name} ended {process.restarts} times, last with exit code {process.last_exit_code}"
        for process in (state.processes if state else ())
        if process.restarts
    ]


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument(
        "--rate", type=float, help="plans in a second, instead of half of what is measured first"
    )
    parser.add_argument("--report", type=Path, help="write the report as JSON")
    parser.add_argument("--keep", type=Path, help="use this folder and keep it, to look at logs")
    given = parser.parse_args()
    began = time.monotonic()

    def tell(line: str) -> None:
        print(f"{time.monotonic() - began:7.1f} {line}", flush=True)

    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        report = run(given.keep or Path(folder), given.minutes, given.rate, tell)
    print(render(report))
    if given.report:
        given.report.write_bytes(msgspec.json.format(msgspec.json.encode(report)))
    return 1 if report.problems else 0


if __name__ == "__main__":
    sys.exit(main())
