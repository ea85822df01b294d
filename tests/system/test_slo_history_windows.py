"""SLOs over metric windows that are defined after them, on the real broker and engine: each window counts once.

Many windows are sent, some of them twice, some that must be refused; one SLO was there before them. Each that comes
later counts the same, and so does SQL.
"""

import random
import time
from collections.abc import Iterator
from typing import Any, Final

import msgspec
import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from neural_hive.aggregates.metric_window import TOPIC, Bucket, MetricWindow
from neural_hive.aggregates.sla_window import DAY, MINUTE
from neural_hive.connectors.kafka_log import Offsets
from neural_hive.schemas.codec import encode_message
from neural_hive.schemas.envelope import Header
from neural_hive.schemas.topics import partition_of
from tests.conftest import note_undelivered
from tests.system.hive import Hive, eventually
from tests.system.slo_counts import is_counted

PARTITIONS: Final = 4
SERVICES, WINDOWS, DAYS = 24, 150, 20  # windows of each service, in so many days
TAIL = 50  # records that are left when the rest is deleted: who goes on needs the last one
SLO = """
kind: Slo
slo_id: {slo_id}
name: Everything is fast
slo_type: LATENCY
service_name: all
target: 0.9
window_kind: ROLLING
window_days: 30
indicator:
  source: TELEMETRY
  valid: "metric = 'latency_ms' AND value < 5000"
  good: "value <= 250"
  group_by: "{group_by}"
"""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


class Sent:
    """What was sent, and what an SLO must count of it."""

    def __init__(self, config: dict[str, Any]) -> None:
        self._producer = Producer(config | {"linger.ms": 20})
        self._chance = random.Random(3)
        self.good = self.valid = 0
        self.windows: list[MetricWindow] = []

    def windows_of(self, instance: str, count: int) -> None:
        """Windows that follow each other; each fifth is sent again, behind each seventh comes one that overlaps it."""
        now = time.time_ns() // 1_000 // MINUTE * MINUTE
        for number in range(count):
            ends_at = now - (count - number) * DAYS * DAY // count // MINUTE * MINUTE
            for service in range(SERVICES):
                slow = self._chance.randint(0, 3)
                made = MetricWindow(
                    f"service-{service}", "latency_ms", ends_at - MINUTE, ends_at, 10 + slow,
                    (Bucket(100.0, 4), Bucket(250.0, 5), Bucket(1000.0, slow)), instance=instance,
                )  # fmt: skip
                self.good += 9
                self.valid += 9 + slow
                self.windows.append(made)
                self.put(made)
                if number % 5 == 0:
                    self.put(made)
                if number % 7 == 0:
                    self.put(msgspec.structs.replace(made, events=999))
        self.flush()

    def put(self, window: MetricWindow) -> None:
        about = window.message_id, "MetricWindow", 1, window.service, window.service
        value = encode_message(Header(*about, "", "0" * 32, "0" * 16, "test"), msgspec.to_builtins(window))
        key = window.service.encode()
        self._producer.produce(TOPIC, value, key, partition_of(key, PARTITIONS), note_undelivered)
        self._producer.poll(0)

    def flush(self) -> None:
        assert self._producer.flush(60) == 0


@pytest.fixture(scope="module")
def hive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hive]:
    system = Hive(tmp_path_factory.mktemp("hive"), systems='["sla", "sli"]', seal="false")
    try:
        system.up()
        yield system
    finally:
        system.run("down")


@pytest.fixture(scope="module")
def sent(hive: Hive) -> Sent:
    """An SLO, and then windows, all counted as they came; a third of them before there was any SLO."""
    made = Sent(hive.kafka())
    made.windows_of("a", WINDOWS // 3)
    time.sleep(5)
    define(hive, "before")
    made.windows_of("b", 2 * WINDOWS // 3)
    is_counted(hive, "before", made)
    return made


def define(hive: Hive, slo_id: str, group_by: str = "") -> None:
    file = hive.data / f"{slo_id}.yaml"
    file.write_text(SLO.format(slo_id=slo_id, group_by=group_by))
    done = hive.run("slo", "apply", str(file), "--reason", "test")
    assert done.returncode == 0, done.stdout + done.stderr


def in_sql(hive: Hive) -> tuple[int, int]:
    """The windows themselves, counted again."""
    [row] = hive.rows(
        "SELECT toInt64(sumIf(events, value <= 250)) AS good, toInt64(sum(events)) AS valid FROM metric_events "
        "WHERE metric = 'latency_ms' AND value < 5000"
    )
    return int(row["good"]), int(row["valid"])


def test_whenever_an_slo_is_defined_it_counts_the_same_and_so_does_sql(hive: Hive, sent: Sent) -> None:
    define(hive, "after")
    is_counted(hive, "after", sent)
    assert eventually(lambda: in_sql(hive)) == (sent.good, sent.valid)
    shown = hive.run("slo", "history", "after")
    assert "100.00 %" in shown.stdout, shown.stdout + shown.stderr
    tested = hive.run("slo", "test", "after", "--over", "window", "--json")
    assert f'"valid": {sent.valid}' in tested.stdout.replace(",", ""), tested.stdout + tested.stderr


def test_what_is_sent_again_counts_for_nobody_again(hive: Hive, sent: Sent) -> None:
    for window in sent.windows[:: len(sent.windows) // 500]:
        sent.put(window)
    sent.flush()
    sent.windows_of("c", 5)
    for slo_id in ("before", "after"):
        is_counted(hive, slo_id, sent)


def test_budgets_by_a_field(hive: Hive, sent: Sent) -> None:
    define(hive, "split", group_by="service")
    is_counted(hive, "split", sent)
    [row] = hive.rows("SELECT uniqExact(budget_id) AS budgets FROM sli_minutes WHERE slo_id = 'split'")
    assert int(row["budgets"]) == SERVICES


def test_killed_whenever(hive: Hive, sent: Sent) -> None:
    names = [f"killed-{number}" for number in range(3)]
    for name in names:
        define(hive, name)
        time.sleep(random.Random(name).random() * 2)
        hive.wait_replaced("sli-history", hive.signal("sli-history"))
    for name in names:
        is_counted(hive, name, sent)


def test_from_the_archive_alone(hive: Hive, sent: Sent) -> None:
    """The windows, and the notes of which of them count."""
    config = hive.kafka()
    offsets = Offsets(config)
    for topic, table, tail in ((TOPIC, "messages", 0), ("sla.sources", "events", TAIL)):
        ends = {p: end for p, (_, end) in offsets.ranges(topic).items() if end}
        archived = (
            f"SELECT partition, max(offset) AS last FROM {table} WHERE topic = '{topic}' GROUP BY partition"
        )
        eventually(
            lambda archived=archived, ends=ends: all(
                {int(r["partition"]): int(r["last"]) for r in hive.rows(archived)}.get(p, -1) >= end - 2
                for p, end in ends.items()
            )
        )
        admin = AdminClient(config)  # kept: its answers come only while it lives
        places = [TopicPartition(topic, p, max(end - tail, 0)) for p, end in ends.items()]
        for deleted in admin.delete_records(places).values():
            deleted.result(60)
    hive.wait_replaced("sli-history", hive.signal("sli-history"))  # one that has read nothing yet
    define(hive, "archived")
    is_counted(hive, "archived", sent)
