"""Faust's own recovery, beside ours: a table whose files are deleted, and filled again from its changelog topic.

The agent is that of the kernel benchmark. It makes as many entries of the changelog as it is given records; fewer than
we have events, since it takes long to make them, so rates are compared.
"""

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Final

import msgspec

from bench.kernel import KEYS, RECORD_BYTES, Tell
from bench.kernel_contenders import faust
from bench.topics import PARTITIONS, Stopped, Topics, fill, new_topics, trickle, wait_for
from neural_hive.connectors.child import Child, tail
from neural_hive.connectors.kafka_log import begin_offsets, end_offsets

ENTRIES: Final = 100_000
_TABLES: Final = "v1"  # Faust's folder for the tables of an app's first version
_LOOK_EVERY_S: Final = 0.02
_GIVE_UP_S: Final = 600.0
_STOP_TIMEOUT_S: Final = 60.0


class Recovered(msgspec.Struct, frozen=True):
    """What was measured."""

    rates: list[float]  # entries/s, by what a start without the table's files takes longer than one with them
    kept_s: list[float]  # a start with them
    entries: int  # in the changelog, at last


def faust_recovers(bootstrap: str, folder: Path, entries: int, rounds: int, tell: Tell) -> Recovered:
    """Makes the changelog, and deletes the table's files `rounds` times. Raises Stopped."""
    folder.mkdir()
    topics = new_topics(bootstrap)
    fill(bootstrap, topics.source, entries, KEYS, RECORD_BYTES)
    with _agent(topics, folder):
        try:
            wait_for(topics, entries)
        except Stopped as error:
            raise Stopped(f"Faust: {error}\n{tail(folder / 'out.log')}") from error
    tell(f"Faust: {entries:,} records processed")
    kept_s, gone_s, held = [], [], []
    for _ in range(rounds):
        kept_s.append(_goes_on_after(topics, folder))
        tell(f"Faust, table kept: all partitions go on {kept_s[-1]:.1f} s after the start of the process")
        shutil.rmtree(folder / _TABLES)
        held.append(_entries(topics))
        gone_s.append(_goes_on_after(topics, folder))
        tell(f"Faust, table deleted: {gone_s[-1]:.1f} s for {held[-1]:,} entries")
    start_s = median(kept_s)  # of all: a group that still waits for who has left makes one start long
    more_s = [max(whole_s - start_s, _LOOK_EVERY_S) for whole_s in gone_s]
    return Recovered([n / s for n, s in zip(held, more_s, strict=True)], kept_s, held[-1])


@contextmanager
def _agent(topics: Topics, folder: Path) -> Iterator[Child]:
    """The agent; it is stopped in order at the end, or its group would wait for it."""
    child = faust(topics, folder)
    try:
        yield child
    finally:
        child.stop(_STOP_TIMEOUT_S)


def _goes_on_after(topics: Topics, folder: Path) -> float:
    """From the start of the agent until it has written an event in each partition, s."""
    before = _ends(topics)
    began = time.monotonic()
    with trickle(topics, KEYS, RECORD_BYTES), _agent(topics, folder) as agent:
        while any(end <= before[place] for place, end in _ends(topics).items()):
            if not agent.alive or time.monotonic() - began > _GIVE_UP_S:
                raise Stopped(f"Faust does not go on\n{tail(folder / 'out.log')}")
            time.sleep(_LOOK_EVERY_S)
        return time.monotonic() - began


def _ends(topics: Topics) -> dict[tuple[str, int], int]:
    places = [(topics.events, number) for number in range(PARTITIONS)]
    return end_offsets({"bootstrap.servers": topics.bootstrap}, places)


def _entries(topics: Topics) -> int:
    """How many stand in the changelog."""
    config = {"bootstrap.servers": topics.bootstrap}
    places = [(f"{topics.name}-states-changelog", number) for number in range(PARTITIONS)]
    begins, ends = begin_offsets(config, places), end_offsets(config, places)
    return sum(ends[place] - begins[place] for place in places)
