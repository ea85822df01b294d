"""Telemetry on a real broker that dies and comes back: nothing is lost, doubled or out of order, and nobody waits."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from prometheus_client import REGISTRY

from neural_hive.connectors.kafka_admin import ensure_topics
from neural_hive.connectors.kafka_embedded import EmbeddedKafka
from neural_hive.connectors.kafka_log import end_offsets, read_committed
from neural_hive.connectors.publisher import Publisher
from neural_hive.schemas.codec import decode
from neural_hive.schemas.topics import TOPICS
from neural_hive.streams.flow_c.steps import STEPS_TOPIC, Step, messages
from neural_hive.streams.telemetry import Buffer, Telemetry

WAIT_S = 120
WORKFLOW = "w-1"  # all in one partition, so that their order can be seen


def steps(first: int, last: int) -> list[Step]:
    return [
        Step(WORKFLOW, "p", "C5", "COMPLETED", float(n), 1_000_000 + n, f"t-{n}", "TEST", 1)
        for n in range(first, last)
    ]


def durations(kafka: EmbeddedKafka) -> list[float]:
    config = {"bootstrap.servers": kafka.bootstrap}
    [end] = end_offsets(config, [(STEPS_TOPIC, 0)]).values()
    return [
        decode(record.value or b"", "message").payload["duration_ms"]
        for record in read_committed(config, STEPS_TOPIC, 0, 0, end)
    ]


def wait_until(true: Callable[[], bool]) -> None:
    until = time.monotonic() + WAIT_S
    while not true():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.05)


def buffered() -> float:
    return REGISTRY.get_sample_value("neural_hive_flow_c_telemetry_buffer_size") or 0.0


def dropped(reason: str) -> float:
    return REGISTRY.get_sample_value("neural_hive_flow_c_telemetry_dropped_total", {"reason": reason}) or 0.0


@pytest.mark.slow
def test_a_broker_that_dies_and_comes_back(tmp_path: Path) -> None:
    with EmbeddedKafka(tmp_path) as kafka:
        ensure_topics(kafka.bootstrap, [TOPICS[STEPS_TOPIC]], partitions=1)
        config = {"bootstrap.servers": kafka.bootstrap}
        telemetry = Telemetry(Buffer(lambda: Publisher(config, "test")))
        telemetry.put(messages(steps(0, 500)))
        wait_until(lambda: buffered() == 0)

        kafka.kill(1)
        began = time.monotonic()
        for n in range(500, 3_000, 10):
            telemetry.put(messages(steps(n, n + 10)))
        assert time.monotonic() - began < 1, "who measures must not wait for Kafka"
        assert buffered() == 2_500
        time.sleep(2)
        assert buffered() == 2_500

        kafka.start(1)
        wait_until(lambda: buffered() == 0)
        telemetry.put(messages(steps(3_000, 3_100)))
        telemetry.close(30)
        assert durations(kafka) == [float(n) for n in range(3_100)]


@pytest.mark.slow
def test_what_is_too_old_when_the_broker_comes_back_never_arrives(tmp_path: Path) -> None:
    with EmbeddedKafka(tmp_path) as kafka:
        ensure_topics(kafka.bootstrap, [TOPICS[STEPS_TOPIC]], partitions=1)
        config = {"bootstrap.servers": kafka.bootstrap}
        before = dropped("too_old")
        telemetry = Telemetry(Buffer(lambda: Publisher(config, "test"), age_max_s=3))
        telemetry.put(messages(steps(0, 10)))
        wait_until(lambda: buffered() == 0)
        kafka.kill(1)
        telemetry.put(messages(steps(10, 20)))
        wait_until(lambda: dropped("too_old") - before == 10)
        kafka.start(1)
        telemetry.put(messages(steps(20, 30)))
        telemetry.close(60)
        assert durations(kafka) == [float(n) for n in (*range(10), *range(20, 30))]


def test_closing_while_the_broker_is_away_ends_in_time_and_counts_what_is_lost() -> None:
    telemetry = Telemetry(Buffer(lambda: Publisher({"bootstrap.servers": "127.0.0.1:1"}, "test")))
    before = dropped("shutdown")
    telemetry.put(messages(steps(0, 10)))
    began = time.monotonic()
    telemetry.close(0.5)
    assert time.monotonic() - began < 5
    assert dropped("shutdown") - before == 10
