"""Kafka's jars: exactly those of the lock, and no network once they are there."""

import shutil
from pathlib import Path

import pytest

from neural_hive.connectors import kafka_jars as jars
from neural_hive.connectors.kafka_jars import LOCK, JarsRefused, cache_folder, kafka_jars, read_lock


@pytest.fixture(scope="module")
def fetched() -> Path:
    """The user's own jars, to copy from."""
    return kafka_jars(cache_folder())


@pytest.fixture
def cache(fetched: Path, tmp_path: Path) -> Path:
    """A cache of its own, with the jars in it."""
    shutil.copytree(fetched, tmp_path / fetched.name)
    return tmp_path


def _no_network(room: Path) -> list[Path]:
    raise AssertionError(f"asked to download into {room}")


def test_the_second_start_does_not_download(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jars, "_download", _no_network)
    assert {jar.name for jar in kafka_jars(cache).iterdir()} == read_lock(LOCK).keys()


def test_a_changed_jar_is_refused(cache: Path, fetched: Path) -> None:
    jar = cache / fetched.name / "kafka-clients-4.4.0.jar"
    content = bytearray(jar.read_bytes())
    content[len(content) // 2] ^= 1
    jar.write_bytes(content)
    with pytest.raises(JarsRefused, match=r"kafka-clients-4.4.0.jar .*not the one in the lock.*Delete .*"):
        kafka_jars(cache)


def test_an_additional_jar_is_refused(cache: Path, fetched: Path) -> None:
    (cache / fetched.name / "extra.jar").touch()
    with pytest.raises(JarsRefused, match=r"extra.jar .*is not in the lock"):
        kafka_jars(cache)


def test_a_missing_jar_is_refused(cache: Path, fetched: Path) -> None:
    (cache / fetched.name / "kafka-raft-4.4.0.jar").unlink()
    with pytest.raises(JarsRefused, match=r"kafka-raft-4.4.0.jar .*is missing"):
        kafka_jars(cache)


def test_a_download_that_is_not_the_locked_one_is_not_kept(
    tmp_path: Path, fetched: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def other(room: Path) -> list[Path]:
        changed = room / "kafka-raft-4.4.0.jar"
        changed.write_bytes(b"other")
        return [jar for jar in fetched.iterdir() if jar.name != changed.name] + [changed]

    monkeypatch.setattr(jars, "_download", other)
    with pytest.raises(JarsRefused, match=r"kafka-raft-4.4.0.jar"):
        kafka_jars(tmp_path)
    assert [left.suffix for left in tmp_path.iterdir()] == [".busy"]


def test_no_network_at_the_first_start_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import jgo

    def offline(*_: object, **__: object) -> None:
        raise ConnectionError("Network is unreachable")

    monkeypatch.setattr(jgo.EnvironmentBuilder, "from_endpoint", offline)
    with pytest.raises(JarsRefused, match=r"cannot download Apache Kafka .*Network is unreachable"):
        kafka_jars(tmp_path)


def test_the_lock_is_well_formed() -> None:
    locked = read_lock(LOCK)
    assert len(locked) > 40
    assert all(len(digest) == 64 and name.endswith(".jar") for name, digest in locked.items())
    with pytest.raises(JarsRefused, match="cannot read"):
        read_lock(LOCK.with_name("none.lock"))
