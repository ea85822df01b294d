"""Kafka has deleted the beginning of the events, or all of them: the state is still the fold of the whole log."""

import time

from neural_hive.replay.report import Check
from tests.fixtures_clickhouse import ClickHouseServer
from tests.kernel.conftest import ToyFactory
from tests.retention.archived_toy import ArchivedToy, log_of


def _work(archived: ArchivedToy, count: int) -> None:
    toy = archived.toy
    toy.start()
    toy.add(count, keys=40)
    toy.wait_until_done()
    toy.stop()
    archived.note()
    archived.check_state()


def test_a_state_is_folded_from_the_archive_and_the_log(archived_toy: ArchivedToy) -> None:
    """Without a state all of it is folded; with one, its last event is read again. Both come from the archive."""
    toy = archived_toy.toy
    archived_toy.use_archive()
    _work(archived_toy, 2_000)
    assert "reading the archive" not in log_of(toy), "who has all in Kafka asks nobody else"
    archived_toy.archive_all()
    topics = [*toy.event_topics, *archived_toy.inputs]

    archived_toy.delete(topics, share=0.6)
    archived_toy.delete_state()
    _work(archived_toy, 300)
    assert "reading the archive" in log_of(toy)

    archived_toy.archive_all()
    archived_toy.delete(topics)
    _work(archived_toy, 300)
    assert "reading the archive" in log_of(toy), "the last event of the state is read again"

    archived_toy.archive_all()
    report = archived_toy.verify()
    assert report.findings == ()
    assert report.problem == ""
    examined = {outcome.check: outcome.examined for outcome in report.outcomes}
    assert report.counts["inputs"] == len(toy.sent) == 2_600
    assert examined[Check.ANSWERED] == 2_600
    assert examined[Check.STATE] > 40, "a row for each counter"
    assert {part.source for part in report.parts} == {"kafka", "archive"}


def _filled(archived: ArchivedToy) -> None:
    archived.toy.start()
    archived.toy.add(200, keys=10)
    archived.toy.wait_until_done()
    archived.toy.stop()


def _stops(archived: ArchivedToy, *reasons: str) -> None:
    log = archived.toy.start_stopped()
    assert all(reason in log for reason in reasons)
    assert "Traceback" not in log


def test_without_an_archive_the_partition_stops(archived_toy: ArchivedToy) -> None:
    _filled(archived_toy)
    archived_toy.delete(archived_toy.toy.event_topics, share=0.5)
    archived_toy.delete_state()
    _stops(archived_toy, "there is no archive to go on with", "no archive has it")


def test_an_archive_that_does_not_reach_to_the_log_stops_the_partition(archived_toy: ArchivedToy) -> None:
    _filled(archived_toy)
    archived_toy.archive_all()
    _filled(archived_toy)
    archived_toy.delete(archived_toy.toy.event_topics)
    archived_toy.use_archive()
    archived_toy.delete_state()
    _stops(archived_toy, "the archive ends at offset", "no archive has it")


def test_a_partition_waits_for_an_archive_that_is_away(
    make_toy: ToyFactory, clickhouse_server: ClickHouseServer
) -> None:
    archived = ArchivedToy(make_toy(1), clickhouse_server, "away")
    _filled(archived)
    archived.note()
    archived.archive_all()
    archived.delete(archived.toy.event_topics)
    archived.delete_state()
    archived.use_archive()
    clickhouse_server.kill()
    toy = archived.toy
    toy.start()
    toy.add(100, keys=10)
    until = time.monotonic() + 120
    while "cannot recover yet" not in log_of(toy):
        assert toy.workers[-1].poll() is None, log_of(toy)
        assert time.monotonic() < until, log_of(toy)
        time.sleep(0.1)
    clickhouse_server.start()
    toy.wait_until_done()
    toy.stop()
    archived.note()
    archived.check_state()
