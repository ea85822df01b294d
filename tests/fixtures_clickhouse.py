"""The real embedded ClickHouse process for tests: `clickhouse` and, to be killed, `clickhouse_server`."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from neural_hive.connectors import tied_exec
from neural_hive.connectors.clickhouse import ClickHouse

START_TIMEOUT_S = 60


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class ClickHouseServer:
    """One data folder and the process that serves it; it may be killed and started again on the same port."""

    host = "127.0.0.1"
    user = "ingest"
    database = "neural_hive"

    def __init__(self, data: Path) -> None:
        self.data = data
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def password(self) -> str:
        return (self.data / "ingest.password").read_text().strip()

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    @property
    def log(self) -> Path:
        return self.data / "log"

    def start(self) -> "ClickHouseServer":
        ready = self.data / "ready"
        ready.unlink(missing_ok=True)
        self.data.mkdir(parents=True, exist_ok=True)
        module = "neural_hive.connectors.clickhouse_embedded"
        place = ["--host", self.host, "--port", str(self.port)]
        options = ["--data", str(self.data), *place, "--ready", str(ready)]
        with self.log.open("ab") as log:
            # Tied to this process: a test run that dies leaves no server behind.
            tied = [sys.executable, "-I", "-S", tied_exec.__file__, str(os.getpid())]
            command = [*tied, sys.executable, "-m", module, *options]
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        deadline = time.monotonic() + START_TIMEOUT_S
        while not ready.exists():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise RuntimeError(f"the ClickHouse process did not start:\n{self.log.read_text()}")
            time.sleep(0.02)
        return self

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        assert self._process
        self._process.send_signal(signal.SIGTERM)
        try:
            return self._process.wait(timeout=90)
        except subprocess.TimeoutExpired:
            self.kill()
            raise

    def signal(self, number: signal.Signals) -> None:
        """Sends a signal, for instance SIGSTOP."""
        assert self._process
        self._process.send_signal(number)

    def kill(self) -> None:
        """SIGKILL."""
        assert self._process
        self._process.kill()
        self._process.wait(timeout=90)

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def client(self, **options: Any) -> ClickHouse:
        """A client that may write; use it as a context manager."""
        given = {"user": self.user, "password": self.password, "database": self.database} | options
        return ClickHouse(self.host, self.port, **given)


@pytest.fixture(scope="session")
def clickhouse() -> Iterator[ClickHouseServer]:
    """One process for the whole session: make tables with names of your own, or a database."""
    yield from _served()


@pytest.fixture
def clickhouse_server() -> Iterator[ClickHouseServer]:
    """A process of the test's own, to be killed."""
    yield from _served()


def _served() -> Iterator[ClickHouseServer]:
    folder = Path(tempfile.mkdtemp(prefix="neural-hive-clickhouse-"))
    server = ClickHouseServer(folder).start()
    try:
        yield server
    finally:
        if server.is_running:
            server.kill()
        shutil.rmtree(folder, ignore_errors=True)
