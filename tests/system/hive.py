"""A whole system in a folder of its own, as its user sees it: the commands, the log, SQL."""

import json
import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import psutil
from typer.testing import CliRunner

from neural_hive.cli import FAILED, build
from neural_hive.connectors.clickhouse import ClickHouseError
from neural_hive.connectors.kafka_log import Record
from neural_hive.connectors.ports import answers, free_ports
from neural_hive.explain import explained
from neural_hive.replay.reader import KafkaSource
from neural_hive.schemas.codec import Decoded, decode
from neural_hive.schemas.topics import TOPICS, Kind
from neural_hive.sdk.tables import client_as
from neural_hive.settings import BadSettings, load_settings
from neural_hive.state import RUNNING, State, is_running, running_state

TIMEOUT_S = 200.0
PORT_SETTINGS = ("KAFKA_PORT", "SCHEMA_REGISTRY_PORT", "CLICKHOUSE_HTTP_PORT", "API_PORT")
T = TypeVar("T")


class Hive:
    """A system that `up` starts on `data`; what it ever started is remembered."""

    def __init__(self, data: Path, brokers: int = 1, **settings: str) -> None:
        self.data = data
        self._brokers = brokers
        ports = {
            f"NEURAL_HIVE_{name}": str(port) for name, port in zip(PORT_SETTINGS, free_ports(4), strict=True)
        }
        given = {f"NEURAL_HIVE_{name.upper()}": value for name, value in settings.items()}
        ours = {name: value for name, value in os.environ.items() if not name.startswith("NEURAL_HIVE_")}
        self._environment = {**ours, **ports, **given, "COLUMNS": "200"}
        self._known: dict[int, psutil.Process] = {}
        self._ports: set[int] = set()

    def run(self, *arguments: str, timeout_s: float = TIMEOUT_S) -> subprocess.CompletedProcess[str]:
        """Runs a command of the project on the system's data."""
        line = [sys.executable, "-m", "neural_hive.cli", *arguments, "--data", str(self.data)]
        return subprocess.run(
            line, capture_output=True, text=True, timeout=timeout_s, check=False, env=self._environment
        )

    def said(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """What `run` gives, by the same command in this process: of many, each start would take a second."""
        line = [*arguments, "--data", str(self.data)]
        done = CliRunner().invoke(build(line), line, env=self._environment)
        error = done.exception
        if error is None or isinstance(error, SystemExit):
            return subprocess.CompletedProcess(line, done.exit_code, done.stdout, done.stderr)
        told = explained(error)
        assert told, "".join(traceback.format_exception(error))
        return subprocess.CompletedProcess(line, FAILED, done.stdout, f"{done.stderr}error: {told}\n")

    @property
    def environment(self) -> dict[str, str]:
        """The variables that its commands have."""
        return self._environment

    def up(self) -> State:
        """Starts it, and gives its state when all runs."""
        done = self.run("up", "--detach", "--brokers", str(self._brokers))
        assert done.returncode == 0, done.stdout + done.stderr
        state = running_state(self.data)
        assert state is not None
        endpoints = state.endpoints
        self._ports |= {
            int(address.rpartition(":")[2]) for address in endpoints["kafka_bootstrap"].split(",")
        }
        self._ports |= {
            int(endpoints["schema_registry_url"].rpartition(":")[2]),
            int(endpoints["clickhouse_port"]),
            int(endpoints["api_port"]),
        }
        self.remember()
        return state

    def down(self) -> None:
        """Stops it in order."""
        self.remember()
        done = self.run("down")
        assert done.returncode == 0, done.stdout + done.stderr

    def remember(self) -> None:
        """Takes note of every process of the system that lives now."""
        state = running_state(self.data)
        if state is not None:
            supervisor = psutil.Process(state.pid)
            for process in (supervisor, *supervisor.children(recursive=True)):
                self._known[process.pid] = process

    def left_behind(self) -> list[str]:
        """What of the system is still there: processes that were ever seen, ports, the lock."""
        _, alive = psutil.wait_procs(list(self._known.values()), timeout=60)
        processes = [str(p) for p in alive if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]
        ports = [f"port {port}" for port in self._ports if answers(port)]
        return processes + ports + (["the lock"] if is_running(self.data) else [])

    def signal(self, name: str, number: signal.Signals = signal.SIGKILL) -> int:
        """Sends a signal to a process of the system, once it runs; its pid."""
        pid = eventually(lambda: self._pid(name))
        self.remember()
        os.kill(pid, number)
        return pid

    def wait_replaced(self, name: str, pid: int) -> None:
        """Waits until another process does the work of one that was killed."""
        eventually(lambda: self._pid(name) not in (None, pid))

    def _pid(self, name: str) -> int | None:
        state = running_state(self.data)
        found = [p.pid for p in state.processes if p.name == name and p.status == RUNNING] if state else []
        return found[0] if found else None

    def rows(self, sql: str) -> list[dict[str, Any]]:
        """What a SELECT gives, a dictionary for each row; [] while ClickHouse is away.

        Not by the command: whoever waits asks often, and each start of one would keep a core busy for half a second.
        """
        try:
            settings = load_settings(data=self.data)
            with client_as(settings, settings.clickhouse_reader, retry_s=0) as clickhouse:
                answer = clickhouse.raw(sql, output_format="JSONEachRow")
        except (ClickHouseError, BadSettings):
            return []
        return [json.loads(line) for line in answer.splitlines()]

    def kafka(self) -> dict[str, Any]:
        """librdkafka's settings of the connection."""
        return load_settings(data=self.data).kafka_config()

    def log(self, topic: str) -> list[tuple[Record, Decoded]]:
        """The committed records of a topic, decoded; of one partition in their order."""
        source = KafkaSource({**self.kafka(), "log_level": 2})
        kind = "event" if TOPICS[topic].kind is Kind.EVENT else "message"
        return [
            (record, decode(record.value or b"", kind))  # type: ignore[arg-type]
            for partition, (first, end) in source.ranges(topic).items()
            for batch in source.batches(topic, partition, first, end)
            for record in batch
        ]

    def verify(self) -> dict[str, Any]:
        """The report of `replay verify`, with its exit code; waits while the tables only lag behind."""
        done = self.run("replay", "verify", "--json")
        assert done.stdout, done.stderr
        report: dict[str, Any] = msgspec.json.decode(done.stdout)
        return {**report, "exit_code": done.returncode}


def eventually(look: Callable[[], T | None], timeout_s: float = TIMEOUT_S) -> T:
    """What `look` gives as soon as it gives something true."""
    until = time.monotonic() + timeout_s
    while time.monotonic() < until:
        if found := look():
            return found
        time.sleep(0.2)
    raise AssertionError("waited in vain")
