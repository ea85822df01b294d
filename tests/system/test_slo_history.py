"""SLOs defined after their events, on the real broker and engine: killed, two at once, from the archive alone.

Many tickets are written into the log as the orchestrator would have; one SLO was there before them. Each that comes
later counts the same.
"""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from neural_hive.aggregates.aggregate import Event
from neural_hive.aggregates.identity import derived_id
from neural_hive.aggregates.ticket import TicketCompleted, TicketCreated, TicketFailed
from neural_hive.aggregates.ticketing import tickets_of
from neural_hive.connectors.kafka_log import Offsets
from neural_hive.schemas.codec import encode_event
from neural_hive.schemas.envelope import Envelope
from neural_hive.schemas.topics import partition_of
from tests.aggregates.making import decision, task
from tests.conftest import note_undelivered
from tests.system.hive import Hive, eventually
from tests.system.slo_counts import is_counted

TOPIC, PARTITIONS = "execution.tickets", 4
TICKETS = 12_000
DAYS = 20  # in which they have ended
SLO = """
kind: Slo
slo_id: {slo_id}
name: Tickets of the cart
slo_type: AVAILABILITY
service_name: cart
target: 0.9
window_kind: ROLLING
window_days: 30
indicator:
  source: TICKETS
  valid: "service = 'cart'"
  good: "status = 'COMPLETED' AND duration_ms <= 4000"
  group_by: "{group_by}"
"""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


class Written:
    """What was written, and what an SLO must count of it."""

    def __init__(self, config: dict[str, Any]) -> None:
        self._producer = Producer(config | {"linger.ms": 20})
        self._count = 0
        self.good = self.valid = 0

    def tickets(self, count: int) -> None:
        """Tickets from their beginning to their end; each fifth fails once before, each seventh took too long."""
        now = time.time_ns() // 1_000 - 60_000_000
        created_at = now - (DAYS + 1) * 86_400_000_000
        (made,) = tickets_of(decision(task("a", parameters={"service": "cart"})), created_at)
        (other,) = tickets_of(decision(task("a", parameters={"service": "search"})), created_at)
        content = [msgspec.structs.asdict(made), msgspec.structs.asdict(other)]
        for number in range(count):
            workflow = f"w{number % 400}"
            ticket_id, is_other = f"t{self._count}-{number}", number % 3 == 0
            ended_at = now - (count - number) * DAYS * 86_400_000_000 // count
            self._put(workflow, ticket_id, TicketCreated(**content[is_other]))
            about = (ticket_id, workflow)
            if number % 5 == 0:
                failed = (ended_at - 9_000_000, ended_at - 8_000_000, 1, {}, (), "it broke")
                self._put(workflow, ticket_id, TicketFailed(*about, 1, "a", *failed))
                self.valid += not is_other
            took = 5_000_000 if number % 7 == 0 else 1_000_000
            done = (ended_at - took, ended_at, 0, {}, ())
            self._put(workflow, ticket_id, TicketCompleted(*about, 2, "a", *done))
            self.valid += not is_other
            self.good += not is_other and number % 7 != 0
        assert self._producer.flush(60) == 0
        self._count += 1

    def _put(self, workflow: str, ticket_id: str, event: Event) -> None:
        name = type(event).__name__
        head = Envelope(
            name, "ticket", 1, "l", "p", derived_id(name, ticket_id, str(getattr(event, "attempt", 0))), ticket_id, 1,
            1, workflow, "c", "0" * 32, "0" * 16, 1, "", 0, 0, bytes(32),
        )  # fmt: skip
        value = encode_event(head, msgspec.to_builtins(event))
        key = workflow.encode()
        self._producer.produce(TOPIC, value, key, partition_of(key, PARTITIONS), note_undelivered)
        self._producer.poll(0)


@pytest.fixture(scope="module")
def hive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hive]:
    system = Hive(tmp_path_factory.mktemp("hive"), systems='["sla", "sli"]', seal="false")
    try:
        system.up()
        yield system
    finally:
        system.run("down")


@pytest.fixture(scope="module")
def written(hive: Hive) -> Written:
    """An SLO, and then its tickets, all counted as they came."""
    define(hive, "before")
    made = Written(hive.kafka())
    made.tickets(TICKETS)
    is_counted(hive, "before", made)
    return made


def define(hive: Hive, slo_id: str, group_by: str = "") -> None:
    file = hive.data / f"{slo_id}.yaml"
    file.write_text(SLO.format(slo_id=slo_id, group_by=group_by))
    done = hive.run("slo", "apply", str(file), "--reason", "test")
    assert done.returncode == 0, done.stdout + done.stderr


def history(hive: Hive, slo_id: str) -> dict[str, Any]:
    rows = hive.rows(f"SELECT * FROM slo_history WHERE slo_id = '{slo_id}'")
    return rows[0] if rows else {}


def by_time(hive: Hive, slo_id: str) -> list[dict[str, Any]]:
    """What counts in each hour: minutes are known for three days."""
    return hive.rows(
        f"SELECT toStartOfHour(minute) AS hour, sum(good) AS good, sum(valid) AS valid FROM sli_minutes "
        f"WHERE slo_id = '{slo_id}' GROUP BY hour ORDER BY hour"
    )


def test_one_that_is_defined_after_its_events_equals_one_from_before(hive: Hive, written: Written) -> None:
    define(hive, "after")
    is_counted(hive, "after", written)
    assert by_time(hive, "after") == by_time(hive, "before")
    found = history(hive, "after")
    assert (found["is_counted"], found["share"], int(found["lost_offsets"])) == (True, 1, 0)
    shown = hive.run("slo", "history", "after")
    assert "100.00 %" in shown.stdout, shown.stdout + shown.stderr


def test_what_comes_afterwards_counts_for_both(hive: Hive, written: Written) -> None:
    written.tickets(500)
    for slo_id in ("before", "after"):
        is_counted(hive, slo_id, written)


def test_budgets_by_a_field(hive: Hive, written: Written) -> None:
    define(hive, "split", group_by="agent_id")
    is_counted(hive, "split", written)
    assert hive.rows("SELECT DISTINCT budget_id FROM sli_minutes WHERE slo_id = 'split'") == [
        {"budget_id": "split@1/a"}
    ]


def test_killed_whenever(hive: Hive, written: Written) -> None:
    chance = random.Random(7)
    names = [f"killed-{number}" for number in range(5)]
    for name in names:
        define(hive, name)
        time.sleep(chance.random() * 2)
        pid = hive.signal("sli-history")
        hive.wait_replaced("sli-history", pid)
    for name in names:
        is_counted(hive, name, written)
    assert hive.log("dead.letters") == []


def test_killed_between_two_ranges_of_one_slo(hive: Hive, written: Written) -> None:
    """It is stopped when one partition is taken; the next one goes on where it was."""
    pid = hive.signal("sli-history", signal.SIGSTOP)
    define(hive, "halves")
    os.kill(pid, signal.SIGCONT)
    process = psutil.Process(pid)
    eventually(lambda: ranges(hive, "halves") and (process.suspend() or True), timeout_s=60)
    os.kill(pid, signal.SIGKILL)
    is_counted(hive, "halves", written)
    assert hive.log("dead.letters") == []


def ranges(hive: Hive, slo_id: str) -> list[Any]:
    found = [decoded for _, decoded in hive.log("sla.history") if decoded.schema.name == "HistoryCounted"]
    return [decoded for decoded in found if decoded.payload["slo_id"] == slo_id]


def test_two_at_once(hive: Hive, written: Written) -> None:
    line = [sys.executable, "-m", "neural_hive.cli", "sli-history", "--data", str(hive.data)]
    with (hive.data / "second.log").open("w") as log:
        second = subprocess.Popen(line, env=hive.environment, stdout=log, stderr=log)
    try:
        time.sleep(3)
        for number in range(3):
            define(hive, f"twice-{number}")
        for number in range(3):
            is_counted(hive, f"twice-{number}", written)
        assert second.poll() is None, Path(log.name).read_text()
    finally:
        second.terminate()
        assert second.wait(30) == 0
    assert hive.log("dead.letters") == []


def test_from_the_archive_alone(hive: Hive, written: Written) -> None:
    config = hive.kafka()
    ends = {p: end for p, (_, end) in Offsets(config).ranges(TOPIC).items()}
    archived = "SELECT partition, max(offset) AS last FROM events WHERE topic = '{}' GROUP BY partition"
    eventually(
        lambda: {r["partition"]: int(r["last"]) + 1 for r in hive.rows(archived.format(TOPIC))} == ends
    )
    places = [TopicPartition(TOPIC, partition, end) for partition, end in ends.items()]
    admin = AdminClient(config)  # kept: its answers come only while it lives
    for deleted in admin.delete_records(places).values():
        deleted.result(60)
    define(hive, "archived")
    is_counted(hive, "archived", written)
    assert int(history(hive, "archived")["lost_offsets"]) == 0
    assert by_time(hive, "archived") == by_time(hive, "before")
