"""More than a processor can do, and batches that become very large: its memory has limits, and all is answered."""

import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Producer

from tests.conftest import note_undelivered
from tests.hostile.memory_use import forget_peak, peak_mb
from tests.hostile.slow_system import SLOW
from tests.kernel.conftest import ToyFactory
from tests.toy.harness import Toy

FLOOD = 20_000
AROUND_BYTES = 30_000  # headers of each record of the flood: 600 MB in all
OVER_S = 5.0  # so long the flood stands before the slow processor
FLOOD_MB_MAX = 300  # what may wait in four partitions, and what comes of it
BOMB_RECORD_BYTES = 4 << 20
SMALL_RECORDS, LARGE_RECORDS = 15, 25  # 60 MB, which is unpacked, and 100 MB, which is not
BOMBS = 6
BOMBS_MB_MAX = 450


def _running(toy: Toy) -> int:
    """Starts a worker, lets it come to rest, and gives its pid."""
    toy.start()
    toy.add(100)
    toy.wait_until_done()
    return toy.workers[0].pid


@pytest.mark.slow
def test_a_flood_waits_in_the_log_and_is_answered_in_order(make_toy: ToyFactory, tmp_path: Path) -> None:
    """Each partition does 20 messages a second, and gets a hundred times as many."""
    toy, slow = make_toy(), tmp_path / "slow"
    toy.module, toy.environment = "tests.hostile.slow_system", {SLOW: str(slow)}
    pid = _running(toy)
    toy.producer = Producer(toy.config | {"partitioner": "murmur2_random", "compression.type": "lz4"})
    slow.touch()
    before_mb, began = forget_peak(pid), time.monotonic()
    headers = [("around", bytes(AROUND_BYTES))]
    for number in range(FLOOD):
        topic = (toy.commands, toy.results)[number % 2]
        toy.send(topic, "AddToCounter", f"counter-{number % 500}", {"amount": 1}, headers=headers)
    assert toy.producer.flush(120) == 0
    published_s = time.monotonic() - began
    time.sleep(OVER_S)
    behind = toy.lag()
    slow.unlink()
    toy.wait_until_done()
    grown_mb = peak_mb(pid) - before_mb
    print(
        f"{FLOOD} published in {published_s:.1f} s, {behind} waited, {grown_mb} MB more than {before_mb} before"
    )
    assert behind > FLOOD / 2
    assert toy.workers[0].poll() is None
    toy.stop()
    assert grown_mb < FLOOD_MB_MAX
    assert toy.check()["CounterRaised"] == FLOOD + 100
    _check_order(toy)


def _check_order(toy: Toy) -> None:
    """Of each input partition the records were answered in their order."""
    answered: dict[tuple[str, int], list[int]] = defaultdict(list)
    for _, envelope, _ in toy.events(toy.event_topics[0]):
        answered[envelope.source_topic, envelope.source_partition].append(envelope.source_offset)
    assert len(answered) == 2 * toy.partitions
    for place, offsets in answered.items():
        assert offsets == sorted(offsets), f"{place} was answered out of order"


def _bomb(toy: Toy, codec: str, records: int) -> None:
    """So many records of nothing but zeros in one batch."""
    producer = Producer(
        toy.config
        | {
            "compression.type": codec,
            "linger.ms": 60_000,  # until the flush
            "message.max.bytes": 1_000_000_000,
            "batch.size": 1_000_000_000,
            "queue.buffering.max.kbytes": 2_000_000,
        }
    )
    for _ in range(records):
        producer.produce(toy.commands, bytes(BOMB_RECORD_BYTES), b"bomb", 0, on_delivery=note_undelivered)
    assert producer.flush(120) == 0


@pytest.fixture
def bombed(make_toy: ToyFactory) -> Iterator[tuple[Toy, int, int]]:
    """A toy system that was sent bombs, its worker, and the memory that this had before."""
    toy = make_toy()
    pid = _running(toy)
    before_mb = forget_peak(pid)
    for _ in range(BOMBS):
        _bomb(toy, "lz4", SMALL_RECORDS)
    for codec in ("lz4", "zstd", "gzip"):
        _bomb(toy, codec, LARGE_RECORDS)
    yield toy, pid, before_mb


@pytest.mark.slow
def test_batches_that_are_many_times_larger_unpacked(bombed: tuple[Toy, int, int]) -> None:
    toy, pid, before_mb = bombed
    toy.add(200)
    toy.wait_until_done()
    grown_mb = peak_mb(pid) - before_mb
    print(f"{grown_mb} MB more than the {before_mb} before")
    assert toy.workers[0].poll() is None
    toy.stop()
    assert grown_mb < BOMBS_MB_MAX
    letters = toy.dead_letters()
    refused = [letter for letter in letters if "bytes once decompressed" in letter["reason"]]
    assert len(refused) == 3 * LARGE_RECORDS
    assert len(letters) - len(refused) == BOMBS * SMALL_RECORDS
    assert toy.check()["CounterRaised"] == 300
