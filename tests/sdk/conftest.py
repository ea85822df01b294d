"""A hive without a worker: broker, engine, orchestrator, registry and projector, for agents of the tests' own."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

from neural_hive.connectors.kafka_embedded import EmbeddedKafka
from neural_hive.process import ready_file
from neural_hive.sdk.client import HiveClient
from neural_hive.settings import Settings
from neural_hive.system import prepare_topics
from tests.fixtures_clickhouse import ClickHouseServer

START_TIMEOUT_S = 90.0
SYSTEMS = ("orchestrator", "registry", "operations")
CLI = ("-m", "neural_hive.cli")


class Hive:
    """What agents and clients see: settings, as variables too."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._started: list[subprocess.Popen[bytes]] = []
        self.projector: subprocess.Popen[bytes] | None = None

    @property
    def environment(self) -> dict[str, str]:
        """For a program that shall find this hive."""
        ours = {name: value for name, value in os.environ.items() if not name.startswith("NEURAL_HIVE_")}
        return {**ours, **self.settings.environment()}

    def start(self, *arguments: str, name: str = "") -> subprocess.Popen[bytes]:
        """Starts Python with these arguments; with a name, waits until the process of that name is ready."""
        log = (self.settings.data / "log").open("ab")
        with log:
            process = subprocess.Popen(
                [sys.executable, *arguments], env=self.environment, stdout=log, stderr=log
            )
        self._started.append(process)
        until = time.monotonic() + START_TIMEOUT_S
        while name and not ready_file(self.settings.data, name, process.pid).exists():
            assert process.poll() is None and time.monotonic() < until, self.log()
            time.sleep(0.1)
        return process

    def start_projector(self) -> None:
        """Brings the log into the tables from now on."""
        self.projector = self.start(*CLI, "projector", name="projector")

    def log(self) -> str:
        """The last that was logged."""
        return (self.settings.data / "log").read_text()[-8_000:]

    def stop(self, process: subprocess.Popen[bytes]) -> int:
        """SIGTERM; the exit code."""
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        self._started.remove(process)
        try:
            return process.wait(90)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise

    def close(self) -> None:
        """Ends what runs, the newest first."""
        for process in reversed(self._started[:]):
            self.stop(process)


@pytest.fixture(scope="package")
def hive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hive]:
    data = tmp_path_factory.mktemp("hive")
    with EmbeddedKafka(data / "broker") as kafka:
        engine = ClickHouseServer(data / "clickhouse").start()
        given: dict[str, Any] = {"clickhouse_host": engine.host, "clickhouse_port": engine.port}
        settings = Settings(data=data, kafka_bootstrap=kafka.bootstrap, partitions=4, **given)
        running = Hive(settings)
        try:
            prepare_topics(settings)
            running.start(*CLI, "processor", *SYSTEMS, name="processor")
            running.start_projector()
            yield running
        finally:
            running.close()
            engine.kill()


@pytest.fixture(scope="package")
def client(hive: Hive) -> Iterator[HiveClient]:
    with HiveClient(hive.settings, timeout_s=120) as client:
        yield client
