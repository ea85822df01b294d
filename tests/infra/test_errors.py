"""What a person is told when something is away, wrong or not there: one sentence that says what to do, and no trace."""

import http.server
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from neural_hive import cli
from neural_hive.connectors import kafka_offsets, schema_log
from neural_hive.connectors.kafka_admin import KafkaUnreachable
from neural_hive.connectors.kafka_log import Offsets, UnreadableLog
from neural_hive.connectors.ports import free_port
from neural_hive.connectors.schema_registry import RegistryUnusable, register_all
from neural_hive.explain import explained
from neural_hive.schemas import catalogue
from neural_hive.schemas.catalogue import BadSchemas
from neural_hive.streams import runner
from neural_hive.streams.orchestrator import system as orchestrator
from neural_hive.streams.runner import cluster_of

NOBODY = "127.0.0.1:1"
EXECUTION = {
    "name": "one",
    "schemaVersion": "1.5",
    "workflow": {
        "specification": {"tasks": [{"name": "a", "id": "a", "parents": [], "children": []}]},
        "execution": {"tasks": [{"id": "a", "runtimeInSeconds": 1.0}], "makespanInSeconds": 1.0},
    },
}


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "neural_hive.cli", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, **environment},
    )


def _is_told(done: subprocess.CompletedProcess[str], code: int, *words: str) -> None:
    told = done.stdout + done.stderr
    assert done.returncode == code, told
    assert "Traceback" not in told
    assert "not foreseen" not in told
    for word in words:
        assert word in told


def test_brokers_that_are_away(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (runner, kafka_offsets, schema_log):
        monkeypatch.setattr(module, "CALL_TIMEOUT_S", 0.5)
    config = {"bootstrap.servers": NOBODY, "log_level": 0}
    with pytest.raises(KafkaUnreachable, match=rf"no Kafka broker answers at {NOBODY} .*kafka_bootstrap"):
        cluster_of(config, orchestrator.build())
    with pytest.raises(UnreadableLog, match=r"execution\.tickets cannot be read.*Is Kafka running"):
        Offsets(config).ranges("execution.tickets")
    with pytest.raises(Exception) as away:
        schema_log.SchemaLog(config)
    assert "Kafka does not answer" in (explained(away.value) or "")


PROCESS = """
import sys
from pathlib import Path
from neural_hive.process import process
from neural_hive.settings import Settings
with process(Settings(data=Path(sys.argv[1]), metrics=False), "tried"):
    {does}
"""


@pytest.mark.parametrize(
    ("does", "why"),
    [
        ("from neural_hive.streams.runner import WrongCluster; raise WrongCluster('make topics')", "make topics"),
        ("import confluent_kafka; confluent_kafka.Producer({'ssl.ca.location': '/none', "
         "'security.protocol': 'ssl'})", "Kafka cannot be used with these settings (kafka_…)"),
    ],
)  # fmt: skip
def test_a_process_that_cannot_go_on_says_why_in_one_line(tmp_path: Path, does: str, why: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROCESS.format(does=does), str(tmp_path)], capture_output=True, text=True, timeout=60
    )  # fmt: skip
    _is_told(done, 1)
    last = json.loads(done.stderr.splitlines()[-1])
    assert (last["event"], last["level"]) == ("stopped", "critical")
    assert why in last["why"]


def test_a_process_with_a_fault_of_its_own_shows_where(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROCESS.format(does="1 / 0"), str(tmp_path)], capture_output=True, text=True, timeout=60
    )  # fmt: skip
    assert done.returncode == 1
    assert "ZeroDivisionError" in json.loads(done.stderr.splitlines()[-1])["exception"]


def test_a_registry_that_is_away_or_none() -> None:
    port = free_port()
    with pytest.raises(RegistryUnusable, match=rf"answers at http://127.0.0.1:{port} .*schema_registry_url"):
        register_all(f"http://127.0.0.1:{port}", {"max.retries": 0})


@pytest.fixture
def other_server(tmp_path: Path) -> Iterator[str]:
    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            return

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_server_that_is_no_registry(other_server: str) -> None:
    with pytest.raises(RegistryUnusable, match=other_server):
        register_all(other_server, {"max.retries": 0})


@pytest.mark.parametrize("out", ["no-such-folder/plan.yaml", "file/plan.json"])
def test_a_plan_that_cannot_be_written(tmp_path: Path, out: str) -> None:
    (tmp_path / "file").touch()
    recording = tmp_path / "recording.json"
    recording.write_text(json.dumps(EXECUTION))
    done = run("import", "wfformat", str(recording), "--out", str(tmp_path / out))
    _is_told(done, 2, f"{tmp_path / out}: cannot be written")


@pytest.mark.parametrize("command", ["up", "up --detach", "worker"])
def test_a_data_folder_that_is_none(tmp_path: Path, command: str) -> None:
    (tmp_path / "file").touch()
    there = {"NEURAL_HIVE_DATA": str(tmp_path / "file"), "NEURAL_HIVE_KAFKA_BOOTSTRAP": NOBODY}
    _is_told(run(*command.split(), **there), 1, "error: the folder", "Name another data folder with --data")


def test_a_demo_that_has_nowhere_to_stay(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    _is_told(run("demo", "--keep", str(tmp_path / "file" / "data")), 1, "error: the folder")


def test_an_answer_for_machines_holds_no_log_lines(tmp_path: Path) -> None:
    there = {
        "NEURAL_HIVE_DATA": str(tmp_path),
        "NEURAL_HIVE_CLICKHOUSE_PORT": str(free_port()),
        "NEURAL_HIVE_CLICKHOUSE_HOST": "127.0.0.1",
    }
    done = run("agents", "--json", **there)
    _is_told(done, 1, "no answer from ClickHouse")
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1


def test_settings_of_kafka_that_cannot_be_used(tmp_path: Path) -> None:
    plan = tmp_path / "plan.yaml"
    plan.write_text("tasks: [{task_id: a, command: ['true']}]")
    there = {"NEURAL_HIVE_KAFKA_BOOTSTRAP": NOBODY, "NEURAL_HIVE_DATA": str(tmp_path)}
    tls = {"NEURAL_HIVE_KAFKA_SECURITY_PROTOCOL": "SSL", "NEURAL_HIVE_KAFKA_SSL_CA": "/none"}
    done = run("publish", "plan", str(plan), **there, **tls)
    _is_told(done, cli.FAILED, "error: Kafka cannot be used with these settings (kafka_…)", "ssl.ca.location")


def test_schemas_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(BadSchemas) as missing:
        list(catalogue._rows(tmp_path))
    assert (explained(missing.value) or "").startswith(f"{tmp_path} has no ids.json")
