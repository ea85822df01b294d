"""Timers in the kernel in memory: many at once share no transaction that is too large, and none fails in silence."""

from collections.abc import Iterator
from typing import Any

import pytest

from neural_hive.schemas.codec import decode, encode_message
from neural_hive.schemas.envelope import Header
from neural_hive.streams.kernel import partition as module
from neural_hive.streams.kernel.inbox import DEAD_LETTERS
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
    """Counters that close when their time is over; `broken` ones have a handler that raises."""

    def __init__(self) -> None:
        self.broken: set[str] = set()
        self.tried: list[str] = []
        toy = System("toy", (COUNTER,), (__name__,))

        @toy.on("toy.commands", StartCountdown, route="counter_id")
        def start(unit: Any, message: StartCountdown) -> None:
            unit.execute(COUNTER, message.counter_id, Start(unit.now + message.delay_ms * 1_000))

        @toy.on_timer(COUNTER, "countdown")
        def over(unit: Any, counter_id: str) -> None:
            self.tried.append(counter_id)
            for _ in range(EVENTS_EACH):
                unit.execute(COUNTER, counter_id, Raise(1))
            if counter_id in self.broken:
                raise ZeroDivisionError("it cannot be closed")
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

    def letters(self) -> list[dict[str, Any]]:
        found = [decode(r.value or b"", "message") for r in self.kernel.log.topics.get(DEAD_LETTERS, [])]
        return [{"message_id": letter.head.message_id, **letter.payload} for letter in found]  # type: ignore[union-attr]


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


def test_a_timer_whose_handler_fails_leaves_a_dead_letter() -> None:
    toy = Countdowns()
    toy.broken = {"c-1"}
    counted = toy.kernel.partition.messages.dead_letters._value.get()
    toy.start(3)
    toy.pass_time(2 * SECOND_US)
    assert toy.closed() == {"c-0", "c-2"}
    (letter,) = toy.letters()
    assert letter["aggregate_id"] == "c-1"
    assert letter["error_type"] == "ZeroDivisionError"
    assert letter["reason"].startswith("timer countdown of counter c-1, due 2")
    assert letter["reason"].endswith("it cannot be closed")
    assert letter["source_timestamp_ms"] == NOW // 1_000 + 1_000
    assert toy.kernel.partition.messages.dead_letters._value.get() == counted + 1
    toy.kernel.check_state()


def test_it_is_tried_again_seldom_and_fires_once_it_can() -> None:
    toy = Countdowns()
    toy.broken = {"c-1"}
    toy.start(3)
    for _ in range(20):
        toy.pass_time(2 * SECOND_US)
    assert toy.tried.count("c-1") == 1
    toy.pass_time(60 * SECOND_US)
    toy.pass_time(60 * SECOND_US)
    assert toy.tried.count("c-1") == 2, "after a minute, and not again before two more have passed"
    assert len(toy.letters()) == 1
    toy.broken.clear()
    toy.pass_time(120 * SECOND_US)
    assert toy.closed() == {"c-0", "c-1", "c-2"}
    assert toy.kernel.partition.wait_s() == 1.0
    toy.kernel.check_state()


def test_a_new_process_tries_it_at_once_and_tells_of_it_under_the_same_id() -> None:
    toy = Countdowns()
    toy.broken = {"c-1"}
    toy.start(3)
    toy.pass_time(2 * SECOND_US)
    toy.kernel.restart()
    toy.pass_time(0)
    first, second = toy.letters()
    assert first == second
    toy.broken.clear()
    toy.kernel.restart()
    toy.pass_time(0)
    assert toy.closed() == {"c-0", "c-1", "c-2"}


def test_a_letter_that_was_not_committed_is_written_again() -> None:
    """The timer counts as told of only when the log has its letter."""
    toy = Countdowns()
    toy.broken = {"c-1"}
    toy.start(2)
    commit, failures = toy.kernel.log.commit, [module.Indefinite("no answer")]

    def fails_once(outputs: list[Output], offsets: dict[str, int]) -> dict[str, int]:
        if outputs and failures:
            raise failures.pop()
        return commit(outputs, offsets)

    toy.kernel.log.commit = fails_once  # type: ignore[method-assign, assignment]
    toy.pass_time(2 * SECOND_US)
    assert not failures
    assert len(toy.letters()) == 1
    assert toy.closed() == {"c-0"}
