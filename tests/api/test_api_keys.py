"""API keys: only their hashes are kept, and a removed one opens nothing."""

import subprocess
import sys
from pathlib import Path

import pytest

from neural_hive.api.api_keys import (
    KeyRing,
    KeysRefused,
    add_key,
    admin_file,
    ensure_first_key,
    keys_file,
    read_keys,
    remove_key,
)
from neural_hive.api.permissions import Role
from neural_hive.api.private_files import PrivateFileRefused
from tests.api.making import Api


def test_a_key_is_known_by_its_hash_alone(tmp_path: Path) -> None:
    key = add_key(tmp_path, "ann", [Role.OPERATOR, Role.OPERATOR])
    ring = KeyRing(tmp_path)
    found = ring.find(key)
    assert found is not None and (found.name, found.roles) == ("ann", (Role.OPERATOR,))
    secret = key.rpartition("_")[2]
    assert secret not in keys_file(tmp_path).read_text()
    assert keys_file(tmp_path).stat().st_mode & 0o777 == 0o600
    for other in (key[:-1], key + "x", key.replace(found.key_id, "0" * 12), f"nh_{found.key_id}_", "nh_"):
        assert ring.find(other) is None
    remove_key(tmp_path, found.key_id)
    assert ring.find(key) is None
    with pytest.raises(KeysRefused, match="no key"):
        remove_key(tmp_path, found.key_id)


def test_the_first_start_makes_a_key(tmp_path: Path) -> None:
    file = ensure_first_key(tmp_path)
    assert file == admin_file(tmp_path) and file.stat().st_mode & 0o777 == 0o600
    found = KeyRing(tmp_path).find(file.read_text().strip())
    assert found is not None and set(found.roles) == set(Role)
    assert ensure_first_key(tmp_path) is None
    keys_file(tmp_path).unlink()
    with pytest.raises(KeysRefused, match="is gone"):
        ensure_first_key(tmp_path)


def test_files_that_cannot_be_trusted_let_nobody_in(lonely: Api, tmp_path: Path) -> None:
    folder, caller = lonely.services.settings.api_folder, lonely.caller()
    assert caller.get("/api/v1/me").status_code == 200
    keys_file(folder).chmod(0o640)
    with pytest.raises(PrivateFileRefused, match="chmod 600"):
        read_keys(folder)
    assert caller.get("/api/v1/me").status_code == 503
    keys_file(folder).chmod(0o600)
    assert caller.get("/api/v1/me").status_code == 200
    whole = keys_file(folder).read_bytes()
    keys_file(folder).write_bytes(whole[:-20])
    assert caller.get("/api/v1/me").status_code == 503
    keys_file(folder).write_bytes(whole)
    assert caller.get("/api/v1/me").status_code == 200
    keys_file(folder).unlink()
    assert caller.get("/api/v1/me").status_code == 401


@pytest.mark.parametrize("name", ["", "   ", "a\nb", "x" * 129])
def test_names_that_are_none(tmp_path: Path, name: str) -> None:
    with pytest.raises(KeysRefused, match="name"):
        add_key(tmp_path, name, [Role.OPERATOR])
    with pytest.raises(KeysRefused, match="role"):
        add_key(tmp_path, "ann", [])


_ADD = """
import pathlib, sys
from neural_hive.api.api_keys import add_key
for number in range(5):
    add_key(pathlib.Path(sys.argv[1]), f"k{number}", ["auditor"])
"""


def test_keys_that_are_made_at_once_are_all_there(tmp_path: Path) -> None:
    processes = [subprocess.Popen([sys.executable, "-c", _ADD, str(tmp_path)]) for _ in range(3)]
    assert [process.wait(60) for process in processes] == [0, 0, 0]
    assert len(read_keys(tmp_path)) == 15
