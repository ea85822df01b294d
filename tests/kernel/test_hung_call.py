"""A call to Kafka that never comes back: the partition leaves it behind, and recovers from the log."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from neural_hive.streams.kernel import partition as kernel
from neural_hive.streams.kernel.partition import ABANDONED_MAX, Fenced, Partition, Place
from tests.toy.system import build


class HungProducer:
    """Waits until the test is over, as librdkafka's does when its broker was killed in mid-transaction."""

    def __init__(self) -> None:
        self.released = threading.Event()

    def begin_transaction(self) -> None:
        pass

    def send_offsets_to_transaction(self, *_: Any) -> None:
        self.released.wait(60)


class Group:
    def consumer_group_metadata(self) -> None:
        return None


@pytest.fixture
def hung(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A partition whose producer never answers."""
    monkeypatch.setattr(kernel, "OFFSETS_TIMEOUT_S", 0.02)
    place = Place({}, tmp_path, {}, {}, "logic", "state", 1.0, read=lambda value: None)  # type: ignore[arg-type, return-value]
    partition: Any = Partition(build(), 0, place, {})
    partition._producer, partition._group = HungProducer(), Group()
    yield partition
    partition._producer.released.set()


def test_a_call_that_hangs_is_left_and_the_process_ends_when_too_many_do(hung: Any) -> None:
    for _ in range(ABANDONED_MAX):
        with pytest.raises(kernel._Indefinite, match="no answer to the offsets"):
            hung._transact([], {})
    with pytest.raises(Fenced, match="never came back"):
        hung._transact([], {})
