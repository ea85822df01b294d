"""A call to Kafka that never comes back: the partition leaves it behind, and recovers from the log."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from neural_hive.streams.kernel import partition_log as kernel
from neural_hive.streams.kernel.partition_log import ABANDONED_MAX, Fenced, Indefinite, KafkaPartitionLog


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
def hung(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The log of a partition whose producer never answers."""
    monkeypatch.setattr(kernel, "OFFSETS_TIMEOUT_S", 0.02)
    log: Any = KafkaPartitionLog({}, "toy", "toy.0", 0, 1.0)
    log._producer, log._offsets._consumer = HungProducer(), Group()
    yield log
    log._producer.released.set()


def test_a_call_that_hangs_is_left_and_the_process_ends_when_too_many_do(hung: Any) -> None:
    for _ in range(ABANDONED_MAX):
        with pytest.raises(Indefinite, match="no answer to the offsets"):
            hung.commit([], {"inputs": 1})
    with pytest.raises(Fenced, match="never came back"):
        hung.commit([], {"inputs": 1})
