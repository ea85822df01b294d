"""Lets a whole system work at half of what it can do, for long, and looks whether anything grows that must not.

python -m tests.soak.run --minutes 60 [--rate PLANS_PER_S] [--report FILE]
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from neural_hive.state import running_state
from tests.chaos.cluster import AS_ONE_STARTS_IT, Cluster, running
from tests.chaos.load import Ends, Load
from tests.chaos.oracle import Verdict
from tests.chaos.oracle import judge as look_at_log
from tests.chaos.progress import Progress, Unknown
from tests.soak.limits import Judged, judge
from tests.soak.samples import DISK, Sample, Sampler

SEED: Final = 1
CAPACITY_S: Final = 60.0
WARM_UP_S: Final = 30.0
OPEN_MAX: Final = 60  # while the capacity is measured: no agent waits, and each plan ends soon
PART_OF_CAPACITY: Final = 0.5
RATE_MIN_PER_S: Final = 0.1
LOOK_EVERY_S: Final = 5.0
REST_TIMEOUT_S: Final = 300.0
Tell = Callable[[str], None]


class Report(msgspec.Struct, frozen=True):
    """One run."""

    minutes: float
    capacity_per_s: float | None  # plans; None: the rate was given
    rate_per_s: float
    workflows: int
    events_per_s: float
    judged: list[Judged]
    problems: list[str]
    verdict: Verdict
    samples: list[dict[str, float]]


def run(
    data: Path, minutes: float, rate_per_s: float | None = None, tell: Tell = lambda line: None
) -> Report:
    """One run in a folder. The report says what grew, and whether all that was to be done was done once."""
    with running(data, AS_ONE_STARTS_IT) as cluster:
        tell("all processes run")
        kafka = cluster.settings.kafka_config()
        ends = Ends(kafka, cluster.settings.partitions)
        load = Load(kafka, SEED, ends.count, OPEN_MAX)
        progress = Progress(cluster.settings)
        sampler = Sampler(cluster.settings, ends, lambda: len(load.tasks) - ends.count())
        try:
            load.start()
            capacity = None if rate_per_s else _capacity(ends, tell)
            rate = rate_per_s or (capacity or 0.0) * PART_OF_CAPACITY
            load.pace(rate)
            began, before = time.monotonic(), ends.count()
            samples, rates = _watch(sampler, minutes * 60, tell)
            worked_s = time.monotonic() - began
            load.stop()
            problems = [*_rest(load, ends, progress), *_restarted(cluster)]
            tell("everything rests")
            verdict = look_at_log(cluster.settings, load, ends, progress.inputs())
        finally:
            sampler.close()
            progress.close()
            ends.close()
        judged = judge(samples, rates)
        grew = [f"{one.what} {one.whose}: {one.problem}" for one in judged if one.problem]
        done = ends.count() - before
        per_workflow = verdict.events / max(len(load.tasks), 1)
        return Report(
            minutes,
            capacity,
            round(rate, 2),
            len(load.tasks),
            round(done * per_workflow / worked_s, 1),
            judged,
            [*problems, *grew, *verdict.problems],
            verdict,
            [_flat(sample) for sample in samples],
        )


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
    samples: list[Sample] = []
    began = told_at = time.monotonic()
    samples.append(sampler.look())
    committed = dict(sampler.committed)
    while (now := time.monotonic()) - began < seconds:
        time.sleep(max(LOOK_EVERY_S * len(samples) - (now - began), 0.1))
        samples.append(sampler.look())
        if now - told_at > 60:
            told_at = now
            tell(_line(samples[-1]))
    took_s = time.monotonic() - began
    return samples, {name: (at - committed.get(name, 0)) / took_s for name, at in sampler.committed.items()}


def _line(sample: Sample) -> str:
    return ", ".join(
        f"{whose or what} {value:,.0f}"
        for (what, whose), value in sample.values.items()
        if what in ("memory MB", "open workflows")
    )


def _flat(sample: Sample) -> dict[str, float]:
    return {"at s": sample.at_s} | {
        " ".join(name).strip(): round(value, 3) for name, value in sample.values.items()
    }


def _rest(load: Load, ends: Ends, progress: Progress) -> list[str]:
    """Waits until every workflow has ended and every input is committed."""
    until = time.monotonic() + REST_TIMEOUT_S
    behind = -1
    while time.monotonic() < until:
        try:
            behind = progress.behind()
        except Unknown:
            behind = -1
        if behind == 0 and ends.count() >= len(load.tasks):
            return []
        time.sleep(0.5)
    left = len(load.tasks) - ends.count()
    return [f"after {REST_TIMEOUT_S:g} s of rest {left} workflows are open, {behind} inputs behind"]


def _restarted(cluster: Cluster) -> list[str]:
    """Nobody was killed: whoever was started again had ended by itself."""
    state = running_state(cluster.settings.data)
    return [
        f"{process.name} ended {process.restarts} times, last with exit code {process.last_exit_code}"
        for process in (state.processes if state else ())
        if process.restarts
    ]


def render(report: Report) -> str:
    """The report for a person."""
    verdict = report.verdict
    capacity = f"capacity {report.capacity_per_s:.1f}/s, " if report.capacity_per_s else ""
    lines = [
        f"{report.minutes:g} minutes: {capacity}{report.rate_per_s:g} workflows/s, "
        f"{report.events_per_s:,.0f} events/s; "
        f"in all {report.workflows:,} workflows, {verdict.inputs:,} inputs, {verdict.events:,} events",
        f"duplicates {verdict.duplicates}, losses {verdict.losses}, dead letters {verdict.dead_letters}",
        f"{'':34} {'1st quarter':>21} {'2nd':>10} {'last quarter':>21} {'per hour':>10}",
        f"{'':34} {'median':>10} {'max':>10} {'median':>10} {'median':>10} {'max':>10}",
    ]
    for one in report.judged:
        figures = (one.first_median, one.first_max, one.second_median, one.last_median, one.last_max)
        shown = " ".join(f"{_short(figure):>10}" for figure in (*figures, one.slope_per_h))
        verdict_ = "" if one.what == DISK else "FAIL" if one.problem else "ok"
        lines.append(f"{one.what + ' ' + one.whose:34} {shown} {verdict_}")
    lines += [f"WRONG: {problem}" for problem in report.problems] or [
        "PASS: nothing grows, nothing lost, nothing doubled"
    ]
    return "\n".join(lines)


def _short(figure: float) -> str:
    return f"{figure:,.0f}" if abs(figure) >= 100 else f"{figure:,.2f}"


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
