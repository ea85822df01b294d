"""What must not grow while the system works at a steady rate, and how far it may differ between quarters of a run."""

from collections.abc import Sequence
from statistics import linear_regression, median
from typing import Final

import msgspec

from tests.chaos.cluster import AGENT_CAPACITY
from tests.soak.samples import (
    CPU,
    DELAY,
    DISK,
    FILES,
    LAG,
    MEMORY,
    OPEN,
    PARTS,
    PROCESSES,
    ROCKSDB_FILES,
    THREADS,
    Sample,
)

QUARTERS: Final = 4
SAMPLES_MIN: Final = 8  # fewer say nothing about quarters
LAG_S_MAX: Final = (
    15.0  # a group may be behind by so much of its own work: some commit once in a second or two
)
DELAY_S_MAX: Final = 10.0


class Limit(msgspec.Struct, frozen=True):
    """The last quarter's median may be `factor` × the second one's + `room`; its maximum at most `most`.

    The first quarter is left out: caches fill, files come to the size that they keep.
    """

    factor: float
    room: float
    most: float | None = None


LIMITS: Final[dict[str, Limit]] = {
    MEMORY: Limit(1.1, 20),
    CPU: Limit(1.25, 0.1),
    THREADS: Limit(1.0, 5),
    FILES: Limit(1.0, 20),
    PROCESSES: Limit(1.0, 5),
    ROCKSDB_FILES: Limit(1.0, 20, 200),
    LAG: Limit(1.5, 500),
    DELAY: Limit(1.5, 3, DELAY_S_MAX),
    PARTS: Limit(1.5, 15, 300),
    OPEN: Limit(1.5, 50),
}
"""The log is kept for ever, and so are archive and state: DISK grows by design, and is told without a limit."""
OF_ONE: Final[dict[tuple[str, str], Limit]] = {
    # Java takes of its heap what it is allowed, 512 MB, and as much again for buffers, code and mapped indexes.
    (MEMORY, "kafka-1"): Limit(1.1, 300, 1_100),
    # An agent has a thread for each attempt that it ever had in hand at once, up to its capacity.
    **{(THREADS, f"idle-{number}"): Limit(1.0, 5 + AGENT_CAPACITY) for number in (1, 2)},
    # ClickHouse opens the files of a part's columns while it merges.
    (FILES, "clickhouse"): Limit(1.5, 100, 2_000),
}


class Judged(msgspec.Struct, frozen=True):
    """One thing that was looked at, over a run."""

    what: str
    whose: str
    first_median: float  # of the first quarter
    first_max: float
    second_median: float
    last_median: float
    last_max: float
    slope_per_h: float  # a straight line through the second half
    problem: str  # empty: within its limits, or it has none


def judge(samples: Sequence[Sample], rates: dict[str, float]) -> list[Judged]:
    """Everything that was sampled, with what is wrong with it. `rates`: what each group does in a second."""
    names = sorted({name for sample in samples for name in sample.values})
    return [
        _judged(name, [(s.at_s, s.values[name]) for s in samples if name in s.values], rates)
        for name in names
    ]


def _judged(name: tuple[str, str], seen: list[tuple[float, float]], rates: dict[str, float]) -> Judged:
    what, whose = name
    values = [value for _, value in seen]
    if len(values) < SAMPLES_MIN:
        few = f"seen only {len(values)} times"
        return Judged(what, whose, *([median(values), max(values), median(values)] * 2)[:5], 0.0, few)
    quarter = len(values) // QUARTERS
    first, second, last = values[:quarter], values[quarter : 2 * quarter], values[-quarter:]
    half = seen[len(seen) // 2 :]
    slope = linear_regression([at_s / 3_600 for at_s, _ in half], [value for _, value in half]).slope
    found = Judged(what, whose, median(first), max(first), median(second), median(last), max(last), slope, "")
    return msgspec.structs.replace(found, problem=_problem(found, _limit(what, whose, rates)))


def _limit(what: str, whose: str, rates: dict[str, float]) -> Limit | None:
    limit = OF_ONE.get((what, whose)) or LIMITS.get(what)
    if limit is not None and what == LAG:
        return msgspec.structs.replace(limit, most=limit.room + LAG_S_MAX * rates.get(whose, 0.0))
    return limit


def _problem(found: Judged, limit: Limit | None) -> str:
    if limit is None:
        return ""
    allowed = limit.factor * found.second_median + limit.room
    if found.last_median > allowed:
        return f"grows: {found.last_median:,.1f} in the last quarter, at most {allowed:,.1f} allowed"
    if limit.most is not None and found.last_max > limit.most:
        return f"{found.last_max:,.1f} at most, {limit.most:,.1f} allowed"
    return ""


__all__ = ["DISK", "LIMITS", "Judged", "judge"]
