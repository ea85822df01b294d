"""Kills the processes of a whole system at random while it works, and looks whether anything was lost or doubled.

python -m tests.chaos.run [--kills 100] [--seed 1] [--events 0] [--report FILE]
"""

import argparse
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import msgspec

from tests.chaos import slos
from tests.chaos.cluster import Cluster, running
from tests.chaos.freezing import Freezing
from tests.chaos.load import Ends, Load
from tests.chaos.nemesis import Hit, Nemesis
from tests.chaos.oracle import Verdict, in_words, judge
from tests.chaos.progress import Progress, Unknown

REST_TIMEOUT_S: Final = 300.0  # longer than a ticket waits for an agent that died with it
_LOOK_EVERY_S: Final = 0.5
Tell = Callable[[str], None]


class Recovery(msgspec.Struct, frozen=True):
    """How long things of one kind took to go on, s."""

    hits: int
    p50_s: float
    p95_s: float
    max_s: float


class Report(msgspec.Struct, frozen=True):
    """One run."""

    seed: int
    hits: list[Hit]
    recovery: dict[str, Recovery]
    workflows: int
    plans_repeated: int
    duration_s: float
    rest_s: float  # from the last plan until nothing moved any more
    problems: list[str]
    late: list[str]  # what did not go on in time, if all was right in the end
    verdict: Verdict


def run(data: Path, kills: int, seed: int, events: int = 0, tell: Tell = lambda line: None) -> Report:
    """One run in a folder: at least `kills` processes hit and `events` inputs. The report says what is wrong."""
    with running(data) as cluster:
        tell("all processes run")
        kafka, began = cluster.settings.kafka_config(), time.monotonic()
        ends = Ends(kafka, cluster.settings.partitions)
        load = Load(kafka, seed, ends.count)
        progress = Progress(cluster.settings)
        freezing = Freezing(kafka, cluster.settings.partitions, tell)
        try:
            freezing.start()
            load.start()
            nemesis = Nemesis(cluster, seed, kills, tell)
            nemesis.run()
            inputs = _wait_inputs(progress, events, tell)
            freezing.stop()
            load.stop()
            ended_at = time.monotonic()
            problems = _rest(cluster, load, ends, progress)
            rest_s = time.monotonic() - ended_at
            tell(f"everything rests after {rest_s:.1f} s")
            inputs = progress.inputs()
            verdict = judge(cluster.settings, load, ends, inputs)
            problems += freezing.problems + in_words(slos.problems(cluster.settings))
        finally:
            progress.close()
            ends.close()
        late = [
            f"{hit.name} ({hit.what}): {', '.join(hit.still)} did not go on"
            for hit in nemesis.hits
            if hit.still
        ]
        return Report(
            seed,
            nemesis.hits,
            _recoveries(nemesis.hits),
            len(load.tasks),
            load.repeats,
            round(time.monotonic() - began, 1),
            round(rest_s, 1),
            [*problems, *verdict.problems],
            late,
            verdict,
        )


def _wait_inputs(progress: Progress, events: int, tell: Tell) -> int:
    """Waits until so many inputs stand in the log."""
    told_at, found = 0.0, 0
    while True:
        try:
            found = progress.inputs()
        except Unknown:
            continue
        if found >= events:
            return found
        if time.monotonic() - told_at > 10:
            told_at = time.monotonic()
            tell(f"{found:,} of {events:,} inputs")
        time.sleep(_LOOK_EVERY_S)


def _rest(cluster: Cluster, load: Load, ends: Ends, progress: Progress) -> list[str]:
    """Waits until every process runs, every workflow has ended and every input is committed."""
    until = time.monotonic() + REST_TIMEOUT_S
    behind = -1
    while time.monotonic() < until:
        try:
            behind = progress.behind()
        except Unknown:
            behind = -1
        if behind == 0 and ends.count() >= len(load.tasks) and not cluster.missing():
            return []
        time.sleep(_LOOK_EVERY_S)
    return [
        f"after {REST_TIMEOUT_S:g} s of rest {len(load.tasks) - ends.count()} workflows are open, {behind} inputs "
        f"behind, not running: {cluster.missing()}\n{cluster.explain()}"
    ]


def _recoveries(hits: Sequence[Hit]) -> dict[str, Recovery]:
    times: dict[str, list[float]] = defaultdict(list)
    for hit in hits:
        if not hit.still:
            times[hit.what].append(hit.recovery_s)
            times["all"].append(hit.recovery_s)
    return {what: _recovery(sorted(found)) for what, found in sorted(times.items())}


def _recovery(found: list[float]) -> Recovery:
    def at(part: float) -> float:
        return round(found[min(int(len(found) * part), len(found) - 1)], 1)

    return Recovery(len(found), at(0.5), at(0.95), at(1.0))


def render(report: Report) -> str:
    """The report for a person."""
    verdict = report.verdict
    lines = [
        f"seed {report.seed}: {len(report.hits)} hits, {report.workflows:,} workflows "
        f"({report.plans_repeated} plans published twice), {verdict.inputs:,} inputs, {verdict.events:,} events, "
        f"{report.duration_s:g} s, at rest after {report.rest_s:g} s",
        f"duplicates {verdict.duplicates}, losses {verdict.losses}, dead letters {verdict.dead_letters}, "
        f"repeats without effect {verdict.repeats}",
        f"{'':24} {'hits':>5} {'p50 s':>7} {'p95 s':>7} {'max s':>7}",
    ]
    for what, found in report.recovery.items():
        lines.append(f"{what:24} {found.hits:5} {found.p50_s:7} {found.p95_s:7} {found.max_s:7}")
    lines += [f"LATE: {late}" for late in report.late]
    lines += [f"WRONG: {problem}" for problem in report.problems] or ["nothing lost, nothing doubled"]
    return "\n".join(lines)


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--kills", type=int, default=100, help="processes to hit")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--events", type=int, default=0, help="go on until so many inputs stand in the log")
    parser.add_argument("--report", type=Path, help="write the report as JSON")
    parser.add_argument("--keep", type=Path, help="use this folder and keep it, to look at logs")
    given = parser.parse_args()
    began = time.monotonic()

    def tell(line: str) -> None:
        print(f"{time.monotonic() - began:6.1f} {line}", flush=True)

    with tempfile.TemporaryDirectory(prefix="chaos-") as folder:
        report = run(given.keep or Path(folder), given.kills, given.seed, given.events, tell)
    print(render(report))
    if given.report:
        given.report.write_bytes(msgspec.json.format(msgspec.json.encode(report)))
    return 1 if report.problems or report.late else 0


if __name__ == "__main__":
    sys.exit(main())
