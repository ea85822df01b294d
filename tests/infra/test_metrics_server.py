"""What each process serves of itself: metrics, whether it lives, whether it is ready; and what is left of it."""

import json
import os
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from neural_hive.connectors.ports import HOST, answers, free_ports
from neural_hive.metrics_server import MetricsPortTaken, MetricsServer
from neural_hive.process import metrics_url, process
from neural_hive.settings import Settings
from neural_hive.system import METRICS_PORT, plan_system


def get(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


@pytest.fixture(autouse=True)
def _own_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests' own process keeps its log as it is."""
    monkeypatch.setattr("neural_hive.process.configure_logging", lambda *_: None)


@pytest.fixture
def ready() -> list[bool]:
    return []


@pytest.fixture
def server(ready: list[bool]) -> Iterator[MetricsServer]:
    with closing(MetricsServer("projector", 0, lambda: bool(ready))) as server:
        yield server


def test_metrics_health_and_ready(server: MetricsServer, ready: list[bool]) -> None:
    base = server.url.removesuffix("/metrics")
    code, metrics = get(server.url)
    assert code == 200
    assert f"process_start_time_seconds{' '}" in metrics
    code, health = get(f"{base}/health")
    assert (code, json.loads(health)) == (
        200,
        {"status": "alive", "process": "projector", "pid": os.getpid()},
    )
    assert get(f"{base}/ready")[0] == 503
    ready.append(True)
    assert get(f"{base}/ready") == (200, '{"status": "ready", "process": "projector"}\n')
    assert get(f"{base}/else")[0] == 404


def test_a_silent_client_holds_up_nobody(server: MetricsServer) -> None:
    port = int(server.url.split(":")[2].split("/")[0])
    with socket.create_connection((HOST, port), 10):
        assert get(server.url)[0] == 200


def test_a_port_that_is_taken_is_told(server: MetricsServer) -> None:
    port = int(server.url.split(":")[2].split("/")[0])
    with pytest.raises(MetricsPortTaken, match=f"cannot listen on {HOST}:{port} for metrics .*metrics_port"):
        MetricsServer("worker", port, lambda: True)


def test_a_process_tells_where_its_metrics_are_and_leaves_nothing(tmp_path: Path) -> None:
    with process(Settings(data=tmp_path), "worker") as readiness:
        url = metrics_url(tmp_path, "worker", os.getpid())
        assert get(url.replace("/metrics", "/ready"))[0] == 503
        readiness()
        assert get(url.replace("/metrics", "/ready"))[0] == 200
    assert not answers(int(url.split(":")[2].split("/")[0]))
    assert list((tmp_path / "run").iterdir()) == []


def test_metrics_can_be_switched_off(tmp_path: Path) -> None:
    with process(Settings(data=tmp_path, metrics=False), "worker"):
        assert metrics_url(tmp_path, "worker", os.getpid()) == ""


def test_a_given_port_is_the_first_of_those_of_a_system(tmp_path: Path) -> None:
    given = Settings(
        data=tmp_path,
        kafka_bootstrap="127.0.0.1:1",
        clickhouse_http_port=free_ports(1)[0],
        metrics_port=next(p for p in free_ports(20) if not any(answers(p + n) for n in range(9))),
    )
    plan = plan_system(given)
    found = {s.name: s.environment.get(METRICS_PORT) for stage in plan.stages for s in stage.services}
    names = (
        *("processor-orchestrator", "processor", "projector", "worker", "clickhouse", "schema-registry"),
        *("sealer", "witness", "api"),
    )
    expected = {name: str(given.metrics_port + n) for n, name in enumerate(names)}
    expected.pop("witness")  # not one of them, unless it is wanted
    assert found == expected
