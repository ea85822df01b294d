"""Who may come in is saved with a system, and what would let a stranger in is not."""

from pathlib import Path

import pytest

from neural_hive.api.api_keys import KeyRing, add_key, admin_file, ensure_first_key, remove_key
from neural_hive.api.auth import KeyVerifier
from neural_hive.api.permissions import Role
from neural_hive.api.quota_keys import FILE as QUOTA_SECRET
from neural_hive.api.quota_keys import QuotaKeys
from neural_hive.api.ticket_tokens import held_tokens
from neural_hive.connectors.sql_users import SqlUser, hash_password, read_users, write_users
from neural_hive.replay.backup.copies import are_secret, check_keys, copy_keys, restore_keys
from neural_hive.replay.backup.manifest import BackupUnusable
from tests.backup.two_clusters import TwoClusters


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data folder in which the API and SQL users have left all that they leave."""
    data = tmp_path / "old"
    api = data / "api"
    ensure_first_key(api)
    held_tokens(api)
    QuotaKeys.of(api)
    (api / "page.secret").write_text("signs cookies")
    (api / "page").mkdir()
    (api / "page" / "storage-user-1.json").write_text("{}")
    (data / "clickhouse").mkdir()
    write_users(data / "clickhouse" / "sql-users.toml", {"alice": SqlUser(hash_password("correct horse"))})
    return data


def names(keys: tuple[str, ...]) -> set[str]:
    return {line.partition("  ")[2] for line in keys}


def test_the_same_callers_come_in_again(data: Path, tmp_path: Path) -> None:
    ann, bob = add_key(data / "api", "ann", [Role.AUDITOR]), add_key(data / "api", "bob", [Role.OPERATOR])
    remove_key(data / "api", bob.split("_")[1])
    first = admin_file(data / "api").read_text().strip()
    keys = copy_keys(data, tmp_path / "saved")
    check_keys(tmp_path / "saved", keys)
    restore_keys(tmp_path / "saved", keys, tmp_path / "new")
    restored = KeyVerifier(KeyRing(tmp_path / "new" / "api"))
    found = restored.identity(ann)
    assert (found.name, found.roles) == ("ann", {Role.AUDITOR})
    assert restored.identity(first).roles == set(Role)
    assert KeyRing(tmp_path / "new" / "api").find(bob) is None
    assert ensure_first_key(tmp_path / "new" / "api") is None, "there are keys: no other one is made"
    assert read_users(tmp_path / "new" / "clickhouse" / "sql-users.toml").keys() == {"alice"}


def test_no_secret_of_the_api_is_saved(data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "saved"
    keys = copy_keys(data, folder)
    assert names(keys) == {"api/keys.json", "clickhouse/sql-users.toml"} and are_secret(keys)
    secret = ["admin.key", "ticket.key", QUOTA_SECRET, "page.secret"]
    held = [(data / "api" / name).read_bytes() for name in secret]
    for file in folder.rglob("*"):
        assert file.stat().st_mode & 0o077 == 0, file
        assert file.is_dir() or not any(content in file.read_bytes() for content in held), file


def test_without_keys_only_what_opens_nothing_is_saved(data: Path, tmp_path: Path) -> None:
    keys = copy_keys(data, tmp_path / "saved", with_secrets=False)
    assert names(keys) == {"api/keys.json"} and not are_secret(keys)
    assert [file.name for file in (tmp_path / "saved").rglob("*") if file.is_file()] == ["keys.json"]


def test_callers_that_are_there_already_are_not_replaced(data: Path, tmp_path: Path) -> None:
    keys = copy_keys(data, tmp_path / "saved")
    add_key(tmp_path / "new" / "api", "eve", [Role.OPERATOR])
    with pytest.raises(BackupUnusable, match=r"keys\.json is another one"):
        restore_keys(tmp_path / "saved", keys, tmp_path / "new")


def test_callers_whose_file_was_changed_are_not_let_in(data: Path, tmp_path: Path) -> None:
    keys = copy_keys(data, tmp_path / "saved")
    file = tmp_path / "saved" / "keys" / "api" / "keys.json"
    file.write_text(file.read_text().replace("auditor", "operator"))
    with pytest.raises(BackupUnusable, match="is damaged"):
        restore_keys(tmp_path / "saved", keys, tmp_path / "new")
    assert not (tmp_path / "new" / "api").exists()


@pytest.mark.slow
def test_a_backup_restores_them(clusters: TwoClusters, tmp_path: Path) -> None:
    clusters.write(3)
    key = add_key(clusters.data / "api", "ann", [Role.PUBLISHER])
    manifest = clusters.save()
    assert "api/keys.json" in names(manifest.keys)
    clusters.restore(tmp_path / "restored")
    assert KeyVerifier(KeyRing(tmp_path / "restored" / "api")).identity(key).name == "ann"
