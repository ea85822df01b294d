"""A disk is full: who needs room says so and stands still, nothing is lost or done twice, and all goes on by itself."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from neural_hive.connectors.kafka_embedded import EmbeddedKafka
from neural_hive.replay.checks.archive import check_projections
from neural_hive.replay.everything import Request, verify_everything
from neural_hive.replay.report import Findings
from neural_hive.state import run_folder
from neural_hive.streams.kernel.processor import EXIT_DISK_FULL
from neural_hive.supervisor import Service, Stage, Supervisor
from tests.faults.disk import SmallDisk, small_disk, why_not
from tests.fixtures_clickhouse import ClickHouseServer
from tests.infra.small_system import service
from tests.projections.conftest import log
from tests.projections.support import Follower, Log, completed, ready, started
from tests.toy.harness import Toy

pytestmark = pytest.mark.long

__all__ = ["log"]

WAIT_S = 150
SMALL_MB = 160
SAYS_FULL = "No space left on device"


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    """A small disk."""
    if reason := why_not(tmp_path / "tried"):
        pytest.skip(reason)
    with small_disk(tmp_path / "small", SMALL_MB) as small:
        yield small


def _wait(happened: Callable[[], object], what: str) -> None:
    until = time.monotonic() + WAIT_S
    while not happened():
        assert time.monotonic() < until, f"not within {WAIT_S} s: {what}"
        time.sleep(0.2)


class Told:
    """A supervisor at work, and what it tells."""

    def __init__(self, data: Path, services: list[Service]) -> None:
        self.lines: list[str] = []
        run_folder(data).mkdir(parents=True, exist_ok=True)
        self._supervisor = Supervisor(data, [Stage(services)], {}, tell=self.lines.append)
        self._thread = threading.Thread(target=self._supervisor.keep)

    def __enter__(self) -> "Told":
        try:
            self._supervisor.start()
        except BaseException:
            self._supervisor.stop()
            raise
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._supervisor.stopping.set()
        self._thread.join()
        self._supervisor.stop()

    def wait(self, *words: str) -> str:
        """Until it has told a line with these words."""
        found: list[str] = []

        def told() -> bool:
            found[:] = [line for line in self.lines if all(word in line for word in words)]
            return bool(found)

        _wait(told, f"{words} in {self.lines}")
        return found[0]


class ToyOnDisk(Toy):
    """A toy system whose workers keep their state on a disk of their own, and their logs beside it."""

    def __init__(self, bootstrap: str, disk: SmallDisk, partitions: int) -> None:
        super().__init__(bootstrap, disk.folder, partitions)

    def _log(self, index: int) -> Path:
        return self.folder.parent / f"worker-{index}.log"

    def log(self, index: int) -> str:
        """What a worker has to say."""
        return self._log(index).read_text()


def _finish(toy: Toy, workers: int = 1) -> None:
    """Lets it come to its end, as under a supervisor, and looks at all of it."""

    def is_done() -> bool:
        toy.keep_alive(workers)
        return toy.lag() == 0

    _wait(is_done, "everything is processed")
    toy.stop()
    assert toy.check()["CounterRaised"] == len(toy.sent)
    assert toy.check_state() >= toy.partitions
    report = verify_everything(Request((toy.system,), toy.config, None, toy.folder, stall_s=5))
    assert (report.findings, report.problem) == ((), "")


def test_kafka(disk: SmallDisk, tmp_path: Path) -> None:
    kafka = EmbeddedKafka(disk.folder / "kafka")
    kafka.prepare()
    broker = Service(
        "kafka-1",
        lambda: kafka.command(1),
        lambda pid: kafka.is_ready(1, pid),
        dict(os.environ),
        kafka.log(1),
        stop_timeout_s=40,
        backoff_max_s=5,
    )
    (tmp_path / "toy").mkdir()
    with Told(disk.folder / "kafka", [broker]) as told:
        toy = Toy(kafka.bootstrap, tmp_path / "toy", 2)
        try:
            toy.start()
            toy.add(2_000)
            toy.wait_until_done()
            disk.fill()
            for number in range(2_000):
                toy.send(toy.commands, "AddToCounter", f"counter-{number % 100}", {"amount": 1})
            told.wait("kafka-1 ended with 1")
            assert str(disk.folder) in told.wait("has 0 MB of")
            time.sleep(5)  # the next ones end too, or wait
            disk.make_room()
            told.wait("kafka-1 ready again")
            assert toy.producer.flush(WAIT_S) == 0
            _finish(toy)
        finally:
            toy.stop()
    said = kafka.log(1).read_text()  # some of it was said while there was no room for it
    assert SAYS_FULL in said
    assert f"all log dirs in {disk.folder / 'kafka' / 'kafka-1'} have failed" in said


def test_state(kafka: EmbeddedKafka, disk: SmallDisk) -> None:
    toy = ToyOnDisk(kafka.bootstrap, disk, 2)
    try:
        toy.start()
        toy.add(2_000)
        toy.wait_until_done()
        disk.fill()
        toy.add(4_000)
        for worker in range(2):  # the second cannot even begin
            assert toy.workers[worker].wait(WAIT_S) == EXIT_DISK_FULL
            assert "no room for the state" in toy.log(worker)
            assert f"mounted at {disk.folder}, has 0 MB of" in toy.log(worker)
            assert "Traceback" not in toy.log(worker)
            toy.keep_alive(1)
        disk.make_room()
        _finish(toy)
    finally:
        toy.stop()


def test_clickhouse(disk: SmallDisk, log: Log) -> None:
    server = ClickHouseServer(disk.folder / "clickhouse").start()
    tickets = [f"ticket-{number}" for number in range(500)]
    follower = Follower(log, server, "faults")
    try:
        with capture_logs() as told, follower.running():
            log.write(log.events, [ready(ticket) for ticket in tickets])
            follower.wait_rows("events", len(tickets))
            disk.fill()
            for ticket in tickets:
                log.write(log.events, [started(ticket)])
            follower.wait(lambda: any(SAYS_FULL in str(line.get("error")) for line in told), "it is told")
            assert f"mounted at {disk.folder}, has 0 MB" in str(told)
            assert not follower.is_ready
            assert follower.one("SELECT count() FROM tickets") == len(tickets)  # who only reads is answered
            server.kill()  # and with no room it is started again, and stopped
            server.start()
            assert server.stop() == 0
            server.start()
            disk.make_room()
            follower.wait_rows("events", 2 * len(tickets))
            log.write(log.events, [completed(ticket) for ticket in tickets])
            follower.wait_rows("events", 3 * len(tickets))
        findings = Findings()
        check_projections(follower.store, findings)
        assert findings.kept == []
    finally:
        server.kill()


def test_a_supervisor_and_the_logs(disk: SmallDisk) -> None:
    """What has no room to say so says it when there is; who keeps the others running is not stopped by it."""
    code = """
import os, pathlib, sys, time
folder = pathlib.Path(sys.argv[1])
print("begun by", os.getpid(), "x" * 5_000, flush=True)
(folder / "run" / f"{sys.argv[2]}-{os.getpid()}.ready").touch()
while not (folder / "end").exists():
    time.sleep(0.1)
(folder / "end").unlink()
"""
    data = disk.folder / "data"
    with Told(data, [service(data, "first", code)]) as told:
        disk.fill()
        (data / "end").touch()
        told.wait("first ended with 0")
        told.wait("the state cannot be written down", SAYS_FULL)
        told.wait("first ready again (restart 1)")
        assert f"mounted at {disk.folder}, has 0 MB" in told.wait("goes on by itself")
        disk.make_room()
        (data / "end").touch()
        told.wait("first ready again (restart 2)")
        state = (run_folder(data) / "state.json").read_text()
        assert '"restarts": 2' in state
    assert (data / "logs" / "first.log").read_text().count("begun by") == 3
