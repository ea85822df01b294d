"""The artifact store: what goes in comes out, once, and checked."""

import hashlib
from pathlib import Path

import pytest

from neural_hive.connectors.artifacts import ArtifactError, ArtifactStore


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(tmp_path / "store", size_bytes_max=1_000)


def written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def kept_files(tmp_path: Path) -> list[Path]:
    return [path for path in (tmp_path / "store").rglob("*") if path.is_file()]


def test_a_file_comes_back_by_the_hash_of_its_bytes(store: ArtifactStore, tmp_path: Path) -> None:
    stored = store.put(written(tmp_path / "wheel", b"bytes"))
    assert stored.sha256 == hashlib.sha256(b"bytes").hexdigest()
    assert stored.uri == f"sha256:{stored.sha256}"
    assert stored.size_bytes == 5
    store.fetch(stored.sha256, tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == b"bytes"


def test_the_same_bytes_are_kept_once(store: ArtifactStore, tmp_path: Path) -> None:
    first = store.put(written(tmp_path / "one", b"same"))
    assert store.put(written(tmp_path / "two", b"same")) == first
    assert len(kept_files(tmp_path)) == 1


def test_changed_bytes_are_noticed_and_not_given(store: ArtifactStore, tmp_path: Path) -> None:
    stored = store.put(written(tmp_path / "one", b"good"))
    kept_files(tmp_path)[0].write_bytes(b"evil")
    with pytest.raises(ArtifactError, match="changed on disk"):
        store.fetch(stored.sha256, tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


def test_a_file_over_the_limit_is_refused_and_leaves_nothing(store: ArtifactStore, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="larger than 1000 bytes"):
        store.put(written(tmp_path / "large", bytes(1_001)))
    assert kept_files(tmp_path) == []


def test_a_link_is_refused(store: ArtifactStore, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(written(tmp_path / "secret", b"secret"))
    with pytest.raises(ArtifactError, match="links are refused"):
        store.put(tmp_path / "link")


def test_a_folder_is_refused(store: ArtifactStore, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(ArtifactError, match="no regular file"):
        store.put(tmp_path / "folder")


def test_what_is_not_here_says_where_it_looked(store: ArtifactStore, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=str(tmp_path)):
        store.fetch("0" * 64, tmp_path / "copy")


def test_an_address_cannot_lead_out_of_the_store(store: ArtifactStore, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="no SHA-256"):
        store.fetch("../../etc/passwd", tmp_path / "copy")
