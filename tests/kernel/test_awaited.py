"""A partition works when its views are read as far as any owner before may have read them, and not before."""

from pathlib import Path
from typing import Any

import msgspec

from neural_hive.streams.kernel.partition import Partition, Place
from neural_hive.streams.kernel.reading import MessageReader
from tests.hostile.memory_kernel import Looked, MemoryClock, MemoryLog
from tests.toy import system as toy_system


class Noted(MemoryLog):
    """Notes what happens to it."""

    def __init__(self, story: list[str]) -> None:
        super().__init__(0)
        self._story = story

    def take_over(self) -> None:
        """See PartitionLog."""
        self._story.append("taken over")


class Late(Looked):
    """A view that is not read to its end at first."""

    def __init__(self, story: list[str], times: int) -> None:
        super().__init__(frozenset)
        self._story, self._times = story, times

    def read_to_end(self, within_s: float) -> None:
        """See Broadcast.read_to_end."""
        self._times -= 1
        if self._times >= 0:
            self._story.append(f"not read in {within_s:g} s")
            raise TimeoutError("the view was not read to its end")
        self._story.append("read")


class Patient(MemoryClock):
    """Lets who waits wait."""

    def sleep(self, seconds: float) -> None:
        """See Clock."""


def opened(folder: Path, awaited: tuple[str, ...], times: int) -> list[str]:
    """What happens until a partition is open."""
    story: list[str] = []
    system = msgspec.structs.replace(toy_system.build(), awaited=awaited)
    system.opened.append(lambda number, standing: story.append("open"))
    log = Noted(story)
    topics = {topic: f"id-{topic}" for topic in system.event_topics}
    counts = dict.fromkeys((*system.topics, *system.event_topics, "dead.letters"), 1)
    about: Any = ({}, folder, topics, counts, "logic", "state", 30.0, MessageReader(), Patient(log))
    place = Place(*about, open_log=lambda group, transactional_id, number: log)
    partition = Partition(system, 0, place, {"blocks": Late(story, times)})  # type: ignore[dict-item]
    partition.open()
    partition.close()
    return story


def test_a_view_that_is_awaited_is_read_behind_the_fence(tmp_path: Path) -> None:
    assert opened(tmp_path, ("blocks",), 0) == ["taken over", "read", "open"]


def test_until_it_is_read_the_partition_does_not_open(tmp_path: Path) -> None:
    late = ["taken over", "not read in 30 s"]
    assert opened(tmp_path, ("blocks",), 2) == [*late, *late, "taken over", "read", "open"]


def test_other_views_hold_nobody_up(tmp_path: Path) -> None:
    assert opened(tmp_path, (), 2) == ["taken over", "open"]
