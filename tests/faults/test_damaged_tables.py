"""ClickHouse's files are damaged while nothing runs: it is noticed, and the tables are what the log gives again."""

import re
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from random import Random

import pytest

from neural_hive.connectors.kafka_embedded import EmbeddedKafka
from neural_hive.projections.parts import torn
from neural_hive.replay.archive import ArchiveSource
from neural_hive.replay.checks.archive import check_archive, check_projections
from neural_hive.replay.reader import KafkaSource
from neural_hive.replay.report import Check, Findings
from tests.conftest import TopicFactory
from tests.faults.damage import cut, flip_at, remove
from tests.fixtures_clickhouse import ClickHouseServer
from tests.projections.support import Follower, Log, completed, dead_letter, ready, started

DATABASE = "faults"
TICKETS = 40  # of one partition, each time something is written
Damage = Callable[[Path, str], None]


class Filled:
    """A log, and the folder of a ClickHouse that holds it, in several parts and epochs."""

    def __init__(self, log: Log, data: Path) -> None:
        self.log, self._data = log, data
        self._written = 0
        server = ClickHouseServer(data).start()
        try:
            for _ in range(2):
                self.write()
                with Follower(log, server, DATABASE).running() as follower:
                    self.wait(follower)
        finally:
            server.stop()

    def write(self) -> None:
        """Some more on each partition, with what is aborted between."""
        for partition in (0, 1):
            tickets = [f"{self._written}-{partition}-{n}" for n in range(TICKETS)]
            self.log.write(self.log.events, [ready(t) for t in tickets], partition)
            self.log.write(self.log.events, [ready("never")], partition, commit=False)
            self.log.write(self.log.events, [started(t) for t in tickets], partition)
            self.log.write(self.log.inputs, [dead_letter(t.encode()) for t in tickets], partition)
            self.log.write(self.log.events, [completed(t) for t in tickets], partition)
        self._written += 1

    def wait(self, follower: Follower) -> None:
        """Until all is in the tables, each file was looked at, and nothing is set aside."""
        due = [(self._written * 2 * TICKETS * 3, self._written * 2 * TICKETS)]
        counts = "SELECT (SELECT count() FROM events), (SELECT count() FROM messages)"
        follower.wait(
            lambda: (
                follower.is_ready
                and not any(thread.name == "parts" for thread in threading.enumerate())
                and not torn(follower.store)
                and follower.store.rows(counts) == due
            ),
            "the tables are whole",
        )

    def copy(self, to: Path) -> ClickHouseServer:
        """A server, not yet started, on a copy of the folder."""
        shutil.copytree(self._data, to, symlinks=True)
        return ClickHouseServer(to)


@pytest.fixture(scope="module")
def filled(
    kafka: EmbeddedKafka, topic_factory: TopicFactory, tmp_path_factory: pytest.TempPathFactory
) -> Filled:
    log = Log(kafka.bootstrap, topic_factory("tickets", 2), topic_factory("inputs", 2))
    return Filled(log, tmp_path_factory.mktemp("tables") / "data")


def _definition(data: Path, table: str) -> Path:
    [file] = (data / "engine").glob(f"store/*/*/{table}.sql")
    return file


def _parts(data: Path, table: str) -> Iterator[Path]:
    """All, also those that were merged into others: they would be taken in their place."""
    found = re.search(r"UUID '([0-9a-f-]+)'", _definition(data, table).read_text())
    assert found is not None
    folder = data / "engine" / "store" / found[1][:3] / found[1]
    parts = [part for part in folder.iterdir() if re.fullmatch(r"\w+_\d+_\d+_\d+", part.name)]
    assert parts
    return iter(parts)


def _each(name: str, damage: Callable[[Path], None]) -> Damage:
    """A damage to one file of each part."""

    def to_all(data: Path, table: str) -> None:
        for part in _parts(data, table):
            damage(part / name)

    return to_all


def _flip_middle(file: Path) -> None:
    flip_at(file, file.stat().st_size // 2)


def _lose_parts(data: Path, table: str) -> None:
    for part in _parts(data, table):
        shutil.rmtree(part)


def _cut_definition(data: Path, table: str) -> None:
    cut(_definition(data, table), Random(1))


def _change_definition(data: Path, table: str) -> None:
    """It can still be read, and is another one."""
    file = _definition(data, table)
    text = file.read_text()
    assert "`partition`" in text
    file.write_text(text.replace("`partition`", "`pastition`", 1))


def _lose_definition(data: Path, table: str) -> None:
    _definition(data, table).unlink()


def _lose_definition_and_copy(data: Path, table: str) -> None:
    _lose_definition(data, table)
    [copy] = (data / "definitions").rglob(f"{table}.sql")
    copy.unlink()


_CUT = _each("data.bin", lambda file: cut(file, Random(1)))
_FLIP = _each("data.bin", _flip_middle)
_LOSE = _each("data.bin", lambda file: remove(file, Random(1)))


@pytest.mark.parametrize(
    "damages",
    [
        pytest.param({"events": _CUT, "tickets_versions": _LOSE, "positions": _CUT}, id="torn"),
        pytest.param(
            {"events": _FLIP, "tickets_versions": _FLIP, "positions": _FLIP, "projector_claims": _FLIP},
            id="flipped",
        ),
        pytest.param(
            {
                "events": _each("checksums.txt", _flip_middle),
                "messages": _each("primary.cidx", _flip_middle),
                "tickets_versions": _each("count.txt", _flip_middle),
                "positions": _each("checksums.txt", _flip_middle),
            },
            id="flipped beside the data",
        ),
        pytest.param(
            {"messages": _lose_parts, "tickets_versions": _lose_parts, "positions": _lose_parts}, id="lost"
        ),
        pytest.param(
            {
                "events": _cut_definition,
                "tickets_versions": _change_definition,
                "positions": _lose_definition,
                "messages": _lose_definition_and_copy,
            },
            id="definitions",
        ),
    ],
)
def test_damaged_tables_are_what_the_log_gives_again(
    filled: Filled, tmp_path: Path, damages: Mapping[str, Damage]
) -> None:
    server = filled.copy(tmp_path / "data")
    for table, damage in damages.items():
        damage(server.data, table)
    server.start()
    follower = Follower(filled.log, server, DATABASE)
    try:
        with follower.running():
            filled.wait(follower)
            filled.write()
            filled.wait(follower)
        findings = Findings()
        with server.client(database=DATABASE) as client:
            source = KafkaSource(filled.log.config)
            check_archive(source, ArchiveSource(client), list(filled.log.kinds), findings)
        check_projections(follower.store, findings)
        assert findings.kept == []
        assert findings.examined[Check.ARCHIVE] and findings.examined[Check.PROJECTION]
    finally:
        server.kill()
