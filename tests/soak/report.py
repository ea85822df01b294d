"""What a run has found, for people and as JSON."""

import msgspec

from tests.chaos.oracle import Verdict
from tests.soak.limits import Judged
from tests.soak.samples import DISK, Sample


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


def flat(sample: Sample) -> dict[str, float]:
    """A sample as JSON has it."""
    return {"at s": sample.at_s} | {
        " ".join(name).strip(): round(value, 3) for name, value in sample.values.items()
    }


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
        mark = "" if one.what == DISK else "FAIL" if one.problem else "ok"
        lines.append(f"{one.what + ' ' + one.whose:34} {shown} {mark}")
    lines += [f"WRONG: {problem}" for problem in report.problems] or [
        "PASS: nothing grows, nothing lost, nothing doubled"
    ]
    return "\n".join(lines)


def _short(figure: float) -> str:
    return f"{figure:,.0f}" if abs(figure) >= 100 else f"{figure:,.2f}"
