"""The embedded broker: it takes records, survives kill -9, and leaves nothing behind."""

import socket
import subprocess
import sys
from pathlib import Path

import msgspec
import psutil
import pytest
from confluent_kafka import Consumer, Producer

from neural_hive.connectors.kafka_admin import check_brokers, ensure_topics
from neural_hive.connectors.kafka_embedded import EmbeddedKafka, KafkaFailed
from neural_hive.connectors.ports import HOST
from neural_hive.schemas.topics import TOPICS
from tests.conftest import TopicFactory


def _send(bootstrap: str, topic: str, value: bytes) -> None:
    failures: list[object] = []
    producer = Producer({"bootstrap.servers": bootstrap, "enable.idempotence": True})
    producer.produce(topic, value, partition=0, on_delivery=lambda error, _: error and failures.append(error))
    assert producer.flush(30) == 0
    assert failures == []


def _values(bootstrap: str, topic: str, count: int) -> list[bytes]:
    consumer = Consumer(
        {"bootstrap.servers": bootstrap, "group.id": f"read-{topic}", "auto.offset.reset": "earliest"}
    )
    consumer.subscribe([topic])
    try:
        messages = consumer.consume(count, timeout=90)
        return [message.value() or b"" for message in messages]
    finally:
        consumer.close()


def test_a_record_comes_back(kafka: EmbeddedKafka, topic_factory: TopicFactory) -> None:
    topic = topic_factory()
    _send(kafka.bootstrap, topic, b"one")
    assert _values(kafka.bootstrap, topic, 1) == [b"one"]


def test_a_killed_broker_comes_back_with_its_records(
    kafka: EmbeddedKafka, topic_factory: TopicFactory
) -> None:
    topic = topic_factory()
    _send(kafka.bootstrap, topic, b"before")
    old = kafka.child(1).pid
    kafka.kill(1)
    assert not psutil.pid_exists(old)
    kafka.start(1)
    _send(kafka.bootstrap, topic, b"after")
    assert _values(kafka.bootstrap, topic, 2) == [b"before", b"after"]


@pytest.mark.slow
def test_three_brokers_lose_one_and_go_on(tmp_path: Path) -> None:
    with EmbeddedKafka(tmp_path, brokers=3) as cluster:
        check_brokers(cluster.bootstrap)
        topic = msgspec.structs.replace(TOPICS["plans.consensus"], name="plans.copied")
        ensure_topics(cluster.bootstrap, [topic], 1, cluster.replication)
        _send(cluster.bootstrap, topic.name, b"before")
        cluster.kill(2)
        _send(cluster.bootstrap, topic.name, b"with two")
        cluster.start(2)
        cluster.kill(1)
        _send(cluster.bootstrap, topic.name, b"with two others")
        assert _values(cluster.bootstrap, topic.name, 3) == [b"before", b"with two", b"with two others"]
        pids = [cluster.child(number).pid for number in cluster.numbers]
    assert not any(psutil.pid_exists(pid) for pid in pids)
    with pytest.raises(KafkaFailed, match="made with --brokers 3, not 1"):
        EmbeddedKafka(tmp_path).start_all()


def test_a_broker_dies_with_the_process_that_started_it(tmp_path: Path) -> None:
    starter = subprocess.Popen(
        [sys.executable, "-c", STARTER, str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert starter.stdout is not None
    with starter.stdout:
        broker = psutil.Process(int(starter.stdout.readline()))
    starter.kill()
    starter.wait()
    psutil.wait_procs([broker], timeout=60)
    assert not broker.is_running() or broker.status() == psutil.STATUS_ZOMBIE


STARTER = """
import sys, time
from pathlib import Path
from neural_hive.connectors.kafka_embedded import EmbeddedKafka
kafka = EmbeddedKafka(Path(sys.argv[1]))
kafka.start_all()
print(kafka.child(1).pid, flush=True)
time.sleep(1000)
"""


def test_a_taken_port_is_told_with_the_end_of_the_log(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind((HOST, 0))
        other.listen()
        broker = EmbeddedKafka(tmp_path, ports=[other.getsockname()[1]])
        with pytest.raises(
            KafkaFailed, match=r"broker 1 ended with exit code 1(.|\n)*Address already in use"
        ):
            broker.start_all()
