"""A partition that cannot read a record without the schema registry waits for it, and for nothing else."""

import asyncio
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec
import pytest

from neural_hive.schemas.codec import encode_message
from neural_hive.schemas.envelope import Header
from neural_hive.streams.kernel.processor import Slot
from neural_hive.streams.kernel.reading import MessageReader
from neural_hive.streams.kernel.system import System
from neural_hive.streams.kernel.transport import Batch, Fetched
from tests.hostile.inputs import NOW
from tests.hostile.memory_kernel import MemoryKernel, MemoryLog
from tests.kernel.test_routes import _foreign_bytes, _foreign_schema
from tests.simulation.run import silent_kernel
from tests.toy.counter import COUNTER, Raise
from tests.toy.system import AddToCounter

COMMANDS, EVENTS = "toy.commands", "toy.counters"
FOREIGN_ID = 1_000_001


@pytest.fixture(autouse=True)
def silence() -> Iterator[None]:
    with silent_kernel():
        yield


class Registry:
    """Gives the one schema that it has, while it is there."""

    def __init__(self) -> None:
        self.is_there, self.asked = False, 0

    def schema(self, number: int) -> dict[str, Any]:
        self.asked += 1
        if not self.is_there:
            raise ConnectionError("no answer")
        return _foreign_schema()


class CountedLog(MemoryLog):
    """Counts how often it was taken over."""

    taken_over = 0

    def take_over(self) -> None:
        self.taken_over += 1


@pytest.fixture
def registry() -> Registry:
    return Registry()


@pytest.fixture
def kernel(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> MemoryKernel:
    monkeypatch.setattr("tests.hostile.memory_kernel.MemoryLog", CountedLog)
    toy = System("toy", (COUNTER,), (__name__,))

    @toy.on(COMMANDS, AddToCounter, route="counter_id")
    def add(unit: Any, message: AddToCounter) -> None:
        unit.execute(COUNTER, message.counter_id, Raise(message.amount))

    return MemoryKernel(toy, {}, 1, MessageReader(registry.schema))


def _own(number: int) -> bytes:
    header = Header(f"m-{number}", "AddToCounter", NOW, f"c-{number}", "", "", "", "", "test")
    return encode_message(header, msgspec.to_builtins(AddToCounter(f"c-{number}", 1)))


def _arrived(kernel: MemoryKernel) -> Batch:
    """Two records of ours, with one between them that somebody else wrote."""
    values = [_own(1), _foreign_bytes(FOREIGN_ID, _foreign_schema()), _own(2)]
    kernel.log.ends[COMMANDS] = len(values)
    records = [Fetched(COMMANDS, 0, at, NOW // 1_000, b"k", v, ()) for at, v in enumerate(values)]
    return Batch(COMMANDS, 0, 0, len(values), records, 100)


def test_what_came_before_stands_and_the_rest_waits(kernel: MemoryKernel, registry: Registry) -> None:
    partition, batch = kernel.partition, _arrived(kernel)
    counted = partition.messages.records._value.get()
    for _ in range(3):
        assert partition.step([batch]) is False
    assert len(kernel.log.topics[EVENTS]) == 1
    assert kernel.log.offsets[COMMANDS] == 1
    assert kernel.log.taken_over == 1, "nothing is in doubt, so nobody need be fenced"  # type: ignore[attr-defined]
    registry.is_there = True
    assert partition.step([batch]) is True
    assert len(kernel.log.topics[EVENTS]) == 3
    assert kernel.log.offsets[COMMANDS] == 3
    assert partition.messages.records._value.get() == counted + 3
    kernel.check_state()


def test_it_asks_less_and_less_often_and_can_be_stopped(kernel: MemoryKernel, registry: Registry) -> None:
    async def work() -> None:
        slot, failed = Slot(kernel.partition, lambda number, hold: None), list[BaseException]()
        with ThreadPoolExecutor(1) as pool:
            slot.start(pool, failed.append)
            slot.offer(_arrived(kernel))
            marks = set()
            until = time.monotonic() + 2
            while time.monotonic() < until:
                marks.add(slot.mark())
                await asyncio.sleep(0.02)
            assert 2 <= registry.asked <= 6
            assert len(marks) > 2, "who waits moves, in the watchdog's eyes"
            assert "waits for the schema registry" in slot.describe()
            await asyncio.wait_for(slot.stop(), 5)
            asked = registry.asked
            registry.is_there = True
            slot.start(pool, failed.append)
            slot.offer(_arrived(kernel))
            while not slot.waits() or kernel.log.offsets.get(COMMANDS) != 3:
                await asyncio.sleep(0.02)
            await slot.stop()
        assert registry.asked == asked + 1
        assert not failed

    asyncio.run(asyncio.wait_for(work(), 60))
    assert len(kernel.log.topics[EVENTS]) == 3
