"""The archive as a source, and against the log: the same records, or the place where they differ."""

from collections.abc import Iterator
from hashlib import sha256

import pytest

from neural_hive.connectors.clickhouse import ClickHouse
from neural_hive.connectors.kafka_embedded import EmbeddedKafka
from neural_hive.projections.http_store import HttpStore
from neural_hive.replay.archive import ArchiveSource
from neural_hive.replay.checks.archive import check_archive, check_projections
from neural_hive.replay.history import NoSuchAggregate, history
from neural_hive.replay.moment import Moment
from neural_hive.replay.reader import JoinedSource, KafkaSource
from neural_hive.replay.report import Check, Finding, Findings
from neural_hive.replay.seal.leaf import record_leaf
from neural_hive.replay.verify import Verification
from neural_hive.schemas.codec import decode
from neural_hive.schemas.envelope import Envelope
from neural_hive.schemas.topics import Kind
from tests.conftest import TopicFactory
from tests.fixtures_clickhouse import ClickHouseServer
from tests.projections.conftest import new_database
from tests.projections.support import Follower
from tests.replay.conftest import create_log
from tests.replay.written_log import Log

EVENTS = 36
ARCHIVE = ("events", "messages", "positions")


class Archived:
    """A right log, and a client of the database that holds its archive."""

    def __init__(self, log: Log, server: ClickHouseServer, database: str) -> None:
        self.log = log
        self.clickhouse: ClickHouse = server.client(database=database)
        self.archive = ArchiveSource(self.clickhouse)
        self.kafka = KafkaSource(log.config)

    def findings(self) -> list[Finding]:
        """What comparing the archive with the log finds."""
        found = Findings()
        check_archive(
            self.kafka, self.archive, (self.log.tickets, self.log.workflows, self.log.inputs), found
        )
        return found.kept

    def change(self, sql: str) -> None:
        """ALTER TABLE events …, done when it returns."""
        self.clickhouse.command(f"ALTER TABLE events {sql} SETTINGS mutations_sync = 2")


@pytest.fixture(scope="module")
def log(kafka: EmbeddedKafka, topic_factory: TopicFactory) -> Iterator[Log]:
    """A right one; nobody changes it."""
    made = create_log(kafka, topic_factory)
    made.write(workflows=4, rounds=3)
    made.kinds = {made.tickets: Kind.EVENT, made.workflows: Kind.EVENT, made.inputs: Kind.INPUT}
    yield made
    made.close()


@pytest.fixture(scope="module")
def tables(log: Log, clickhouse: ClickHouseServer) -> Iterator[str]:
    """The database that a projector has made of it."""
    with new_database(clickhouse) as name:
        follower = Follower(log, clickhouse, name)  # type: ignore[arg-type]
        with follower.running():
            follower.wait_rows("events", EVENTS)
            follower.wait_rows("messages", 12)
        yield name


@pytest.fixture
def archived(log: Log, tables: str, clickhouse: ClickHouseServer) -> Iterator[Archived]:
    """The log, and a copy of its archive to be changed."""
    with new_database(clickhouse) as name:
        made = Archived(log, clickhouse, name)
        for table in ARCHIVE:
            made.clickhouse.command(f"CREATE TABLE {table} AS {tables}.{table}")
            made.clickhouse.command(f"INSERT INTO {table} SELECT * FROM {tables}.{table}")
        yield made
        made.clickhouse.close()


def test_the_archive_gives_the_records_of_the_log(archived: Archived) -> None:
    assert archived.findings() == []
    for topic in (archived.log.tickets, archived.log.inputs):
        for partition, (first, end) in archived.kafka.ranges(topic).items():
            from_log = [r for b in archived.kafka.batches(topic, partition, first, end) for r in b]
            from_archive = [r for b in archived.archive.batches(topic, partition, first, end) for r in b]
            assert from_archive == from_log
            joined = JoinedSource(archived.archive, _Later(archived.kafka, 3))
            joined.ranges(topic)
            assert [r for b in joined.batches(topic, partition, 0, end) for r in b] == from_log


class _Later(KafkaSource):
    """A log whose first records have expired."""

    def __init__(self, source: KafkaSource, begin: int) -> None:
        super().__init__(source.config)
        self._begin = begin

    def ranges(self, topic: str) -> dict[int, tuple[int, int]]:
        return {p: (min(self._begin, end), end) for p, (_, end) in super().ranges(topic).items()}


def test_an_archived_log_verifies_without_kafka(archived: Archived) -> None:
    verification = Verification(archived.log.target, archived.archive, None)
    verification.run()
    report = verification.report()
    assert report.findings == ()
    assert report.counts["events"] == EVENTS
    assert {part.source for part in report.parts} == {"archive"}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("UPDATE value = concat(value, 'x') WHERE sequence = 1", "value"),
        ("UPDATE headers = [('traceparent', 'x')] WHERE sequence = 1", "headers"),
        ("UPDATE headers = [(headers[2].1, headers[2].2), headers[1]] WHERE sequence = 1", "headers"),
        ("UPDATE timestamp = timestamp + toIntervalMillisecond(1) WHERE sequence = 1", "timestamp_ms"),
        ("UPDATE key = 'another' WHERE sequence = 1", "key"),
        ("UPDATE key = NULL WHERE sequence = 1", "key"),
        ("DELETE WHERE sequence = 1", "none in the archive"),
    ],
)
def test_what_differs_is_named(archived: Archived, change: str, says: str) -> None:
    wanted = archived.clickhouse.rows(
        "SELECT topic, partition, offset FROM events WHERE sequence = 1 ORDER BY 1, 2"
    )
    archived.change(change)
    found = archived.findings()
    assert [f.place for f in found] == [":".join(map(str, row)) for row in wanted]
    assert all(f.check == Check.ARCHIVE and says in f.found for f in found)


def test_a_record_that_is_twice_in_the_archive_is_named(archived: Archived) -> None:
    archived.clickhouse.command("INSERT INTO events SELECT * FROM events WHERE sequence = 1")
    places = {
        ":".join(map(str, row))
        for row in archived.clickhouse.rows("SELECT topic, partition, offset FROM events WHERE sequence = 1")
    }
    found = archived.findings()
    assert {f.place for f in found} == places
    assert {(f.check, f.expected) for f in found} == {(Check.ARCHIVE, "no record in the log")}


@pytest.mark.parametrize("page", [1, 2, 5])
def test_the_place_is_named_whatever_is_compared_at_once(
    archived: Archived, page: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("neural_hive.replay.checks.archive.PAGE_RECORDS", page)
    assert archived.findings() == []
    archived.change("DELETE WHERE sequence = 7")
    wanted = [
        f"{topic}:{partition}:{record.offset}"
        for topic in archived.log.target.event_topics
        for partition, bounds in archived.kafka.ranges(topic).items()
        for batch in archived.kafka.batches(topic, partition, *bounds)
        for record in batch
        if isinstance(head := decode(record.value or b"", "event").head, Envelope) and head.sequence == 7
    ]
    assert sorted(f.place for f in archived.findings()) == sorted(wanted)


def test_the_engine_takes_records_as_the_seal_does(archived: Archived) -> None:
    """Null and empty, and bytes that are no text: the engine's canonical form is held to the one that is sealed."""
    topic = archived.log.tickets
    archived.change(
        "UPDATE headers = [('', NULL), ('\\0é', unhex('00ff00')), ('a', '')], key = '', value = NULL WHERE sequence = 2"
    )
    archived.change("UPDATE key = unhex('0000'), headers = [], value = unhex('fe00') WHERE sequence = 4")
    for partition, (first, end) in archived.kafka.ranges(topic).items():
        there = [r for batch in archived.archive.batches(topic, partition, first, end) for r in batch]
        expected = sha256(b"".join(map(record_leaf, there))).digest()
        assert archived.archive.digest(topic, partition, first, end) == (len(there), expected)


def test_a_changed_read_model_is_named(tables: str, clickhouse: ClickHouseServer) -> None:
    findings = Findings()
    store = HttpStore(clickhouse.host, clickhouse.port, clickhouse.user, clickhouse.password, tables)
    check_projections(store, findings)
    assert findings.kept == []
    assert findings.examined[Check.PROJECTION] > 0
    store.command(
        "ALTER TABLE tickets_versions UPDATE workflow_id = 'another' WHERE version = 1 SETTINGS mutations_sync = 2"
    )
    check_projections(store, findings)
    (finding,) = findings.kept
    assert finding.place == "table tickets_versions"


def test_a_row_that_stands_where_none_should_is_found(tables: str, clickhouse: ClickHouseServer) -> None:
    """The archive has no record of any SLO."""
    findings = Findings()
    store = HttpStore(clickhouse.host, clickhouse.port, clickhouse.user, clickhouse.password, tables)
    store.command(
        "INSERT INTO slos_versions (slo_id, topic, partition, offset) "
        "SELECT 'forged', topic, partition, offset FROM events ORDER BY offset LIMIT 1"
    )
    try:
        check_projections(store, findings)
    finally:
        store.command("TRUNCATE TABLE slos_versions")
    (finding,) = [found for found in findings.kept if found.place == "table slos_versions"]
    assert (finding.aggregate, finding.expected[:6], finding.found) == ("forged", "0 rows", "1 rows")


@pytest.mark.parametrize("source", ["kafka", "archive"])
def test_the_history_of_an_aggregate_ends_at_a_time_or_version(archived: Archived, source: str) -> None:
    log, read = archived.log, getattr(archived, source)
    topics = log.target.event_topics
    whole = history(read, topics, "workflow-1")
    assert [h.envelope.version for h in whole] == [1, 2, 3]
    assert whole[1].envelope.prev_hash.hex() == whole[0].hash
    assert history(read, topics, "workflow-1", Moment(version=2)) == whole[:2]
    assert history(read, topics, "workflow-1", Moment(at=whole[0].appended_at)) == whole[:1]
    with pytest.raises(NoSuchAggregate, match="workflow-99"):
        history(read, topics, "workflow-99")
