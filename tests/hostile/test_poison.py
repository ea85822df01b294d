"""Records that once stopped a partition for good, each in the kernel in memory."""

from typing import Any

import pytest

from neural_hive.schemas.codec import encode_message
from neural_hive.schemas.envelope import Header
from neural_hive.schemas.topics import MESSAGE_BYTES_MAX, partition_of
from neural_hive.streams.kernel.router import router_of
from neural_hive.streams.kernel.system import System
from neural_hive.streams.orchestrator import system as orchestrator
from tests.hostile.hive import WORKFLOWS
from tests.hostile.inputs import NOW
from tests.hostile.memory_kernel import MemoryKernel
from tests.toy.counter import COUNTER, Start
from tests.toy.system import StartCountdown

PLANS = "plans.consensus"


@pytest.fixture
def kernel() -> MemoryKernel:
    return MemoryKernel(orchestrator.build(), {"agents": dict, "trails": dict, "freezes": dict})


def _pause(workflow_id: str, routing_id: str = "") -> bytes:
    header = Header("message", "PauseWorkflow", NOW, routing_id or workflow_id, "", "", "", "", "test")
    return encode_message(header, {"workflow_id": workflow_id, "reason": "", "requested_by": ""})


def _elsewhere() -> str:
    return next(f"w-{n}" for n in range(99) if partition_of(f"w-{n}".encode(), 2) == 1)


def test_a_record_larger_than_any_topic_allows_is_cut(kernel: MemoryKernel) -> None:
    """Compressed it is small, and compressed is what the broker weighs."""
    outcome = kernel.take(PLANS, bytes(MESSAGE_BYTES_MAX + 600_000))
    (letter,) = outcome.letters
    assert letter["value"] == bytes(MESSAGE_BYTES_MAX)
    assert "of 8,988,608 bytes 8,388,608" in letter["reason"]
    assert not kernel.take(PLANS, b"the next one").events


def test_so_are_keys_and_headers(kernel: MemoryKernel) -> None:
    many = tuple((f"h{n}", b"v") for n in range(600_000))
    large = (("small", b"v"), ("large", bytes(9 << 20)))
    for headers, kept in ((many, 1_000), (large, 1)):
        (letter,) = kernel.take(PLANS, bytes(MESSAGE_BYTES_MAX), b"\xff" * (9 << 20), headers).letters
        assert len(letter["key"]) == 65_536
        assert len(letter["headers"]) == kept
        assert f"of {len(headers):,} headers {kept:,}" in letter["reason"]


def test_a_misrouted_record_with_headers_that_fit_nowhere_is_refused(kernel: MemoryKernel) -> None:
    value = _pause(_elsewhere())
    assert kernel.take("orchestration.commands", value, headers=(("h", bytes(1_000)),)).forwarded == 1
    (letter,) = kernel.take("orchestration.commands", value, headers=(("h", bytes(9 << 20)),)).letters
    assert "cannot be forwarded" in letter["reason"]


def test_a_router_refuses_what_fits_nowhere() -> None:
    router = MemoryKernel(router_of(orchestrator.build(), PLANS), {})
    assert len(router.take(PLANS, _pause(WORKFLOWS[0])).sent) == 1
    (headers,) = router.take(PLANS, _pause(WORKFLOWS[0]), headers=(("h", bytes(9 << 20)),)).letters
    assert "cannot be forwarded" in headers["reason"]
    (routing_id,) = router.take(PLANS, _pause("w", "w" * 5_000_000), b"k" * 5_000_000).letters
    assert "routing_id must have 1 to 200 characters" in routing_id["reason"]


def _woken_twice() -> System:
    """A system whose counters wait for a time that a message names, and afterwards for none."""
    toy = System("toy", (COUNTER,), (__name__,))

    @toy.on("toy.commands", StartCountdown, route="counter_id")
    def wait(unit: Any, message: StartCountdown) -> None:
        unit.execute(COUNTER, message.counter_id, Start(NOW + message.delay_ms * 1_000))

    @toy.on_timer(COUNTER, "countdown")
    def over(unit: Any, counter_id: str) -> None:
        unit.execute(COUNTER, counter_id, Start(0))

    return toy


def test_a_timer_set_again_for_the_same_time_fires_again() -> None:
    """After an outage timers fire at the times they had, so an aggregate may come to wait for one a second time."""
    kernel = MemoryKernel(_woken_twice(), {}, count=1)
    for number in range(3):
        header = Header(f"message-{number}", "StartCountdown", NOW, "c", "", "", "", "", "test")
        value = encode_message(header, {"counter_id": "c", "delay_ms": 1_000})
        kernel.take("toy.commands", value)
        kernel.pass_time(2_000_000)
    events = kernel.log.topics["toy.counters"]
    assert len(events) == 6
    assert len({record.value for record in events}) == 6
    kernel.check_state()
