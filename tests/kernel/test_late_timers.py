"""Timers in the kernel in memory: many at once share no transaction that is too large."""

from collections.abc import Iterator
from typing import Any

import pytest

from neural_hive.schemas.codec import decode, encode_message
from neural_hive.schemas.envelope import Header
from neural_hive.streams.kernel import partition as module
from neural_hive.streams.kernel.system import System
from neural_hive.streams.kernel.unit import Output
from tests.hostile.inputs import NOW
from tests.hostile.memory_kernel import MemoryKernel
from tests.simulation.run import silent_kernel
from tests.toy.counter import COUNTER, Close, Raise, Start
from tests.toy.system import StartCountdown

TIMERS = 40
EVENTS_EACH = 30
SECOND_US = 1_000_000


@pytest.fixture(autouse=True)
def silence() -> Iterator[None]:
    with silent_kernel():
        yield


class Countdowns:
    """Counters that close when their time is over."""

    def __init__(self) -> None:
        toy = System("toy", (COUNTER,), (__name__,))

        @toy.on("toy.commands", StartCountdown, route="counter_id")
        def start(unit: Any, message: StartCountdown) -> None:
            unit.execute(COUNTER, message.counter_id, Start(unit.now + message.delay_ms * 1_000))

        @toy.on_timer(COUNTER, "countdown")
        def over(unit: Any, counter_id: str) -> None:
            for _ in range(EVENTS_EACH):
                unit.execute(COUNTER, counter_id, Raise(1))
            unit.execute(COUNTER, counter_id, Close())

        self.kernel = MemoryKernel(toy, {}, count=1)

    def start(self, count: int) -> None:
        for number in range(count):
            header = Header(f"m-{number}", "StartCountdown", NOW, f"c-{number}", "", "", "", "", "test")
            value = encode_message(header, {"counter_id": f"c-{number}", "delay_ms": 1_000})
            self.kernel.take("toy.commands", value)

    def pass_time(self, us: int) -> None:
        self.kernel.log.now += us
        for _ in range(5):
            self.kernel.partition.step([])

    def closed(self) -> set[str]:
        found = (decode(record.value or b"", "event") for record in self.kernel.log.topics["toy.counters"])
        return {e.head.aggregate_id for e in found if e.head.event_type == "CounterClosed"}  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("limit", "most", "outputs_max"),
    [("TRANSACTION_OUTPUTS_MAX", 100, 100 + EVENTS_EACH + 1), ("TRANSACTION_BYTES_MAX", 20_000, 200)],
)
def test_late_timers_share_no_transaction_that_is_too_large(
    monkeypatch: pytest.MonkeyPatch, limit: str, most: int, outputs_max: int
) -> None:
    """A thousand workflows that ran out of time in an outage may make a million events."""
    toy, sizes = Countdowns(), list[int]()
    toy.start(TIMERS)
    commit = toy.kernel.log.commit

    def weighed(outputs: list[Output], offsets: dict[str, int]) -> dict[str, int]:
        sizes.append(len(outputs))
        return commit(outputs, offsets)

    monkeypatch.setattr(toy.kernel.log, "commit", weighed)
    monkeypatch.setattr(module, limit, most)
    toy.pass_time(10 * SECOND_US)
    assert len(toy.closed()) == TIMERS
    assert sum(sizes) == TIMERS * (EVENTS_EACH + 1)
    assert max(sizes) <= outputs_max
    toy.kernel.check_state()
