"""Partitions of a broker that was killed: their ends are told as soon as another one leads them."""

import time
from collections.abc import Iterator
from concurrent.futures import Future
from typing import Any

import pytest
from confluent_kafka import OFFSET_INVALID, KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, ListOffsetsResultInfo, NewTopic

from neural_hive.connectors import kafka_log
from neural_hive.connectors.kafka_embedded import EmbeddedKafka
from neural_hive.connectors.kafka_log import Ranges, begin_offsets, end_offsets
from neural_hive.connectors.ports import HOST
from neural_hive.streams.kernel.partition_log import Indefinite, KafkaPartitionLog
from tests.conftest import wait_known

PARTITIONS = 6
TOLD_WITHIN_S = 25.0  # a new leader comes after 6 to 9 s; one call to the old one takes 30


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedKafka]:
    with EmbeddedKafka(tmp_path_factory.mktemp("three"), 3) as kafka:
        admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
        admin.create_topics([NewTopic("spread", PARTITIONS, 3)])["spread"].result(60)
        for port in kafka.ports:  # one broker may hear of it later than another
            wait_known(AdminClient({"bootstrap.servers": f"{HOST}:{port}"}), {"spread": PARTITIONS})
        yield kafka


class LostItsWay:
    """A client that calls a partition unknown, as librdkafka's may for ever once a broker has died under it."""

    def get_watermark_offsets(self, *_: Any) -> None:
        raise KafkaException(KafkaError(KafkaError._UNKNOWN_PARTITION))


@pytest.mark.timeout(200)
def test_a_client_that_knows_a_partition_no_more_is_replaced(three: EmbeddedKafka) -> None:
    kafka = {"bootstrap.servers": three.bootstrap}
    log: Any = KafkaPartitionLog(kafka, "toy", "toy.0", 0, 1.0)
    log._ranges = Ranges(kafka, LostItsWay())
    with pytest.raises(Indefinite, match="Unknown partition"):
        log.range("spread")
    assert log.range("spread") == (0, 0)


class KnowsNothing:
    """A client that could not ask the leader, says no offset, and calls that no error; then one that could."""

    def __init__(self) -> None:
        self.offsets = [OFFSET_INVALID, 7]

    def list_offsets(self, wanted: Any, **_: Any) -> dict[Any, Future[ListOffsetsResultInfo]]:
        answer: Future[ListOffsetsResultInfo] = Future()
        answer.set_result(ListOffsetsResultInfo(self.offsets.pop(0), 0, -1))
        return dict.fromkeys(wanted, answer)

    def get_watermark_offsets(self, *_: Any) -> tuple[int, int]:
        return 0, self.offsets.pop(0)


def test_no_offset_does_not_pass_for_one(monkeypatch: pytest.MonkeyPatch) -> None:
    client: Any = KnowsNothing()
    assert Ranges({}, client).of_partition("spread", 0) == (0, 7)
    monkeypatch.setattr(kafka_log, "_new_admin", lambda _: KnowsNothing())
    assert begin_offsets({}, [("spread", 0)]) == end_offsets({}, [("spread", 0)]) == {("spread", 0): 7}


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_ends_are_told_as_soon_as_there_is_another_leader(three: EmbeddedKafka) -> None:
    kafka = {"bootstrap.servers": three.bootstrap}
    places = [("spread", number) for number in range(PARTITIONS)]
    assert set(end_offsets(kafka, places)) == set(places)

    three.kill(2)

    began = time.monotonic()
    assert set(end_offsets(kafka, places)) == set(places)
    assert time.monotonic() - began < TOLD_WITHIN_S
