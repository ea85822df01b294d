"""Ports: two systems that start at once, and servers that are not ours."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from neural_hive import system
from neural_hive.commands.system import PORT_ATTEMPTS, run_system
from neural_hive.connectors.ports import HOST, free_port, free_ports, listens
from neural_hive.settings import Settings, load_settings
from neural_hive.supervisor import PortTaken, Service, Stage
from neural_hive.system import NoClickHouse, Plan, plan_system

LISTEN = """
import os, signal, socket, sys
server = socket.socket()
server.bind(("127.0.0.1", int(sys.argv[1])))
server.listen()
os.kill(os.getppid(), signal.SIGTERM)
signal.pause()
"""


def listener_plan(settings: Settings, port: int) -> Plan:
    """A system of one process, which binds a port and then stops the system."""
    one = Service(
        "one",
        lambda: [sys.executable, "-c", LISTEN, str(port)],
        lambda pid: listens(pid, port),
        dict(os.environ),
        settings.data / "logs" / "one.log",
        ports=[port],
    )
    return Plan([Stage([one])], settings, {}, [], None)


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """A system that runs in this process takes the signals over."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def taken() -> socket.socket:
    """A port that another system has taken."""
    other = socket.socket()
    other.bind((HOST, 0))
    other.listen()
    return other


def test_a_port_that_another_system_was_faster_to_take_is_chosen_again(
    tmp_path: Path, taken: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = taken.getsockname()[1]
    lost_before: list[frozenset[int]] = []

    def plan(settings: Settings, brokers: int, lost: frozenset[int]) -> Plan:
        lost_before.append(lost)
        return listener_plan(settings, free_port() if port in lost else port)

    monkeypatch.setattr(system, "plan_system", plan)
    told: list[str] = []
    with taken:
        run_system(tmp_path, None, 1, told.append)
    assert lost_before == [frozenset(), frozenset({port})]
    assert any("one found its port in use" in line for line in told), told
    assert told[-1] == "stopped"


def test_a_port_that_was_lost_is_not_chosen_again(tmp_path: Path) -> None:
    kafka, registry, clickhouse, api, metrics = free_ports(5)
    wanted = load_settings(
        data=tmp_path,
        running=False,
        kafka_port=kafka,
        schema_registry_port=registry,
        clickhouse_http_port=clickhouse,
        api_port=api,
        metrics_port=metrics,
    )
    lost = frozenset({kafka, api, metrics})
    plan = plan_system(wanted, lost=lost)
    chosen = {port for stage in plan.stages for service in stage.services for port in service.ports}
    assert {registry, clickhouse} <= chosen
    assert not lost & chosen
    assert len(chosen) > 8  # four servers, and the metrics of each process
    for port in lost - {metrics}:
        assert any(f"port {port} is taken" in note for note in plan.notes), plan.notes


def test_a_port_that_is_always_taken_ends_the_start(
    tmp_path: Path, taken: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def plan(settings: Settings, brokers: int, lost: frozenset[int]) -> Plan:
        asked.append(1)
        return listener_plan(settings, taken.getsockname()[1])

    monkeypatch.setattr(system, "plan_system", plan)
    with taken, pytest.raises(PortTaken, match="one found its port in use"):
        run_system(tmp_path, None, 1, lambda line: None)
    assert len(asked) == PORT_ATTEMPTS


def test_only_the_process_that_has_a_port_listens_on_it(taken: socket.socket) -> None:
    port = taken.getsockname()[1]
    with taken:
        assert listens(os.getpid(), port)
        with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
            assert not listens(other.pid, port)
            other.kill()
    assert not listens(os.getpid(), port)


def test_a_clickhouse_server_that_does_not_answer_stops_the_start(tmp_path: Path) -> None:
    settings = load_settings(data=tmp_path, running=False, kafka_bootstrap="127.0.0.1:1", clickhouse_port=1)
    with pytest.raises(
        NoClickHouse, match=r"ClickHouse at 127.0.0.1:1 cannot be used as ingest.*one is started here"
    ):
        plan_system(settings)
