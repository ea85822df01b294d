"""What stands still says so: a processor that is stuck tells its stacks, ends, and its successor goes on."""

import signal
import time
from pathlib import Path

import pytest

from neural_hive.streams.kernel.processor import EXIT_STUCK
from neural_hive.streams.kernel.watchdog import LOOKS, Watchdog
from tests.kernel.conftest import ToyFactory
from tests.toy.harness import Toy
from tests.toy.system import HANGS

STUCK_S = "9"


def _log(toy: Toy) -> str:
    return (toy.folder / "worker-0.log").read_text()


def _goes_on(toy: Toy, cause: Path) -> None:
    """Once the cause is gone, a new worker does what the stuck one had in hand, once."""
    cause.unlink()
    toy.start()
    toy.wait_until_done()
    toy.stop()
    assert toy.check()["CounterRaised"] == len(toy.sent)


@pytest.fixture
def toy(make_toy: ToyFactory, tmp_path: Path) -> Toy:
    toy: Toy = make_toy()
    toy.environment = {
        "TOY_STUCK_S": STUCK_S,
        "TOY_HANGS": str(tmp_path / "hangs"),
        "TOY_DEAF": str(tmp_path / "deaf"),
    }
    toy.start()
    toy.add(100)
    toy.wait_until_done()
    return toy


def test_a_partition_that_hangs_ends_its_process_with_its_stacks(toy: Toy, tmp_path: Path) -> None:
    (tmp_path / "hangs").touch()
    toy.send(toy.commands, "AddToCounter", "counter-1", {"amount": HANGS})
    toy.add(100)
    assert toy.workers[0].wait(120) == EXIT_STUCK
    log = _log(toy)
    assert "stuck" in log and "tests/toy/system.py" in log
    assert "is at work" in log
    _goes_on(toy, tmp_path / "hangs")


def test_inputs_that_nobody_brings_end_the_process(toy: Toy, tmp_path: Path) -> None:
    (tmp_path / "deaf").touch()
    time.sleep(1)  # a fetch that is under way ends
    toy.add(100)
    assert toy.workers[0].wait(120) == EXIT_STUCK
    last_words = _log(toy).rpartition("stuck")[2]
    assert toy.commands in last_words or toy.results in last_words
    _goes_on(toy, tmp_path / "deaf")


def test_idle_is_not_stuck_and_a_signal_asks_for_the_stacks(toy: Toy) -> None:
    time.sleep(2.5 * float(STUCK_S))
    assert toy.workers[0].poll() is None
    toy.kill(0, signal.SIGUSR1)
    until = time.monotonic() + 60
    while "waits for inputs" not in _log(toy) or "Task " not in _log(toy):
        assert time.monotonic() < until, _log(toy)
        time.sleep(0.1)
    log = _log(toy)
    assert "most recent call first" in log  # the threads
    assert "_drain_messages" in log and "_coordination_routine" in log  # of both event loops
    toy.add(100)
    toy.wait_until_done()
    assert toy.workers[0].poll() is None


def test_what_moves_or_need_not_move_is_left_alone() -> None:
    bitten: list[str] = []
    marks: dict[str, int | None] = {}
    dog = Watchdog("test", 3.0, lambda: marks, bitten.append)
    for look in range(3 * LOOKS):
        marks = {"moves": look, "rests": None, "comes and goes": 1} if look % LOOKS else {"moves": look}
        dog.look()
    assert bitten == []
    marks = {"stands": 1}
    for _ in range(LOOKS):
        dog.look()
    assert bitten == []
    dog.look()
    assert bitten == ["stands"]
