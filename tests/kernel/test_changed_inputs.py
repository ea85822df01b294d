"""An input without a committed offset is new, and begins; or its offset was lost, and stops the partition."""

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from neural_hive.schemas.codec import encode_message
from neural_hive.schemas.envelope import Header
from neural_hive.streams.kernel.recovery import BrokenLog
from neural_hive.streams.kernel.router import router_of
from neural_hive.streams.kernel.system import System
from tests.hostile.inputs import NOW
from tests.hostile.memory_kernel import MemoryKernel
from tests.simulation.run import silent_kernel
from tests.toy.counter import COUNTER, Raise
from tests.toy.system import AddToCounter

COMMANDS, RESULTS, EVENTS = "toy.commands", "toy.results", "toy.counters"


@pytest.fixture(autouse=True)
def silence() -> Iterator[None]:
    with silent_kernel():
        yield


def _system(*inputs: str) -> System:
    toy = System("toy", (COUNTER,), (__name__,), repartition="toy.repartition")
    for topic in inputs:

        @toy.on(topic, AddToCounter, route="counter_id")
        def add(unit: Any, message: AddToCounter) -> None:
            unit.execute(COUNTER, message.counter_id, Raise(message.amount))

    return toy


def _value(message_id: str, amount: int = 1) -> bytes:
    header = Header(message_id, "AddToCounter", NOW, "c", "", "", "", "", "test")
    return encode_message(header, msgspec.to_builtins(AddToCounter("c", amount)))


def _restart(kernel: MemoryKernel, system: System | None = None) -> None:
    kernel.partition.close()
    kernel.system = system or kernel.system
    kernel._place.partitions_of.update(dict.fromkeys(kernel.system.topics, 1))
    kernel.restart()


def test_an_input_that_is_new_begins_at_its_beginning() -> None:
    kernel = MemoryKernel(_system(COMMANDS), {}, 1)
    kernel.take(COMMANDS, _value("m-1"))
    kernel.log.ends[RESULTS] = 5
    _restart(kernel, _system(COMMANDS, RESULTS))
    assert kernel.log.offsets[RESULTS] == 0, "committed in so many words"
    assert kernel.partition.next == {COMMANDS: 1, RESULTS: 0, "toy.repartition": 0}
    kernel.log.ends[RESULTS] = 0
    kernel.take(RESULTS, _value("m-2"))
    _restart(kernel)
    assert kernel.partition.next == {COMMANDS: 1, RESULTS: 1, "toy.repartition": 0}
    assert len(kernel.log.topics[EVENTS]) == 2


def test_it_is_new_too_when_the_state_was_deleted() -> None:
    kernel = MemoryKernel(_system(COMMANDS), {}, 1)
    kernel.take(COMMANDS, _value("m-1"))
    kernel._disk.clear()
    _restart(kernel, _system(COMMANDS, RESULTS))
    assert kernel.partition.next[RESULTS] == 0


@pytest.mark.parametrize("is_noted", [True, False], ids=["noted", "named by events only"])
@pytest.mark.parametrize("has_state", [True, False])
def test_the_offset_of_one_input_that_is_lost_stops_the_partition(is_noted: bool, has_state: bool) -> None:
    kernel = MemoryKernel(_system(COMMANDS, RESULTS), {}, 1)
    kernel.take(COMMANDS, _value("m-1"))
    kernel.take(RESULTS, _value("m-2"))
    del kernel.log.offsets[RESULTS]
    if not is_noted:
        kernel.log.noted.clear()
    if not has_state:
        kernel._disk.clear()
    with pytest.raises(BrokenLog, match=f"has read {RESULTS} before, and has no committed offset"):
        _restart(kernel)
    kernel.log.offsets[RESULTS] = 1  # by hand, as the words say
    _restart(kernel)
    assert kernel.partition.next[RESULTS] == 1


def test_so_does_that_of_an_input_that_led_to_no_event_yet() -> None:
    kernel = MemoryKernel(_system(COMMANDS, RESULTS), {}, 1)
    kernel.take(COMMANDS, _value("m-1"))
    assert kernel.take(RESULTS, _value("m-2", -1)).letters
    del kernel.log.offsets[RESULTS]
    with pytest.raises(BrokenLog, match=f"has read {RESULTS} before"):
        _restart(kernel)


def test_all_offsets_lost_stop_a_partition_that_has_no_event_yet() -> None:
    kernel = MemoryKernel(_system(COMMANDS), {}, 1)
    assert kernel.take(COMMANDS, _value("m-1", -1)).letters
    kernel.log.offsets.clear()
    with pytest.raises(BrokenLog, match=f"has read {COMMANDS}, toy.repartition before"):
        _restart(kernel)


def test_a_router_that_loses_its_offset_stops() -> None:
    """It would hand on again whatever the input still has."""
    router = MemoryKernel(router_of(_system(COMMANDS, RESULTS), RESULTS), {})
    router.partition.place.partitions_of["toy.repartition"] = 1
    assert len(router.take(RESULTS, _value("m-1")).sent) == 1
    _restart(router)
    router.log.offsets.clear()
    with pytest.raises(BrokenLog, match=f"has read {RESULTS} before"):
        _restart(router)


def test_who_has_offsets_from_a_build_that_noted_nothing_notes_it() -> None:
    router = MemoryKernel(router_of(_system(COMMANDS, RESULTS), RESULTS), {})
    router.log.noted.clear()
    _restart(router)
    router.log.offsets.clear()
    with pytest.raises(BrokenLog, match=f"has read {RESULTS} before"):
        _restart(router)
