"""Nothing is lost, doubled or out of order, whoever is killed: the toy system on the real broker."""

import random
import re
import shutil
import signal
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from neural_hive.connectors.kafka_embedded import EmbeddedKafka
from neural_hive.streams.kernel.partition_log import TRANSACTION_TIMEOUT_MS
from neural_hive.streams.kernel.processor import EXIT_FENCED
from tests.kernel.conftest import ToyFactory

LONG_SESSION_S = 90  # whoever waits for its end is found out
MARGIN_S = 50  # for a machine that has other work to do


@pytest.mark.parametrize(("workers", "partitions"), [(1, 4), (2, 4), (3, 12)])
def test_workers_killed_at_any_time(make_toy: ToyFactory, workers: int, partitions: int) -> None:
    seed = random.randrange(1 << 30)
    print("seed", seed)
    chance = random.Random(seed)
    toy = make_toy(partitions)
    toy.start(workers)
    for _ in range(2 + workers):
        toy.add(5_000)
        time.sleep(chance.uniform(0.2, 4))
        alive = [i for i, worker in enumerate(toy.workers) if worker.poll() is None]
        toy.kill(chance.choice(alive))
        toy.keep_alive(workers)
    toy.wait_until_done()
    toy.stop()
    kinds = toy.check()
    assert kinds["CounterRaised"] == len(toy.sent)
    assert toy.check_state() >= partitions


def test_broker_killed(make_toy: ToyFactory, tmp_path: Path) -> None:
    with EmbeddedKafka(tmp_path / "own-kafka") as broker:
        toy = make_toy(4, broker.bootstrap)
        toy.start(2)
        for _ in range(2):
            toy.add(5_000)
            time.sleep(2)
            broker.kill(1)
            broker.start(1)
            toy.keep_alive(2)
        toy.add(2_000)
        deadline = time.monotonic() + 120
        while toy.lag() > 0 and time.monotonic() < deadline:
            toy.keep_alive(2)
            time.sleep(0.5)
        toy.stop()
        assert toy.check()["CounterRaised"] == len(toy.sent)
        toy.check_state()


def test_stopped_past_the_session_time_out(make_toy: ToyFactory) -> None:
    """A zombie wakes up with batches in hand: it is fenced, and ends; its partitions have gone on elsewhere."""
    toy = make_toy()
    zombie, other = toy.start_sharing(
        2
    )  # one of them may be fenced at the start: the other must be no zombie
    toy.add(5_000)
    toy.wait_until_done()
    assert toy.owned(zombie) and toy.owned(other)
    toy.add(20_000)
    toy.kill(zombie, signal.SIGSTOP)
    toy.wait_until_done()
    toy.kill(zombie, signal.SIGCONT)
    assert toy.workers[zombie].wait(120) == EXIT_FENCED
    toy.stop()
    assert toy.check()["CounterRaised"] == len(toy.sent)


def test_state_deleted_and_code_changed(make_toy: ToyFactory) -> None:
    """The state is a cache of the log: deleted, or of another version of the code, it is folded again."""
    toy = make_toy()
    toy.start()
    toy.add(5_000)
    toy.wait_until_done()
    toy.stop()
    stores = list(toy.folder.glob("toy*/worker-*/[0-9]*"))
    assert len(stores) == toy.partitions
    for store in stores:
        shutil.rmtree(store)
    toy.start()
    toy.add(3_000)
    toy.wait_until_done()
    toy.stop()
    toy.start(version="2")
    toy.add(3_000)
    toy.wait_until_done()
    toy.stop()
    for partition in range(toy.partitions):
        assert len(list(toy.folder.glob(f"toy*/worker-*/{partition}/*"))) == 2
    assert toy.check()["CounterRaised"] == len(toy.sent)
    assert toy.check_state() == toy.partitions


def test_recovery_after_a_kill_takes_seconds(make_toy: ToyFactory) -> None:
    """Who comes back under the same name need not wait until its predecessor's session is over, nor for its open
    transactions."""
    toy = make_toy()
    toy.environment = {"TOY_SESSION_S": str(LONG_SESSION_S)}
    toy.start()
    toy.add(10_000)
    toy.wait_until_done()
    toy.add(20_000)
    toy.kill(0)
    toy.start()
    toy.wait_until_done()
    assert _rejoined_s(toy.folder / "worker-1.log") < TRANSACTION_TIMEOUT_MS / 1_000 + MARGIN_S
    toy.stop()
    assert toy.check()["CounterRaised"] == len(toy.sent)


def _rejoined_s(log: Path) -> float:
    """From the moment when a worker had its slot until all partitions were open; starting Python is not counted."""
    times = []
    for what in ("starting ", r"assigned +partitions=\[0, 1, 2, 3\]"):
        found = re.search(rf"^(\d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d) .*{what}", log.read_text(), re.MULTILINE)
        assert found, f"no {what} in {log.read_text()}"
        times.append(datetime.strptime(found[1], "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC))
    return (times[1] - times[0]).total_seconds()
