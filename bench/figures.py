"""What a benchmark has measured: runs of several contenders, their medians and ratios, as a table and as JSON."""

import statistics
from collections.abc import Sequence

import msgspec


class Series(msgspec.Struct, frozen=True):
    """The runs of one contender, in the order in which they were made."""

    name: str
    runs: list[float]

    @property
    def median(self) -> float:
        """Of the runs."""
        return statistics.median(self.runs)


class Goal(msgspec.Struct, frozen=True):
    """What is to be reached, and what was: `reached` is measured as `wanted` is said."""

    text: str
    wanted: float
    reached: float
    at_most: bool = False  # by default at least

    @property
    def holds(self) -> bool:
        """Whether it was reached."""
        return self.reached <= self.wanted if self.at_most else self.reached >= self.wanted


class Figures(msgspec.Struct, frozen=True):
    """The outcome of one benchmark."""

    name: str
    title: str
    unit: str
    series: list[Series]
    goals: list[Goal]
    notes: list[str] = []


def in_turn(count: int, number: int) -> list[int]:
    """The order of `count` contenders in round `number`: it alternates, so that a drift of the machine hits all."""
    order = list(range(count))
    return order if number % 2 == 0 else order[::-1]


def markdown(figures: Figures) -> str:
    """A table of the runs; ratios are to the first contender."""
    first, base = figures.series[0].name, figures.series[0].median
    lines = [
        f"| {figures.unit} | runs | least | median | most | {first} is |",
        "|---|---|---|---|---|---|",
    ]
    for series in figures.series:
        ratio = "" if series.name == first else f"{base / series.median:.2f} ×"
        three = " | ".join(_number(value) for value in (min(series.runs), series.median, max(series.runs)))
        lines.append(f"| {series.name} | {len(series.runs)} | {three} | {ratio} |")
    if figures.goals:
        lines += ["", "| goal | reached | |", "|---|---|---|"]
        lines += [f"| {goal.text} | {_number(goal.reached)} | {_mark(goal)} |" for goal in figures.goals]
    return "\n".join([*lines, *(f"\n{note}" for note in figures.notes)])


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.2f}"


def _mark(goal: Goal) -> str:
    if goal.holds:
        return "holds"
    return f"missed by {abs(goal.wanted - goal.reached) / goal.wanted:.0%}"


def ratio(series: Sequence[Series], above: str, below: str) -> float:
    """Median over median."""
    medians = {found.name: found.median for found in series}
    return medians[above] / medians[below]
