"""The committed log, read from an offset to an end: past markers and aborted records, and never waiting for ever."""

from collections.abc import Iterator

import pytest
from confluent_kafka import Producer

from neural_hive.connectors.kafka_embedded import EmbeddedKafka
from neural_hive.connectors.kafka_log import (
    CommittedLog,
    LostLog,
    StalledLog,
    UnreadableLog,
    begin_offsets,
    end_offsets,
    read_committed,
)
from tests.conftest import TopicFactory


class Topic:
    """A topic of one partition with a transactional writer."""

    def __init__(self, bootstrap: str, name: str) -> None:
        self.name, self.config = name, {"bootstrap.servers": bootstrap}
        self.writer = Producer({**self.config, "transactional.id": name, "retry.backoff.ms": 1})
        self.writer.init_transactions(30)

    def begin(self, *values: bytes) -> None:
        self.writer.begin_transaction()
        for value in values:
            self.writer.produce(self.name, value, b"k", 0, headers=[("name", b"1"), ("none", None)])
        self.writer.flush(30)

    def write(self, *values: bytes, commit: bool = True) -> None:
        self.begin(*values)
        (self.writer.commit_transaction if commit else self.writer.abort_transaction)(30)

    @property
    def end(self) -> int:
        return end_offsets(self.config, [(self.name, 0)])[self.name, 0]

    def log(self, first: int = 0, end: int | None = None, stall_s: float = 2) -> CommittedLog:
        return CommittedLog(self.config, self.name, 0, first, end, stall_s)


@pytest.fixture
def topic(kafka: EmbeddedKafka, topic_factory: TopicFactory) -> Iterator[Topic]:
    yield Topic(kafka.bootstrap, topic_factory("log", partitions=1))


def test_reads_what_is_committed_and_ends_behind_markers(topic: Topic) -> None:
    topic.write(b"a", b"b")  # offsets 0, 1 and a marker
    topic.write(b"never", commit=False)  # 3 and a marker
    topic.write(b"c")  # 5 and a marker
    topic.write(b"never", b"never", commit=False)  # 7, 8 and a marker
    log = topic.log()
    records = list(log)
    assert [(r.offset, r.value) for r in records] == [(0, b"a"), (1, b"b"), (5, b"c")]
    assert log.position == topic.end == 10
    assert records[0].headers == (("name", b"1"), ("none", None))
    assert records[0].timestamp_ms > 1_500_000_000_000


def test_a_range_ends_before_its_end_also_within_a_transaction(topic: Topic) -> None:
    topic.write(b"a", b"b", b"c")
    assert [r.value for r in topic.log(1, 2)] == [b"b"]
    assert list(topic.log(2, 2)) == []
    assert [r.value for r in read_committed(topic.config, topic.name, 0, 1, None)] == [b"b", b"c"]
    assert begin_offsets(topic.config, [(topic.name, 0)]) == {(topic.name, 0): 0}


def test_an_open_transaction_stalls_and_goes_on_when_it_ends(topic: Topic) -> None:
    topic.write(b"a")
    topic.begin(b"open")
    assert end_offsets(topic.config, [(topic.name, 0)], "read_committed")[topic.name, 0] == 2
    with pytest.raises(StalledLog, match="committed only up to offset 2 of 3") as stalled:
        list(topic.log(stall_s=1))
    assert (stalled.value.at, stalled.value.end) == (2, 3)
    topic.writer.commit_transaction(30)
    assert [r.value for r in topic.log()] == [b"a", b"open"]


def test_what_is_not_there_is_said(topic: Topic) -> None:
    topic.write(b"a")
    with pytest.raises(LostLog, match="has no offset 50"):
        list(topic.log(50, 60))
    with pytest.raises(UnreadableLog, match=r"no\.such\.topic"):
        list(CommittedLog(topic.config, "no.such.topic", 0, 0, None))
