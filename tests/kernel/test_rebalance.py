"""A partition that is taken away while it opens: its next owner has fenced us, and that is no reason to end."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from faust.types import TP

from neural_hive.streams.kernel import metrics
from neural_hive.streams.kernel.partition import Fenced
from neural_hive.streams.kernel.processor import Processor
from neural_hive.streams.kernel.recovery import BrokenLog
from tests.toy.system import build


class FakePartition:
    """Opens, unless its number is among the fenced; `on_open` happens meanwhile."""

    opening = False
    commits = 0
    next: dict[str, int] = {}  # noqa: RUF012

    def __init__(self, number: int, on_open: Any) -> None:
        self.number, self.name, self._on_open = number, f"toy.{number}", on_open
        self.closed = False
        self.messages = metrics.of("toy.rebalanced", number)
        self.place = SimpleNamespace(folder=Path("/nowhere"))

    def open(self) -> None:
        self._on_open(self.number)

    def close(self) -> None:
        self.closed = True

    def step(self, batches: Any) -> bool:
        return True

    def wait_s(self) -> float:
        return 0.01


class Ended(Exception):
    pass


@pytest.fixture
def processor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A processor that the group has just given partitions 0 and 1."""
    config = {"bootstrap.servers": "127.0.0.1:1"}
    processor: Any = Processor(build(), config, tmp_path, "slot", lambda number: None, {})  # type: ignore[arg-type, return-value]
    topic = processor.system.topics[0]
    owned = {TP(topic, 0), TP(topic, 1)}
    processor.app = SimpleNamespace(
        rebalancing_count=1, consumer=SimpleNamespace(assignment=lambda: owned, held=set())
    )
    processor.owned = owned

    def fail(error: BaseException) -> None:
        raise Ended(str(error)) from error

    monkeypatch.setattr(processor, "_fail", fail)
    return processor


async def _reassign(processor: Any) -> dict[int, bool]:
    """Which partitions are held after an assignment, and whether they are at work."""
    await processor._reassign()
    found = {number: slot.mark() is not None for number, slot in processor.slots.items()}
    for slot in processor.slots.values():
        await slot.stop()
    return found


def _make(processor: Any, opened: Callable[[int], None]) -> list[FakePartition]:
    """Lets it make partitions that do so when they open; they stand in the list."""
    made: list[FakePartition] = []

    def new_partition(number: int) -> FakePartition:
        made.append(FakePartition(number, opened))
        return made[-1]

    processor._new_partition = new_partition
    return made


def test_fenced_while_opening_in_the_next_rebalance(processor: Any) -> None:
    def taken(number: int) -> None:
        if number == 1:
            processor.app.rebalancing_count += 1
            raise Fenced("by its next owner")

    made = _make(processor, taken)
    assert asyncio.run(_reassign(processor)) == {0: False}  # kept, but not at work before the next assignment
    assert [partition.closed for partition in made] == [False, True]
    assert {tp.partition for tp in processor.app.consumer.held} == {0, 1}  # nobody would take what is brought
    processor.owned.discard(TP(processor.system.topics[0], 1))
    assert asyncio.run(_reassign(processor)) == {0: True}
    assert processor.app.consumer.held == set()
    assert len(made) == 2


def test_one_that_may_not_open_is_held_and_the_others_work(processor: Any) -> None:
    def broken(number: int) -> None:
        if number == 1:
            raise BrokenLog("two events claim one place")

    made = _make(processor, broken)
    for _ in range(2):  # in the next rebalance nobody tries it again: it is looked after already
        assert asyncio.run(_reassign(processor)) == {0: True}
        assert processor.stopped.reasons() == {1: "BrokenLog: two events claim one place"}
        assert {tp.partition for tp in processor.app.consumer.held} == {1}
        assert len(made) == 2
    processor.owned.discard(TP(processor.system.topics[0], 1))
    assert asyncio.run(_reassign(processor)) == {0: True}
    assert processor.stopped.reasons() == {}
    assert processor.app.consumer.held == set()


def test_fenced_while_opening_without_a_rebalance_ends_the_process(processor: Any) -> None:
    def fenced(number: int) -> None:
        raise Fenced("by a stranger")

    processor._new_partition = lambda number: FakePartition(number, fenced)
    with pytest.raises(Ended, match="by a stranger"):
        asyncio.run(_reassign(processor))
