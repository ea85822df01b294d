"""Gives the system a great many hostile inputs: bytes, messages and plan files. What fails is named with its seed.

python -m tests.hostile.run [INPUTS [FIRST]]

Every input must end in an event, a forwarded record, a refusal that says why, or nothing at all, in time and in bounded
memory; after each world of messages its state must be the fold of its log.
"""

import resource
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from random import Random
from typing import Any, Final

from neural_hive.schemas import catalogue
from neural_hive.schemas.catalogue import UnknownSchema
from neural_hive.schemas.codec import BadRecord, decode
from tests.hostile.hive import Hive
from tests.hostile.inputs import mutated, value_of, written
from tests.hostile.plan_files import try_plan
from tests.schemas import samples
from tests.simulation.run import silent_kernel

MEMORY_BYTES_MAX: Final = 3 << 30  # of address space: much more than is ever touched
INPUT_S_MAX: Final = 30.0  # a machine may be busy
BYTES_EACH, MESSAGES_EACH, PLANS_EACH = 100, 200, 20
SHOWN_MAX: Final = 3
TOLD_EVERY_S: Final = 20.0


class TookTooLong(Exception):
    """An input was not done with in time."""


@cache
def _rows() -> list[Any]:
    return sorted(catalogue.registered().values(), key=lambda row: row.id)


def try_bytes(chance: Random) -> str:
    """Decodes bytes that were a record, or never were one; what came of it."""
    row = chance.choice(_rows())
    schema = catalogue.schema_of(row.id)
    wild = chance.random() < 0.3
    value = written(row, value_of(schema, chance, lambda field: []) if wild else samples.fixed(schema))
    match chance.randrange(8):
        case 0:
            value = chance.randbytes(chance.choice((0, 3, 5, 40, 2_000)))
        case 1:
            value = b"\0" + chance.choice(_rows()).id.to_bytes(4, "big") + value[5:]
        case 2:
            value = value[:5] + chance.randbytes(len(value) - 5)
        case _:
            value = mutated(value, chance)
    try:
        decode(value, row.kind)
    except (BadRecord, UnknownSchema) as error:
        assert str(error), "refused without a word"
        return "bytes refused"
    return "bytes read"


def try_messages(chance: Random, count: int = MESSAGES_EACH) -> Counter[str]:
    """Lets messages arrive in a world of their own; what came of them."""
    found: Counter[str] = Counter()
    hive = Hive(chance)
    for _ in range(count):
        with in_time():
            outcome = hive.act()
        if outcome.letters:
            found["messages refused"] += 1
        elif outcome.events:
            found["messages that made events"] += 1
        elif outcome.forwarded:
            found["messages forwarded"] += 1
        else:
            found["messages that changed nothing"] += 1
        found["events"] += outcome.events
    hive.check()
    return found


def try_seed(seed: int, folder: Path) -> Counter[str]:
    """All that one seed stands for."""
    found: Counter[str] = Counter()
    chance = Random(f"bytes {seed}")
    for _ in range(BYTES_EACH):
        with in_time():
            found[try_bytes(chance)] += 1
    chance = Random(f"plans {seed}")
    for _ in range(PLANS_EACH):
        with in_time():
            found["plans read" if try_plan(chance, folder / "plan.yaml") else "plans refused"] += 1
    return found + try_messages(Random(f"messages {seed}"))


@contextmanager
def in_time(limit_s: float = INPUT_S_MAX) -> Iterator[None]:
    """Raises TookTooLong."""

    def end(signum: int, frame: Any) -> None:
        raise TookTooLong(f"after {limit_s:g} s")

    before = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, limit_s)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def main(inputs: int = 1_000_000, first: int = 0) -> int:
    """How many seeds failed."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES_MAX, MEMORY_BYTES_MAX))
    seeds = range(first, first + -(-inputs // (BYTES_EACH + PLANS_EACH + MESSAGES_EACH)))
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder, silent_kernel():
        found, failed = _all(seeds, lambda seed: try_seed(seed, Path(folder)))
    events = found.pop("events", 0)
    used_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    sys.stdout.write("".join(f"{count:>12,} {what}\n" for what, count in sorted(found.items())))
    sys.stdout.write(
        f"{found.total():,} inputs in {time.monotonic() - started:.0f} s, {events:,} events, at most {used_mb} MB, "
        f"{len(failed)} of {len(seeds):,} seeds failed\n"
    )
    if failed:
        sys.stdout.write(f"failed: {', '.join(map(str, failed[:20]))}\n")
    return len(failed)


def _all(seeds: range, attempt: Callable[[int], Counter[str]]) -> tuple[Counter[str], list[int]]:
    found: Counter[str] = Counter()
    failed: list[int] = []
    told = time.monotonic()
    for seed in seeds:
        try:
            found += attempt(seed)
        except Exception:
            failed.append(seed)
            if len(failed) <= SHOWN_MAX:
                sys.stdout.write(f"seed {seed} (make fuzz INPUTS=1 FIRST={seed}):\n{traceback.format_exc()}")
        if time.monotonic() - told > TOLD_EVERY_S:
            told = time.monotonic()
            sys.stdout.write(f"{found.total():,} inputs, {len(failed)} seeds failed\n")
            sys.stdout.flush()
    return found, failed


if __name__ == "__main__":
    sys.exit(min(main(*map(int, sys.argv[1:])), 1))
