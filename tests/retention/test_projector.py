"""Kafka has deleted what the projector had archived: it goes on, and its tables are whole."""

import json
import subprocess
import sys
from collections.abc import Callable

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from neural_hive.connectors.kafka_log import end_offsets
from neural_hive.projections.catalogue import PROJECTIONS
from neural_hive.projections.comparing import compare
from neural_hive.projections.positions import read_standing
from neural_hive.projections.tickets import TICKETS
from tests.fixtures_clickhouse import ClickHouseServer
from tests.projections.conftest import follower, log
from tests.projections.support import Follower, Log, completed, dead_letter, ready, started

pytestmark = pytest.mark.long

__all__ = ["follower", "log"]
Make = Callable[..., Follower]
COUNT = 50


def _write(log: Log, name: str) -> None:
    for partition in (0, 1):
        tickets = [f"{name}-{partition}-{n}" for n in range(COUNT)]
        log.write(log.events, [ready(t) for t in tickets], partition)
        log.write(log.events, [started(t) for t in tickets], partition)
        log.write(log.inputs, [dead_letter(t.encode()) for t in tickets], partition)
        log.write(log.events, [completed(t) for t in tickets], partition)


def _delete(log: Log, but: int = 0) -> None:
    """Deletes all but the last offsets of each partition."""
    places = [(topic, partition) for topic in log.kinds for partition in (0, 1)]
    ends = end_offsets(log.config, places)
    admin = AdminClient(log.config)
    wanted = [TopicPartition(*place, end - but) for place, end in ends.items()]
    for deleted in admin.delete_records(wanted).values():
        deleted.result(60)


def _archive(follower: Make, tickets: int) -> None:
    """Stops it as soon as the last table has all."""
    with follower().running() as f:
        f.wait_rows("tickets", tickets)
        f.wait_rows("dead_letters", tickets)
    assert f.failure is None


def _is_whole(f: Follower, tickets: int) -> None:
    assert f.one("SELECT count() FROM events") == tickets * 3
    assert f.one("SELECT count() FROM tickets WHERE status = 'COMPLETED'") == tickets
    assert f.one("SELECT count() FROM dead_letters") == tickets
    for projection in PROJECTIONS:
        assert compare(f.store, projection).equal, projection.name


def test_it_goes_on_although_all_that_it_archived_is_deleted(log: Log, follower: Make) -> None:
    """Told to stop right after the last record, it has still told of the marker behind it."""
    _write(log, "first")
    _archive(follower, COUNT * 2)
    _delete(log)
    _write(log, "second")
    _archive(follower, COUNT * 4)
    _is_whole(follower(), COUNT * 4)


def test_a_table_that_is_filled_anew_is_whole(log: Log, follower: Make) -> None:
    _write(log, "first")
    _archive(follower, COUNT * 2)
    _delete(log)
    f = follower()
    f.store.command(f"TRUNCATE TABLE {TICKETS.table}")
    f.store.command("INSERT INTO read_models (name, definition, archived) VALUES ('tickets', 'another', 0)")
    _archive(follower, COUNT * 2)
    _is_whole(f, COUNT * 2)
    assert f.one(f"SELECT count() FROM {TICKETS.table}") == COUNT * 6


def test_a_batch_that_was_archived_and_no_more_is_finished_without_the_log(
    log: Log, clickhouse: ClickHouseServer, database: str, follower: Make
) -> None:
    """Killed between archive and read models; then Kafka deletes the records. Nothing of them is needed any more."""
    _write(log, "first")
    told = {
        "host": clickhouse.host,
        "port": clickhouse.port,
        "user": clickhouse.user,
        "password": clickhouse.password,
        "database": database,
        "config": log.config,
        "kinds": {name: kind.value for name, kind in log.kinds.items()},
        "step": "messages",
        "count": 1,
    }
    module = "tests.projections.dying_projector"
    assert subprocess.run([sys.executable, "-m", module, json.dumps(told)], check=False).returncode == -9
    assert read_standing(follower().store).pending
    _delete(log, but=1)
    _archive(follower, COUNT * 2)
    _is_whole(follower(), COUNT * 2)
