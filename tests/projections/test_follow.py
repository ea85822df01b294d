"""The projector on the real broker and the real engine: what arrives, what is refused, what stays."""

import time
from collections.abc import Callable

import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from neural_hive.connectors.kafka_log import read_committed
from neural_hive.projections.catalogue import PROJECTIONS
from neural_hive.projections.comparing import compare
from neural_hive.projections.positions import TakenOver
from neural_hive.projections.source import LogLost
from neural_hive.projections.tickets import TICKETS
from neural_hive.schemas.topics import Kind
from tests.projections.support import (
    Follower,
    Log,
    completed,
    dead_letter,
    failed,
    ready,
    report_start,
    started,
)

Make = Callable[..., Follower]


def test_events_and_messages_arrive_typed_and_as_they_lay_in_the_log(log: Log, follower: Make) -> None:
    log.write(log.events, [ready("t1"), started("t1")])
    log.write(log.events, [completed("never")], commit=False)
    log.write(log.events, [completed("t1")])
    log.write(log.events, [ready("t2")], partition=1)
    log.write(log.inputs, [report_start("t1"), dead_letter(b"\xfe\x00")])
    with follower().running() as f:
        f.wait_rows("events", 4)
        f.wait_rows("messages", 2)
        f.wait_rows("dead_letters", 1)
        [ticket] = f.store.rows(
            "SELECT status, agent_id, toUnixTimestamp64Micro(finished_at), exit_code, outputs['size'], "
            "artifacts[1].size_bytes, version FROM tickets WHERE ticket_id = 't1'"
        )
        assert ticket == ("COMPLETED", "agent-1", 1_795_365_762_000_009, 0, "3", 7, 3)
        assert f.store.rows("SELECT status, agent_id FROM tickets WHERE ticket_id = 't2'") == [
            ("READY", None)
        ]
        assert f.store.rows(
            "SELECT event_type, status FROM ticket_history WHERE ticket_id = 't1' ORDER BY version"
        ) == [
            ("TicketReady", "READY"),
            ("TicketStarted", "RUNNING"),
            ("TicketCompleted", "COMPLETED"),
        ]
        assert f.store.rows("SELECT reason, source_offset, hex(key), hex(value) FROM dead_letters") == [
            ("no such task", 17, "FF", "FE00")
        ]
        _archive_is_the_log(f, log)


def _archive_is_the_log(f: Follower, log: Log) -> None:
    for record in read_committed(log.config, log.events, 0, 0, None):
        [(value, key, stamp, headers)] = f.store.rows(
            "SELECT hex(value), key, toUnixTimestamp64Milli(timestamp), toJSONString(headers) FROM events "
            f"WHERE topic = '{log.events}' AND partition = 0 AND offset = {record.offset}"
        )
        assert record.value is not None
        assert (value, key, stamp) == (record.value.hex().upper(), "workflow-1", record.timestamp_ms)
        assert headers == '[{"name":"event_type","value":"x"},{"name":"nothing","value":null}]'


def test_input_that_cannot_be_decoded_is_kept_raw_beside_the_good(log: Log, few: Make) -> None:
    good = report_start("t1")
    bad = [
        b"",
        b"garbage",
        b"\0\0\0\0\1",
        good[:-2],
        good + b"\0",
        b"\0\xff\xff\xff\xff" + good[5:],
        None,
        ready("t1"),
    ]
    log.write(log.inputs, [good, *bad, good])
    with few().running() as f:
        f.wait_rows("messages", len(bad) + 2)
        assert (
            f.one("SELECT count() FROM messages WHERE decode_error = '' AND message_type = 'ReportStart'")
            == 2
        )
        assert f.one("SELECT count() FROM messages WHERE decode_error != ''") == len(bad)
        raw = f.store.rows("SELECT hex(value) FROM messages ORDER BY offset")
        assert raw == [(v if v is None else v.hex().upper(),) for v in [good, *bad, good]]


def test_event_that_cannot_be_decoded_stops_its_partition_before_it_and_no_other(log: Log, few: Make) -> None:
    log.write(log.events, [ready("t1"), completed("t1")[:-3], ready("t2")])
    log.write(log.events, [ready("t3")], partition=1)
    with few().running() as f:
        f.wait_rows("events", 2)
        log.write(log.events, [started("t3")], partition=1)
        f.wait_rows("events", 3)
        assert f.store.rows("SELECT DISTINCT ticket_id FROM tickets ORDER BY ticket_id") == [("t1",), ("t3",)]
        f.wait(lambda: not f.is_ready, "not ready while a partition is stopped")


def test_event_of_an_unknown_schema_stops_its_partition(log: Log, few: Make) -> None:
    log.write(log.events, [ready("t1"), b"\0\x7f\0\0\1" + ready("t2")[5:], ready("t3")])
    with few().running() as f:
        f.wait_rows("events", 1)
        time.sleep(0.5)
        assert f.one("SELECT count() FROM events") == 1
        assert not f.is_ready


def test_as_of_shows_what_was_current_then(log: Log, few: Make) -> None:
    with few().running() as f:
        seen: dict[str, str] = {}
        for step, value in enumerate([ready("t1"), started("t1"), failed("t1"), ready("t2")]):
            log.write(log.events, [value], partition=0)
            f.wait_rows("ticket_history", step + 1)
            moment = f.one("SELECT toString(max(timestamp)) FROM events")
            seen[moment] = f.digest("tickets")
            time.sleep(0.02)
        for moment, digest in seen.items():
            assert f.digest(f"tickets_as_of(at = '{moment}')") == digest
        assert f.one("SELECT count() FROM tickets_as_of(at = '2020-01-01 00:00:00')") == 0
        assert len(set(seen.values())) == 4


def test_as_of_ends_at_the_first_later_record_even_if_append_time_steps_back(log: Log, few: Make) -> None:
    with few().running() as f:
        f.wait(lambda: f.is_ready, "ready")
        f.store.command(
            "INSERT INTO events (topic, partition, offset, timestamp) VALUES ('x', 0, 0, '2026-01-01 00:00:01'), "
            "('x', 0, 1, '2026-01-01 00:00:09'), ('x', 0, 2, '2026-01-01 00:00:05')"
        )
        f.store.command(
            "INSERT INTO tickets_versions (ticket_id, topic, partition, offset, version, status) VALUES "
            "('t', 'x', 0, 0, 1, 'PENDING'), ('t', 'x', 0, 1, 2, 'READY'), ('t', 'x', 0, 2, 3, 'ASSIGNED')"
        )
        at = "SELECT status FROM tickets_as_of(at = '2026-01-01 00:00:0{}')"
        assert f.store.rows(at.format(0)) == []
        assert f.one(at.format(5)) == "PENDING"
        assert f.one(at.format(9)) == "ASSIGNED"


def test_read_model_added_later_is_filled_from_the_archive(log: Log, follower: Make) -> None:
    log.write(log.events, [ready("t1"), started("t1")])
    with follower(projections=(TICKETS,)).running() as f:
        f.wait_rows("tickets_versions", 2)
    log.write(log.events, [failed("t1")])
    with follower().running() as f:
        f.wait_rows("ticket_history", 3)
        for projection in PROJECTIONS:
            assert compare(f.store, projection).equal


def test_changed_row_of_a_read_model_is_found_and_named(log: Log, few: Make) -> None:
    log.write(log.events, [ready("t1"), ready("t2"), started("t2")])
    with few().running() as f:
        f.wait_rows("tickets_versions", 3)
        f.wait(lambda: compare(f.store, TICKETS).rows_expected == 3, "the position")
        f.store.command(
            "ALTER TABLE tickets_versions UPDATE agent_id = 'other' WHERE ticket_id = 't2' AND version = 2 "
            "SETTINGS mutations_sync = 2"
        )
        found = compare(f.store, TICKETS)
        assert not found.equal
        assert found.differing_keys == (("t2",),)


def test_later_projector_takes_over_and_the_earlier_ends(log: Log, few: Make) -> None:
    log.write(log.events, [ready("t1")])
    with few().running() as first:
        first.wait_rows("events", 1)
        with few().running() as second:
            second.wait(lambda: second.is_ready, "the second is ready")
            log.write(log.events, [started("t1")])
            assert isinstance(first.wait_end(), TakenOver)
            second.wait_rows("events", 2)
            second.wait_rows("ticket_history", 2)


@pytest.mark.parametrize(
    ("change", "said"), [("topic_id = 'other'", "made anew"), ("next = 1000", "has lost committed records")]
)
def test_topic_made_anew_or_cut_stops_the_projector(log: Log, few: Make, change: str, said: str) -> None:
    log.write(log.events, [ready("t1")])
    with few().running() as f:
        f.wait_rows("events", 1)
        f.wait(lambda: f.one("SELECT max(next) FROM positions") > 0, "a position")
    f.store.command(
        f"ALTER TABLE positions UPDATE {change} WHERE topic = '{log.events}' SETTINGS mutations_sync = 2"
    )
    with few().running() as stopped:
        failure = stopped.wait_end()
    assert isinstance(failure, LogLost)
    assert said in str(failure)


@pytest.mark.parametrize("kind", [Kind.DERIVED, Kind.INPUT])
def test_only_measurements_may_expire_unread(log: Log, few: Make, kind: Kind) -> None:
    log.kinds[log.inputs] = kind
    log.write(log.inputs, [report_start("t1")])
    with few().running() as f:
        f.wait_rows("messages", 1)
        f.wait(lambda: f.one("SELECT count() FROM positions WHERE state = 'done'") > 0, "a position")
    log.write(log.inputs, [report_start("t2"), report_start("t3"), report_start("t4")])
    admin = AdminClient(log.config)
    [expired] = admin.delete_records([TopicPartition(log.inputs, 0, 4)]).values()
    expired.result(30)
    with few().running() as later:
        if kind is Kind.INPUT:
            assert "deleted before they were archived" in str(later.wait_end())
        else:
            later.wait_rows("messages", 2)
            assert later.store.rows("SELECT offset FROM messages ORDER BY offset") == [(0,), (4,)]


def test_what_clickhouse_lost_is_read_again_from_the_log(log: Log, follower: Make) -> None:
    log.write(log.events, [ready(f"t{n}") for n in range(50)])
    log.write(log.inputs, [report_start("t1")] * 3)
    with follower().running() as f:
        f.wait_rows("events", 50)
        f.wait_rows("messages", 3)
        f.wait(lambda: f.one("SELECT sum(archived) FROM positions WHERE state = 'done'") >= 53, "positions")
    f.store.command("DELETE FROM events WHERE offset % 3 = 0 SETTINGS mutations_sync = 2")
    with follower().running() as mended:
        mended.wait_rows("events", 50)
        mended.wait(lambda: mended.is_ready, "ready")
        for projection in PROJECTIONS:
            assert compare(mended.store, projection).equal


def test_event_is_in_sql_within_a_second(log: Log, follower: Make) -> None:
    with follower().running() as f:
        f.wait(lambda: f.is_ready, "ready")
        waits: list[float] = []
        for n in range(5):
            log.write(log.events, [ready(f"t{n}")])
            at = time.monotonic()
            f.wait_rows("tickets", n + 1)
            waits.append(time.monotonic() - at)
        assert sorted(waits)[2] < 1.0


def test_foreign_producer_in_an_input_topic_does_no_harm(log: Log, few: Make) -> None:
    producer = Producer(log.config)
    for n in range(100):
        producer.produce(log.inputs, bytes([n]) * n, partition=1)
    producer.flush(30)
    with few().running() as f:
        f.wait_rows("messages", 100)
        assert f.one("SELECT countIf(decode_error = '') FROM messages") == 0
