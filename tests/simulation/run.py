"""Runs many simulated worlds: of the kernel, of the sink, of the real systems. A seed that fails is printed.

python -m tests.simulation.run [SEEDS [FIRST]]
"""

import multiprocessing
import os
import sys
import time
import traceback
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import structlog

from neural_hive.schemas import catalogue
from tests.toy.harness import SCHEMAS

if TYPE_CHECKING:
    from tests.simulation.scenario import Scenario

STEPS: Final = 150
SHOWN_MAX: Final = 3
TOLD_EVERY_S: Final = 10.0
CHUNK: Final = 10  # seeds that a process is given at once


class Failed(AssertionError):
    """A world was not as it must be; the text says with which seed it is so again."""


def try_kernel(seed: int, **mutation: Any) -> Counter[str]:
    """Runs one world of the kernel and checks it; how many events of each type it made. Raises Failed."""
    from tests.simulation.toy_scenario import Toy

    return _try("kernel", seed, Toy, mutation)


def try_hive(seed: int, **mutation: Any) -> Counter[str]:
    """Runs one world of orchestrator and registry; the same."""
    from tests.simulation.hive_scenario import Hive

    return _try("hive", seed, Hive, mutation)


def try_sli(seed: int, **mutation: Any) -> Counter[str]:
    """Runs one world of who counts for SLOs; the same."""
    from tests.simulation.sli_scenario import Sli

    return _try("sli", seed, Sli, mutation)


def _try(what: str, seed: int, scenario: "type[Scenario]", mutation: dict[str, Any]) -> Counter[str]:
    from tests.simulation.oracle import check
    from tests.simulation.world import World

    with _named(what, seed):
        world = World(seed, scenario, **mutation)
        world.run(scenario.steps)
        return check(world)


def try_sink(seed: int, **mutation: Any) -> Counter[str]:
    """Runs one world of the sink, which checks itself; how many rows it made. Raises Failed."""
    from tests.simulation.sink_world import SinkWorld

    with _named("sink", seed):
        world = SinkWorld(seed, **mutation)
        world.run(STEPS)
        return Counter(rows=sum(rows.total() for rows in world.tables.rows.values()))


@contextmanager
def _named(what: str, seed: int) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        raise Failed(f"{what}, seed {seed} (make simulate SEEDS=1 FIRST={seed}): {error!r}") from error


@contextmanager
def silent_kernel() -> Iterator[None]:
    """The kernel's log says thousands of times what the world did to it."""
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    try:
        yield
    finally:
        structlog.configure(**before)


class Tried(NamedTuple):
    """What a run of seeds has made, and what is to be said of those that failed."""

    kinds: Counter[str]
    failed: dict[int, str]


def try_seeds(seeds: Sequence[int]) -> Tried:
    """Runs the worlds of each seed, in a process of its own."""
    os.environ[catalogue.FOLDERS_VARIABLE] = str(SCHEMAS)
    tried = Tried(Counter(), {})
    with silent_kernel():
        for seed in seeds:
            try:
                tried.kinds.update(try_kernel(seed) + try_sink(seed) + try_hive(seed) + try_sli(seed))
            except Failed as error:
                tried.failed[seed] = "".join(traceback.format_exception(error))
    return tried


def main(seeds: int = 10_000, first: int = 0) -> int:
    """How many seeds failed. As many at once as there are cores."""
    started = told = time.monotonic()
    kinds: Counter[str] = Counter()
    failed: list[int] = []
    done = 0
    chunks = [range(at, min(at + CHUNK, first + seeds)) for at in range(first, first + seeds, CHUNK)]
    with multiprocessing.get_context("spawn").Pool() as pool:
        for chunk, tried in zip(chunks, pool.imap(try_seeds, chunks), strict=True):
            done += len(chunk)
            kinds.update(tried.kinds)
            for seed, text in tried.failed.items():
                failed.append(seed)
                if len(failed) <= SHOWN_MAX:
                    sys.stdout.write(text)
            if time.monotonic() - told > TOLD_EVERY_S:
                told = time.monotonic()
                sys.stdout.write(f"{done:,} of {seeds:,} seeds, {len(failed)} failed\n")
                sys.stdout.flush()
    took_s = time.monotonic() - started
    rows = kinds.pop("rows", 0)
    made = f"{kinds.total():,} events, {rows:,} rows"
    sys.stdout.write(f"{seeds:,} seeds in {took_s:.0f} s: {made}, {len(failed)} failed\n")
    if failed:
        sys.stdout.write(f"failed: {', '.join(map(str, failed[:20]))}\n")
    return len(failed)


if __name__ == "__main__":
    sys.exit(min(main(*map(int, sys.argv[1:])), 1))
