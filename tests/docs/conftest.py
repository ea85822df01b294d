"""Somebody who reads the pages: a folder, a shell, and the system that the README starts in it."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, Reader

DEFAULT_PORTS = {
    "kafka_bootstrap": "19092",
    "clickhouse_port": "18123",
    "schema_registry_url": "18081",
    "api_port": "18080",
}
TOUR_END = "neural-hive down"


def clean_environment() -> dict[str, str]:
    """The environment without settings: the pages say nothing of any, and other tests may have set some."""
    return {
        name: value
        for name, value in os.environ.items()
        if name == "NEURAL_HIVE_CACHE" or not name.startswith("NEURAL_HIVE_")
    }


def reader_in(folder: Path, **more: str) -> Reader:
    """A reader with the command of this environment in the path, and no settings but those given."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return Reader(folder, {**clean_environment(), "PATH": path, "COLUMNS": "140", **more})


def learn_ports(reader: Reader) -> None:
    """The pages name the default ports; here others may have been chosen."""
    output, exit_code = reader.run("neural-hive status --json")
    assert exit_code == 0, output
    endpoints = json.loads(output)["endpoints"]
    reader.ports = {said: endpoints[name].rpartition(":")[2] for name, said in DEFAULT_PORTS.items()}


def stop_all(folder: Path) -> None:
    """Ends what a page may have left running."""
    command = [sys.executable, "-m", "neural_hive.cli", "down"]
    subprocess.run(command, cwd=folder, env=clean_environment(), check=True, timeout=200, capture_output=True)


@pytest.fixture(scope="module")
def toured(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    """A reader who has done all that the README says, up to the stop; the system still runs.

    A module's SETTINGS are its system's.
    """
    folder = tmp_path_factory.mktemp("tour")
    reader = reader_in(folder, **getattr(request.module, "SETTINGS", {}))
    try:
        assert reader.follow(ROOT / "README.md", until="neural-hive publish") == 1
        learn_ports(reader)
        assert reader.follow(ROOT / "README.md", since="neural-hive publish", until=TOUR_END) > 8
        yield reader
    finally:
        reader.close()
        stop_all(folder)
