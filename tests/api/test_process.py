"""The API as a process of its own: what it needs, what it says, how it ends."""

import json
import socket
import subprocess
import sys
import urllib.request

import pytest

from neural_hive.api.api_keys import KeyRing, add_key
from neural_hive.api.permissions import Role
from neural_hive.connectors.ports import free_port
from tests.sdk.conftest import CLI, Hive

pytestmark = pytest.mark.slow


def test_it_serves_and_ends_in_order(hive: Hive) -> None:
    key = add_key(hive.settings.api_folder, "ann", [Role.AUDITOR])
    port = free_port()
    hive.settings = hive.settings.model_copy(update={"api_port": port})
    process = hive.start(*CLI, "api", name="api")
    try:
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/api/v1/me", headers={"Authorization": f"Bearer {key}"}
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            assert json.load(answer)["name"] == "ann"
        assert key not in hive.log()
        other = subprocess.run(
            [sys.executable, *CLI, "api"], env=hive.environment, capture_output=True, text=True, timeout=120
        )
        assert other.returncode == 1 and f"cannot listen on 127.0.0.1:{port}" in other.stderr
    finally:
        code = hive.stop(process)
    assert code == 0, hive.log()
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0


def test_keys_are_made_listed_and_removed(hive: Hive) -> None:
    def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
        line = [sys.executable, *CLI, "api-key", *arguments]
        return subprocess.run(line, env=hive.environment, capture_output=True, text=True, timeout=120)

    key = run("add", "kim", "--role", "auditor").stdout.strip()
    ring = KeyRing(hive.settings.api_folder)
    assert ring.find(key)
    listed = json.loads(run("list", "--json").stdout)
    [kim] = [one for one in listed if one["name"] == "kim"]
    assert kim["roles"] == ["auditor"] and "sha256" not in kim
    assert run("remove", kim["key_id"]).returncode == 0
    assert ring.find(key) is None
    wrong = run("add", "kim", "--role", "king")
    assert wrong.returncode == 1 and "must be one of publisher" in wrong.stderr
