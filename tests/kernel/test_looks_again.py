"""What becomes of a partition that is stopped, in the kernel in memory: it is shown, and tried again."""

import asyncio
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest
from prometheus_client import REGISTRY

from neural_hive.schemas.codec import encode_message
from neural_hive.schemas.envelope import Header
from neural_hive.streams.kernel import stopped as module
from neural_hive.streams.kernel.acceptance import FILE, Acceptance, accept
from neural_hive.streams.kernel.partition import Partition
from neural_hive.streams.kernel.recovery import BrokenLog
from neural_hive.streams.kernel.state import Store
from neural_hive.streams.kernel.stopped import StoppedPartitions
from tests.hostile.inputs import NOW
from tests.hostile.memory_kernel import MemoryKernel
from tests.simulation.run import silent_kernel
from tests.toy.system import AddToCounter, build

SUFFIX = ".stopped"


@pytest.fixture(autouse=True)
def silence() -> Iterator[None]:
    with silent_kernel():
        yield


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The partition's."""
    return tmp_path


@pytest.fixture
def kernel(folder: Path) -> MemoryKernel:
    """One whose log a stranger has written into; its state is in RocksDB."""
    kernel = MemoryKernel(build(SUFFIX), {"blocks": frozenset}, 1)
    kernel._place = msgspec.structs.replace(kernel._place, folder=folder, open_store=Store)
    kernel.restart()
    _raise(kernel, "m-1")
    log = kernel.log.topics[f"toy.counters{SUFFIX}"]
    log.append(msgspec.structs.replace(log[0], offset=1))
    return kernel


def _raise(kernel: MemoryKernel, message_id: str) -> None:
    header = Header(message_id, "AddToCounter", NOW, "c", "", "", "", "", "test")
    kernel.take(f"toy.commands{SUFFIX}", encode_message(header, msgspec.to_builtins(AddToCounter("c", 1))))


def _gauge() -> float | None:
    labels = {"system": f"toy{SUFFIX}", "partition": "0"}
    return REGISTRY.get_sample_value("neural_hive_partition_stopped", labels)


class Owner:
    """Does with one partition what a processor does."""

    def __init__(self, kernel: MemoryKernel) -> None:
        self.kernel, self.told, self.looks = kernel, list[Mapping[int, str]](), 0
        self.pool = ThreadPoolExecutor(1)
        self.stopped = StoppedPartitions({}, self.pool, self._go_on, self.told.append)

    def stop(self) -> None:
        self.kernel.partition.close()
        with pytest.raises(BrokenLog) as caught:
            self.kernel.restart()
        self.stopped.add(self.kernel.partition, caught.value)

    async def _go_on(self, partition: Partition) -> None:
        self.looks += 1
        try:
            partition.open()
        except BrokenLog:
            partition.close()
            raise
        self.stopped.forget(partition.number)


async def _until(owner: Owner, looks: int) -> None:
    async with asyncio.timeout(30):
        while owner.looks < looks:
            await asyncio.sleep(0.01)


def test_a_person_accepts_the_damage_and_it_goes_on(
    kernel: MemoryKernel, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "WORD_EVERY_S", 0.01)

    async def work() -> None:
        owner = Owner(kernel)
        owner.stop()
        assert list(owner.stopped) == [0]
        assert "two events claim one place" in owner.told[-1][0]
        assert _gauge() == 1
        await asyncio.sleep(0.3)
        assert owner.looks == 0, "a look may read the whole log"
        accept(folder, Acceptance("never mind", "alice"))
        await _until(owner, 1)
        await owner.stopped.settled(0)
        assert list(owner.stopped) == []
        assert owner.told[-1] == {}
        assert _gauge() == 0

    asyncio.run(work())
    assert not (folder / FILE).exists()
    _raise(kernel, "m-2")
    assert len(kernel.log.topics[f"toy.counters{SUFFIX}"]) == 4  # the word is an event too


def test_it_is_looked_at_less_and_less_often(
    kernel: MemoryKernel, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "WORD_EVERY_S", 0.01)
    monkeypatch.setattr(module, "LOOK_FIRST_S", 0.1)
    monkeypatch.setattr(module, "LOOK_MAX_S", 0.4)

    async def work() -> None:
        owner = Owner(kernel)
        owner.stop()
        await _until(owner, 2)
        assert list(owner.stopped) == [0]
        assert _gauge() == 1
        del kernel.log.topics[f"toy.counters{SUFFIX}"][1]  # restored from a backup
        await _until(owner, 3)
        await owner.stopped.settled(0)
        assert list(owner.stopped) == []

    asyncio.run(work())
    _raise(kernel, "m-2")


def test_another_worker_has_it_now(kernel: MemoryKernel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WORD_EVERY_S", 0.01)

    async def work() -> None:
        owner = Owner(kernel)
        owner.stop()
        owner.stopped.forget(0)
        await owner.stopped.settled(0)
        assert (owner.looks, _gauge()) == (0, 0)

    asyncio.run(work())


def test_a_word_for_a_log_that_is_whole_does_not_count_for_the_next_damage(
    kernel: MemoryKernel, folder: Path
) -> None:
    stranger = kernel.log.topics[f"toy.counters{SUFFIX}"].pop()
    kernel.partition.close()
    accept(folder, Acceptance("just in case", "alice"))
    kernel.restart()
    assert not (folder / FILE).exists()
    kernel.log.topics[f"toy.counters{SUFFIX}"].append(stranger)
    kernel.partition.close()
    with pytest.raises(BrokenLog):
        kernel.restart()
