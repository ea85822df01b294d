"""Partitions of a broker that was killed: their ends are told as soon as another one leads them."""

import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import pytest
from confluent_kafka import OFFSET_INVALID, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from neural_hive.connectors import kafka_offsets
from neural_hive.connectors.kafka_embedded import EmbeddedKafka
from neural_hive.connectors.kafka_offsets import Offsets, end_offsets
from neural_hive.connectors.ports import HOST
from neural_hive.streams.kernel.partition_log import Indefinite, KafkaPartitionLog
from tests.conftest import wait_known

PARTITIONS = 6
UNKNOWN = -7  # the answer of a client that calls the partition unknown
DESTROYED = -8  # of one whose connection ends while it asks
CORE_PART_MAX = 0.3  # of a core that waiting for a leader may take
TOLD_WITHIN_S = 25.0  # a new leader comes after 6 to 9 s; one call to the old one takes 30


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedKafka]:
    with EmbeddedKafka(tmp_path_factory.mktemp("three"), 3) as kafka:
        admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
        admin.create_topics([NewTopic("spread", PARTITIONS, 3)])["spread"].result(60)
        for port in kafka.ports:  # one broker may hear of it later than another
            wait_known(AdminClient({"bootstrap.servers": f"{HOST}:{port}"}), {"spread": PARTITIONS})
        yield kafka


class Fake:
    """A client whose answers are given: errors, and offsets."""

    def __init__(self, *answers: int) -> None:
        self.answers = list(answers)

    def offsets_for_times(self, asked: list[TopicPartition], _: float) -> list[TopicPartition]:
        answer = self.answers.pop(0)
        if answer == UNKNOWN:
            raise KafkaException(KafkaError(KafkaError._UNKNOWN_PARTITION))
        if answer == DESTROYED:
            raise KafkaException(KafkaError(KafkaError._DESTROY_BROKER))
        return [TopicPartition(at.topic, at.partition, answer) for at in asked]


def test_a_client_that_knows_a_partition_no_more_is_replaced(three: EmbeddedKafka) -> None:
    kafka = {"bootstrap.servers": three.bootstrap}
    log: Any = KafkaPartitionLog(kafka, "toy", "toy.0", 0, 1.0)
    log._offsets._consumer = Fake(UNKNOWN)
    with pytest.raises(Indefinite, match="Unknown partition"):
        log.range("spread")
    assert log.range("spread") == (0, 0)


@pytest.mark.parametrize("answer", [OFFSET_INVALID, DESTROYED])
def test_no_offset_does_not_pass_for_one(monkeypatch: pytest.MonkeyPatch, answer: int) -> None:
    clients = iter([Fake(answer), Fake(0, 7)])
    monkeypatch.setattr(kafka_offsets, "Consumer", lambda _: next(clients))
    assert Offsets({}).range(("spread", 0)) == (0, 7)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_ends_are_told_as_soon_as_there_is_another_leader(three: EmbeddedKafka) -> None:
    kafka = {"bootstrap.servers": three.bootstrap}
    places = [("spread", number) for number in range(PARTITIONS)]
    assert set(end_offsets(kafka, places)) == set(places)

    # In a process of its own: clients of other tests take processor time as well.
    with ProcessPoolExecutor(1, get_context("spawn")) as elsewhere:
        elsewhere.submit(time.sleep, 0).result(60)  # it has begun
        three.kill(2)
        told, waited_s, cpu_s = elsewhere.submit(_asked, kafka, places).result(120)
    assert told == set(places)
    assert waited_s < TOLD_WITHIN_S
    assert cpu_s < CORE_PART_MAX * waited_s + 0.3


def _asked(kafka: dict[str, str], places: list[tuple[str, int]]) -> tuple[set[tuple[str, int]], float, float]:
    """Whose ends are told, how long that took, s, and how much of it this process computed."""
    began, cpu_began = time.monotonic(), time.process_time()
    told = set(end_offsets(kafka, places))
    return told, time.monotonic() - began, time.process_time() - cpu_began
