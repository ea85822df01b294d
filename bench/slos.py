"""Ten thousand SLOs and fifty thousand samples a second, beside a Prometheus server with rules for the same SLOs.

A sample is one event judged by one SLO. Neural Hive gets each event as a record of Kafka, and counts it exactly once;
for Prometheus the program that has the events counts them, and tells sums every 15 s. So rates are not those of the
same work: what is compared is how old the newest event is that a result may hold when the result is there, and what
both take of the machine. Offered rates rise; each is offered for a while, by a process of its own.
"""

import statistics
from collections import defaultdict
from collections.abc import Sequence
from typing import Final

from bench import slo_hive, slo_prometheus
from bench.figures import Figures, Goal, Series
from bench.orchestration import Tell
from bench.slo_hive import running
from bench.slo_stream import SERVICES, SLOS_EACH

SAMPLES: Final = (10_000, 25_000, 60_000)  # a second, offered
GOAL: Final = 50_000.0  # of them counted
SECONDS: Final = 60.0
EVALUATIONS: Final = 2
SLOS: Final = SERVICES * SLOS_EACH
GROWTH_MAX: Final = 1.1  # of resident memory, from the first half of the last rate to its second


def measure(rounds: int, tell: Tell) -> list[Figures]:
    """All rates, `rounds` times, each time on a system that has just begun; and as often the server."""
    hive: dict[int, list[slo_hive.Outcome]] = defaultdict(list)
    servers: list[slo_prometheus.Outcome] = []
    for _ in range(rounds):
        with running() as system:
            tell(f"{SLOS:,} SLOs defined in {system.define():.1f} s")
            system.begin()
            for samples in SAMPLES:
                hive[samples].append(system.measured(samples, samples / SLOS_EACH, SECONDS))
                tell(_told(hive[samples][-1]))
        servers.append(slo_prometheus.measured(SAMPLES[-1] / SLOS_EACH, EVALUATIONS))
        tell(f"Prometheus: {servers[-1].evaluation_s} s for {servers[-1].series:,} results")
    return [_rates(hive), _ages(hive, servers), _cores(hive, servers), _memory(hive, servers)]


def _told(one: slo_hive.Outcome) -> str:
    cores = ", ".join(f"{name} {share:.2f}" for name, share in one.usage.cores.items())
    return (
        f"{one.offered:,.0f} samples/s offered, {one.counted:,.0f} counted, {one.sums:,} sums, "
        f"counted after p95 {percentile(one.counted_after_s, 0.95):.1f} s, "
        f"budget after p95 {percentile(one.looked_after_s, 0.95):.1f} s; cores: {cores}"
    )


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which that share of them lies."""
    return sorted(values)[min(int(len(values) * share), len(values) - 1)]


def _rates(hive: dict[int, list[slo_hive.Outcome]]) -> Figures:
    series = [
        Series(f"Neural Hive, {samples:,}/s offered", [one.counted for one in ones])
        for samples, ones in sorted(hive.items(), reverse=True)
    ]
    goal = Goal(f"{GOAL:,.0f} samples/s", GOAL, series[0].median)
    notes = [
        "While events came, of each partition from the end of its first transaction to that of its last. Every sample "
        "was counted, once: each SLO's counts were compared with what had been written.",
        "Prometheus sees no events: the program that has them counts them.",
    ]
    title = f"SLOs: samples counted exactly once for {SLOS:,} SLOs"
    return Figures("slos", title, "samples/s", series, [goal], notes)


def _ages(hive: dict[int, list[slo_hive.Outcome]], servers: list[slo_prometheus.Outcome]) -> Figures:
    series = []
    for samples, ones in sorted(hive.items(), reverse=True):
        name = f"Neural Hive, {samples:,}/s"
        series += [
            Series(f"{name}: event to its sum, p95", [percentile(o.counted_after_s, 0.95) for o in ones]),
            Series(f"{name}: minute's end to budget, p50", [percentile(o.looked_after_s, 0.5) for o in ones]),
            Series(
                f"{name}: minute's end to budget, p95", [percentile(o.looked_after_s, 0.95) for o in ones]
            ),
        ]
    series += [
        Series("Prometheus: scrape to rules' results", [x for one in servers for x in one.behind_s]),
        Series("Prometheus: evaluation of the rules", [x for one in servers for x in one.evaluation_s]),
    ]
    missed = sum(one.missed for one in servers)
    notes = [
        "Both evaluate once a minute. Neural Hive looks at a minute ten seconds after its end, so that late events are "
        f"in it. Prometheus missed {missed} evaluations. It and the budgets had a few minutes of history only: rates "
        "over days read more of it later; sums of windows that Neural Hive keeps do not.",
    ]
    return Figures(
        "slos-lag", f"SLOs: how old the newest event of a result is, {SLOS:,} SLOs", "s", series, [], notes
    )


def _cores(hive: dict[int, list[slo_hive.Outcome]], servers: list[slo_prometheus.Outcome]) -> Figures:
    series = []
    for samples, ones in sorted(hive.items(), reverse=True):
        for name in ones[0].usage.cores:
            runs = [one.usage.cores[name] for one in ones]
            series.append(Series(f"Neural Hive, {samples:,}/s: {name}", runs))
    series += [
        Series(f"Prometheus: {name}", [one.usage.cores[name] for one in servers])
        for name in servers[0].usage.cores
    ]
    title = f"SLOs: processor time taken, {SLOS:,} SLOs"
    return Figures("slos-cpu", title, "cores", series, [])


def _memory(hive: dict[int, list[slo_hive.Outcome]], servers: list[slo_prometheus.Outcome]) -> Figures:
    series, grown = [], []
    for name in hive[SAMPLES[-1]][0].usage.memory_mb:
        if name == "broker":
            continue
        ones = [one.usage.memory_mb[name] for one in hive[SAMPLES[-1]]]
        series.append(Series(f"Neural Hive: {name}", [max(one) for one in ones]))
        grown.append(max(_growth(one) for one in ones))
    series += [
        Series(f"Prometheus: {name}", [max(one.usage.memory_mb[name]) for one in servers])
        for name in servers[0].usage.memory_mb
    ]
    goal = Goal("no more than a tenth is added in a rate's second half", GROWTH_MAX, max(grown), at_most=True)
    title = f"SLOs: resident memory at the highest rate, {SLOS:,} SLOs"
    return Figures("slos-memory", title, "MB", series, [goal])


def _growth(values: Sequence[float]) -> float:
    half = len(values) // 2
    return statistics.median(values[half:]) / statistics.median(values[:half])
