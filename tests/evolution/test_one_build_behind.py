"""A projector and a replay that are one build behind: they stop, or say so, and guess nothing; the next has it all."""

import time
from pathlib import Path
from typing import Any

import pytest

from neural_hive.connectors.kafka_log import read_committed
from neural_hive.replay.archive import ArchiveSource
from neural_hive.replay.everything import Request, Tables, verify_everything
from neural_hive.replay.history import NewerEvent, history, state
from neural_hive.replay.reader import KafkaSource
from neural_hive.replay.report import Check, Report
from neural_hive.schemas.topics import Kind, partition_of
from tests.evolution.conftest import OLDEST, Knowing
from tests.evolution.newer_counter import COUNTER
from tests.fixtures_clickhouse import ClickHouseServer
from tests.kernel.conftest import ToyFactory
from tests.projections.support import Follower
from tests.toy.harness import Toy
from tests.toy.system import build

NEWER, OLDER = (
    next(f"counter-{n}" for n in range(9) if partition_of(f"counter-{n}".encode(), 2) == p) for p in (0, 1)
)


class Mixed:
    """A log whose partition 0 ends in events of the newer build, and what the two builds make of it."""

    def __init__(self, toy: Toy, server: ClickHouseServer, database: str) -> None:
        self.toy, self.config = toy, toy.config
        self._server, self._database = server, database
        self.kinds = dict.fromkeys(toy.event_topics, Kind.EVENT) | {toy.commands: Kind.INPUT}
        self.counters = toy.event_topics[0]

    def write(self, schemas: Path) -> None:
        """First the older build on both partitions, then the newer one on one."""
        toy = self.toy
        toy.start()
        for number in range(60):
            toy.send(toy.commands, "AddToCounter", (OLDER, NEWER)[number % 2], {"amount": 3})
        toy.producer.flush()
        toy.wait_until_done()
        toy.stop()
        toy.module = "tests.evolution.newer_counter"
        toy.environment["NEURAL_HIVE_SCHEMAS"] = str(schemas)
        toy.start()
        for _ in range(20):
            toy.send(toy.commands, "AddToCounter", NEWER, {"amount": 50})
        toy.producer.flush()
        toy.wait_until_done()
        toy.stop()

    def follower(self) -> Follower:
        """A projector of the build that this process is now."""
        return Follower(self, self._server, self._database)  # type: ignore[arg-type]

    def raw(self) -> list[tuple[Any, ...]]:
        """Place and bytes of every event in Kafka."""
        return [
            (record.topic, record.partition, record.offset, (record.value or b"").hex().upper())
            for topic in self.toy.event_topics
            for partition in (0, 1)
            for record in read_committed(self.config, topic, partition, 0, None)
        ]

    def verified(self) -> Report:
        """What `replay verify` of the build that this process is now says."""
        with self._server.client(database=self._database) as client:
            tables = Tables(client, self.follower().store)
            return verify_everything(Request((self.toy.system,), self.config, tables, self.toy.folder))

    def source(self) -> ArchiveSource:
        """The archive."""
        return ArchiveSource(self._server.client(database=self._database))


@pytest.fixture
def mixed(make_toy: ToyFactory, clickhouse: ClickHouseServer, database: str, newer_schemas: Path) -> Mixed:
    made = Mixed(make_toy(2), clickhouse, database)
    made.write(newer_schemas)
    return made


def test_a_build_behind_guesses_nothing_and_the_next_has_it_all(
    mixed: Mixed, newer_schemas: Path, knowing: Knowing
) -> None:
    toy, everything = mixed.toy, mixed.raw()
    known = [row for row in everything if int(row[3][2:10], 16) <= OLDEST]
    assert 60 <= len(known) < len(everything)
    assert len({row[3][2:10] for row in everything if row[0] == mixed.counters}) == 3, (
        "three schemas in one topic"
    )

    _behind(mixed, len(known))
    with knowing(newer_schemas):
        toy.system = build(toy.suffix, COUNTER)
        with mixed.follower().running() as f:
            f.wait_rows("events", len(everything))
        found = f.store.rows(
            "SELECT topic, partition, offset, hex(value) FROM events ORDER BY topic, partition, offset"
        )
        assert found == everything
        assert f.store.rows(
            "SELECT countIf(JSONExtractString(payload, 'origin') = 'the newer build'), "
            "countIf(event_type = 'RaiseNoted') FROM events"
        ) == [(20, 20)]
        report = mixed.verified()
        assert (report.findings, report.problem) == ((), "")
        assert report.counts["inputs"] == len(toy.sent)
        for source in (KafkaSource(toy.config), mixed.source()):
            happened = history(source, toy.event_topics, NEWER, aggregate_type="counter")
            counter: Any = state(happened, (COUNTER,))
            assert (counter.total, counter.of_known_origin, counter.noted) == (30 * 3 + 1_000, 1_000, 1_000)


def _behind(mixed: Mixed, known: int) -> None:
    """The partition with newer events stops before the first of them, in the tables and in replay; no other does."""
    toy = mixed.toy
    with mixed.follower().running() as f:
        f.wait_rows("events", known)
        f.wait(lambda: not f.is_ready, "not ready while a partition is stopped")
        time.sleep(0.5)
        assert f.one("SELECT count() FROM events") == known
    assert f.failure is None
    report = mixed.verified()
    unread = [finding for finding in report.findings if finding.check == Check.DECODE]
    assert len(unread) == 40, "20 raises in newer words, and 20 events of a new type"
    assert all("is not known to this build" in finding.found for finding in unread)
    assert all(finding.place.startswith(f"{mixed.counters}:0:") for finding in unread)
    source = KafkaSource(toy.config)
    with pytest.raises(NewerEvent, match=rf"{mixed.counters}:0:\d+: .* a newer build wrote it"):
        history(source, toy.event_topics, NEWER)
    assert history(source, toy.event_topics, OLDER, aggregate_type="counter")
