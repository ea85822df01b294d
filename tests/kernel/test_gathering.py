"""Inputs come together before they are worked on, if there are many and the system wants it: as long as it says."""

import asyncio
import time

import msgspec
import pytest

from neural_hive.streams.kernel import processor
from neural_hive.streams.kernel.processor import QUEUED_RECORDS_MAX, Slot
from neural_hive.streams.kernel.transport import Batch, Fetched
from tests.hostile.memory_kernel import MemoryKernel
from tests.toy.system import build

TOPIC = "toy.commands.gather"
GATHER_S = 0.6


@pytest.fixture
def slot() -> Slot:
    kernel = MemoryKernel(build(".gather"), {"blocks": frozenset}, 1)
    kernel.partition.system = msgspec.structs.replace(kernel.partition.system, gather_s=GATHER_S)
    return Slot(kernel.partition, lambda number, hold: None)


def batch(first: int, count: int) -> Batch:
    record = Fetched(TOPIC, 0, first, 1, b"k", b"v", ())
    return Batch(TOPIC, 0, first, first + count, [record] * count, count)


async def taken(slot: Slot, *, more: int = 0, each: int = 1) -> tuple[int, float]:
    """How many records the next step gets, and after which time; meanwhile `more` batches come."""

    async def come() -> None:
        for number in range(more):
            await asyncio.sleep(0.05)
            slot.offer(batch(1_000_000 + number * each, each))

    coming, began = asyncio.create_task(come()), time.monotonic()
    found = await slot._next()
    took_s = time.monotonic() - began
    coming.cancel()
    return sum(len(one.records) for one in found), took_s


def test_many_wait_for_each_other_and_few_do_not(slot: Slot, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processor, "GATHER_RATE", 100.0)

    async def work() -> None:
        slot.offer(batch(0, 1_000))
        assert (await taken(slot))[1] < GATHER_S / 2, "nobody knows yet that many come"
        slot.offer(batch(1_000, 100))
        count, took_s = await taken(slot, more=5, each=10)
        assert count == 150
        assert GATHER_S * 0.9 < took_s < 3 * GATHER_S
        await asyncio.sleep(1)
        slot.offer(batch(2_000, 1))
        await taken(slot)  # the last time that many had come before
        await asyncio.sleep(1)
        slot.offer(batch(2_001, 1))
        assert (await taken(slot))[1] < GATHER_S / 2

    asyncio.run(work())


def test_a_full_queue_or_a_stop_ends_it(slot: Slot, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processor, "GATHER_RATE", 1.0)

    async def work() -> None:
        slot.offer(batch(0, 10))
        await taken(slot)
        slot.offer(batch(10, QUEUED_RECORDS_MAX + 1))
        assert (await taken(slot))[1] < GATHER_S / 2
        slot.offer(batch(50_000, 1))
        asyncio.get_running_loop().call_later(0.1, asyncio.ensure_future, slot.stop())
        assert (await taken(slot))[1] < GATHER_S * 0.9

    asyncio.run(work())
