"""A processor whose clock is an hour off, and jumps: the broker's clock is the one that timers go by."""

import time
from pathlib import Path

import pytest

from neural_hive.connectors.kafka_embedded import EmbeddedKafka
from tests.faults import shifted
from tests.kernel.conftest import ToyFactory
from tests.kernel.conftest import make_toy as make_toy
from tests.toy.harness import WAIT_S, Toy

pytestmark = pytest.mark.long

HOUR_S = 3_600
COUNTERS = 8  # over all partitions
LATER_MS = 3_000_000  # long after the test, but within the hour
SOON_MS = 2_000


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_no_timer_fires_early_or_never(make_toy: ToyFactory, kafka: EmbeddedKafka, tmp_path: Path) -> None:
    toy, clock = make_toy(), tmp_path / "clock"
    toy.module, toy.environment["TOY_CLOCK"] = shifted.__name__, str(clock)
    _shift(clock, HOUR_S)
    toy.start()
    _count_down(toy, "later", LATER_MS)
    _go_on(toy, "ahead")
    _shift(clock, -HOUR_S)
    _go_on(toy, "jumped back")
    toy.kill(0)
    _shift(clock, HOUR_S)
    toy.start()
    _go_on(toy, "ahead after a crash")
    toy.stop()
    kinds = toy.check()
    assert kinds["CounterRaised"] + kinds["CountdownStarted"] == len(toy.sent)
    assert kinds["CounterClosed"] == 3 * COUNTERS
    assert toy.check_state() == toy.partitions


def _shift(clock: Path, seconds: int) -> None:
    """From now on the worker's clock is off by that much."""
    draft = clock.with_suffix(".new")
    draft.write_text(str(seconds))
    draft.replace(clock)


def _go_on(toy: Toy, name: str) -> None:
    """Inputs are processed, and countdowns end."""
    toy.add(500)
    _count_down(toy, name, SOON_MS)
    toy.wait_until_done()
    until = time.monotonic() + WAIT_S
    while len(open_ := [counter for counter in _counters(name) if counter not in _closed(toy)]) > 0:
        assert time.monotonic() < until, f"{open_} are not closed after {WAIT_S} s\n{toy.explain()}"
        toy.replace_fenced()
        time.sleep(0.3)
    assert _early(toy) == [], name


def _count_down(toy: Toy, name: str, delay_ms: int) -> None:
    for counter in _counters(name):
        toy.send(toy.commands, "StartCountdown", counter, {"delay_ms": delay_ms})
    assert toy.producer.flush(60) == 0


def _counters(name: str) -> list[str]:
    return [f"{name} {number}" for number in range(COUNTERS)]


def _closed(toy: Toy) -> dict[str, int]:
    """When each counter was closed, by the broker's clock, ms."""
    events = toy.events(toy.event_topics[0])
    return {e.aggregate_id: record.timestamp_ms for record, e, _ in events if e.event_type == "CounterClosed"}


def _early(toy: Toy) -> list[str]:
    """The counters that were closed before they were due."""
    events = toy.events(toy.event_topics[0])
    due = {e.aggregate_id: told["due_at"] for _, e, told in events if e.event_type == "CountdownStarted"}
    return [counter for counter, closed_ms in _closed(toy).items() if closed_ms * 1_000 < due[counter]]
