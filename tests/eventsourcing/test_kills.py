"""A writer that is killed at any point loses nothing that was answered, and doubles nothing."""

import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from neural_hive.connectors.kafka_embedded import EmbeddedKafka
from neural_hive.connectors.kafka_log import read_committed
from neural_hive.eventsourcing.recorders import LogProcessRecorder
from neural_hive.eventsourcing.records import Stored, Tracked, read
from neural_hive.eventsourcing.topics import topic_name
from tests.eventsourcing.conftest import FactoryOf
from tests.eventsourcing.killed_writer import EVERY, SOURCE, STEPS

pytestmark = pytest.mark.slow


class Writer:
    """The process of a writer, and what it was answered."""

    def __init__(self, name: str, variables: dict[str, str], *arguments: str) -> None:
        command = [sys.executable, "-m", "tests.eventsourcing.killed_writer", name, *arguments]
        self._process = subprocess.Popen(
            command, env=os.environ | variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def answers(self, count: int | None = None) -> list[int]:
        """The numbers of its next inserts; or of all until it ends."""
        assert self._process.stdout
        lines = iter(self._process.stdout.readline, "")
        found = (
            [int(line) for line, _ in zip(lines, range(count), strict=False)] if count else [*map(int, lines)]
        )
        assert found or count is None, self._process.communicate()[1]
        return found

    def kill(self) -> list[int]:
        """Kills it; what it was answered until then."""
        self._process.kill()
        found = self.answers()
        self._process.wait()
        return found


def check(factory_of: FactoryOf, kafka: EmbeddedKafka, name: str, data: Path, answered: list[int]) -> None:
    """Log and index hold the inserts 1, 2, 3 … once each, all that were answered among them."""
    recorder = factory_of(data).process_recorder()
    assert isinstance(recorder, LogProcessRecorder)
    last = recorder.max_tracking_id(SOURCE)
    assert last is not None and last >= max(answered)
    expected = list(range(1, last + 1))
    assert sorted(answered) == answered and set(answered) <= set(expected)
    assert [e.originator_version for e in recorder.select_events(EVERY)] == expected
    notifications = recorder.select_notifications(None, 1_000_000)
    assert [n.id for n in notifications] == list(range(1, 2 * last + 1))
    assert [n.originator_id for n in notifications[1::2]] == [f"only-{number}" for number in expected]
    records = read_committed({"bootstrap.servers": kafka.bootstrap}, topic_name(name), 0, 0, None)
    contents = [read(record.value or b"").content for record in records]
    assert [c.notification_id for c in contents if isinstance(c, Tracked)] == expected
    assert sum(isinstance(c, Stored) for c in contents) == 2 * last


def test_killed_at_each_step(
    factory_of: FactoryOf, variables: dict[str, str], kafka: EmbeddedKafka, name: str, tmp_path: Path
) -> None:
    answered = list[int]()
    for count, step in enumerate(STEPS, 1):
        answered += Writer(name, variables, step, str(count)).answers()
    assert answered == [1, 2, 3] or answered == [1, 2, 3, 4]
    data = Path(variables["NEURAL_HIVE_DATA"])
    check(factory_of, kafka, name, data, answered)
    check(factory_of, kafka, name, tmp_path / "other", answered)


def test_killed_at_any_time(
    factory_of: FactoryOf, variables: dict[str, str], kafka: EmbeddedKafka, name: str, tmp_path: Path
) -> None:
    seed = random.randrange(2**32)
    chance, answered, data = random.Random(seed), list[int](), Path(variables["NEURAL_HIVE_DATA"])
    print(f"seed {seed}")
    for number in range(6):
        writer = Writer(name, variables)
        answered += writer.answers(chance.randint(1, 40))
        answered += writer.kill()
        if number == 3:
            shutil.rmtree(data)
    check(factory_of, kafka, name, data, answered)
    check(factory_of, kafka, name, tmp_path / "other", answered)


def test_writers_that_take_over_from_each_other(
    factory_of: FactoryOf, variables: dict[str, str], kafka: EmbeddedKafka, name: str, tmp_path: Path
) -> None:
    writers, answered = list[Writer](), list[int]()
    for number in range(3):
        writers.append(Writer(name, variables | {"NEURAL_HIVE_DATA": str(tmp_path / str(number))}))
        answered += writers[-1].answers(10)
    for writer in writers[:-1]:
        rest = writer.answers()  # it ends by itself
        answered += rest
        assert "another process has begun to write" in str(
            writer._process.stderr and writer._process.stderr.read()
        )
    answered += writers[-1].kill()
    check(factory_of, kafka, name, tmp_path / "2", sorted(answered))
    assert len(set(answered)) == len(answered)
