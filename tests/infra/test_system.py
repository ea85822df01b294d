"""A whole system: up with nothing but Python on the path and its ports taken, restarts, down, nothing left."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest

from neural_hive.connectors.ports import HOST, answers
from neural_hive.settings import load_settings

PROCESSORS = {"processor-orchestrator", "processor"}
PROCESSES = PROCESSORS | {
    *("kafka-1", "clickhouse", "schema-registry", "projector", "worker", "api", "sealer"),
}


def command(data: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs the command with no program on its path: no Java, no Docker, nothing."""
    return subprocess.run(
        [sys.executable, "-m", "neural_hive.cli", *arguments, "--data", str(data)],
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
        env={**os.environ, "PATH": str(data / "no-programs")},
    )


def status(data: Path) -> dict[str, Any]:
    """The system's own word."""
    shown: dict[str, Any] = json.loads(command(data, "status", "--json").stdout)
    return shown


def wait_all_running(data: Path, restarted: str = "") -> dict[str, Any]:
    """The processes once all of them run, after the restart of one if it is named."""
    deadline = time.monotonic() + 200
    while time.monotonic() < deadline:
        shown = status(data)
        processes = {process["name"]: process for process in shown["processes"]}
        all_run = all(process["status"] == "running" for process in processes.values())
        if all_run and (not restarted or processes[restarted]["restarts"]):
            return processes
        time.sleep(0.5)
    raise AssertionError(f"{restarted or 'a process'} did not come back")


def assert_serves(name: str, metrics_url: str) -> None:
    """A process tells its metrics, and that it lives and is ready."""
    metrics = read(metrics_url)
    assert "process_resident_memory_bytes" in metrics
    # Every process has what it counts from its first moment on, and none what others count.
    assert ("neural_hive_recovery_seconds{" in metrics) == (name in PROCESSORS)
    assert ("neural_hive_projector_stopped_partitions 0.0" in metrics) == (name == "projector")
    health = json.loads(read(metrics_url.replace("/metrics", "/health")))
    assert (health["status"], health["process"]) == ("alive", name)
    assert json.loads(read(metrics_url.replace("/metrics", "/ready"))) == {"status": "ready", "process": name}


def read(url: str) -> str:
    with urllib.request.urlopen(url, timeout=30) as answer:
        text: str = answer.read().decode()
        return text


@pytest.mark.slow
def test_up_restart_down(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            taken.bind((HOST, 19092))
            taken.listen()
        except OSError:
            pass  # another server has it: taken all the same
        up = command(tmp_path, "up", "--detach")
    try:
        assert up.returncode == 0, up.stdout + up.stderr
        assert "port 19092 is taken: Kafka broker 1 listens on" in " ".join(up.stdout.split())
        shown = status(tmp_path)
        assert shown["status"] == "running"
        assert {process["name"] for process in shown["processes"]} == PROCESSES
        wait_all_running(tmp_path)  # nothing waits for the sealer
        shown = status(tmp_path)
        served = {p["name"]: p["metrics_url"] for p in shown["processes"] if p["metrics_url"]}
        assert served.keys() == PROCESSES - {"kafka-1"}
        for name, url in served.items():
            assert_serves(name, url)
        members = [psutil.Process(shown["pid"]), *psutil.Process(shown["pid"]).children(recursive=True)]

        again = command(tmp_path, "up")
        assert again.returncode == 1
        assert "a system already runs on" in again.stderr

        broker = next(process for process in shown["processes"] if process["name"] == "kafka-1")
        psutil.Process(broker["pid"]).kill()
        after = wait_all_running(tmp_path, "kafka-1")
        assert after["kafka-1"]["pid"] != broker["pid"]
        assert after["kafka-1"]["last_exit_code"] == -9
        assert load_settings(data=tmp_path).kafka_bootstrap == shown["endpoints"]["kafka_bootstrap"]
        members += psutil.Process(shown["pid"]).children(recursive=True)
    finally:
        down = command(tmp_path, "down")
    assert down.returncode == 0, down.stderr
    _, alive = psutil.wait_procs(members, timeout=60)
    assert [process for process in alive if process.status() != psutil.STATUS_ZOMBIE] == []
    assert command(tmp_path, "status").returncode == 3
    assert not [url for url in served.values() if answers(urlsplit(url).port or 0)]
    assert not list((tmp_path / "run").glob("*.metrics"))
