"""Files give back what was written, and say so when they do not."""

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neural_hive.connectors.kafka_log import Record
from neural_hive.replay.backup import files
from neural_hive.replay.backup.copies import check_keys, copy_artifacts, copy_keys, restore_keys
from neural_hive.replay.backup.files import check_hash, read_file, remove_strangers, write_files
from neural_hive.replay.backup.manifest import (
    FILE,
    BackupUnusable,
    Manifest,
    SavedFile,
    SavedPartition,
    SavedTopic,
    manifest_of,
    read_manifest,
    write_manifest,
)
from neural_hive.replay.backup.sources import Span, spans

bytes_or_none = st.none() | st.binary(max_size=20)
lines = st.lists(
    st.tuples(
        st.integers(0, 2**60),
        bytes_or_none,
        bytes_or_none,
        st.lists(st.tuples(st.text(max_size=5), bytes_or_none), max_size=3).map(tuple),
    ),
    max_size=30,
)


def some(count: int, first: int = 0, size_bytes: int = 10) -> list[Record]:
    return [
        Record("t", 0, first + n, n, b"k", bytes([n % 256]) * size_bytes, (("h", None),))
        for n in range(count)
    ]


def saved(folder: Path, records: list[Record], end: int) -> list[SavedFile]:
    return list(write_files(folder, "t", 0, records[0].offset if records else 0, end, [records]))


def read(folder: Path, found: list[SavedFile]) -> list[Record]:
    return [record for file in found for batch in read_file(folder, file, "t", 0) for record in batch]


@given(lines)
def test_any_record_comes_back(
    tmp_path_factory: pytest.TempPathFactory,
    lines: list[tuple[int, bytes | None, bytes | None, tuple[tuple[str, bytes | None], ...]]],
) -> None:
    folder = tmp_path_factory.mktemp("files")
    records = [Record("t", 0, offset * 3, *line) for offset, line in enumerate(lines)]
    assert read(folder, saved(folder, records, len(records) * 3)) == records


def test_a_long_partition_has_several_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "FILE_BYTES", 50_000)
    monkeypatch.setattr(files, "BLOCK_RECORDS", 100)
    records = some(1_000, size_bytes=200)
    found = saved(tmp_path, records, 1_005)
    assert len(found) > 3
    assert [file.first for file in found] == [0, *(file.end for file in found[:-1])]
    assert found[-1].end == 1_005
    assert read(tmp_path, found) == records


def test_no_records_need_no_file(tmp_path: Path) -> None:
    assert saved(tmp_path, [], 7) == []


@pytest.mark.parametrize("harm", ["flip", "cut", "remove", "swap"])
def test_a_damaged_file_is_found(tmp_path: Path, harm: str) -> None:
    [first] = saved(tmp_path, some(500), 500)
    file = tmp_path / first.path
    data = bytearray(file.read_bytes())
    if harm == "flip":
        data[len(data) // 2] ^= 1
        file.write_bytes(data)
    elif harm == "cut":
        file.write_bytes(data[:-10])
    elif harm == "remove":
        file.unlink()
    else:
        [other] = saved(tmp_path, some(500, first=1_000), 1_500)
        file.write_bytes((tmp_path / other.path).read_bytes())
    with pytest.raises(BackupUnusable, match="is damaged"):
        check_hash(tmp_path, first)
    with pytest.raises(BackupUnusable, match="is damaged"):
        read(tmp_path, [first])


def test_another_count_than_the_manifest_says(tmp_path: Path) -> None:
    [file] = saved(tmp_path, some(5), 5)
    with pytest.raises(BackupUnusable, match="has 5 records, the manifest says 6"):
        read(tmp_path, [msgspec.structs.replace(file, records=6)])


def test_what_no_manifest_names_is_removed(tmp_path: Path) -> None:
    [kept] = saved(tmp_path, some(5), 5)
    [stranger] = saved(tmp_path, some(5, first=5), 10)
    draft = tmp_path / "records/t/0/00000000000000000010.new"
    draft.write_bytes(b"half of it")
    remove_strangers(tmp_path, [kept])
    assert (tmp_path / kept.path).exists()
    assert not (tmp_path / stranger.path).exists()
    assert not draft.exists()


def manifest(**changed: object) -> Manifest:
    topic = SavedTopic("t", "id", {"retention.ms": "-1"}, (SavedPartition(0, 0, 5, ()),))
    whole = Manifest(
        build="1",
        began_at="a",
        cut_at="b",
        ended_at="c",
        held_s=1.5,
        cluster_id="x",
        topics=(topic,),
        groups={},
        schema_ids=(1, 2),
    )
    return msgspec.structs.replace(whole, **changed)


def test_a_manifest_comes_back(tmp_path: Path) -> None:
    assert manifest_of(tmp_path) is None
    write_manifest(tmp_path, manifest())
    assert read_manifest(tmp_path) == manifest()
    assert [file.name for file in tmp_path.iterdir()] == [FILE]


def test_a_folder_without_manifest_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(BackupUnusable, match="holds no whole backup"):
        read_manifest(tmp_path)


def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    write_manifest(tmp_path, manifest(format=2))
    with pytest.raises(BackupUnusable, match="this build reads format 1"):
        read_manifest(tmp_path)


def test_a_damaged_manifest_is_refused(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b'{"format": 1')
    with pytest.raises(BackupUnusable, match="is damaged"):
        read_manifest(tmp_path)


def test_keys_are_for_their_owner_and_come_back(tmp_path: Path) -> None:
    data, folder, new = tmp_path / "data", tmp_path / "backup", tmp_path / "new"
    (data / "seal").mkdir(parents=True)
    (data / "seal" / "signing.key").write_bytes(b"secret")
    (data / "seal" / "state.json").write_bytes(b"of another moment")
    [line] = keys = copy_keys(data, folder)
    assert line.endswith("  seal/signing.key")
    kept = folder / "keys" / "seal" / "signing.key"
    assert kept.stat().st_mode & 0o777 == 0o600
    assert kept.parent.stat().st_mode & 0o777 == kept.parents[1].stat().st_mode & 0o777 == 0o700
    restore_keys(folder, keys, new)
    assert (new / "seal" / "signing.key").read_bytes() == b"secret"
    (new / "seal" / "signing.key").write_bytes(b"another")
    with pytest.raises(BackupUnusable, match="is another one"):
        restore_keys(folder, keys, new)
    kept.write_bytes(b"secreT")
    with pytest.raises(BackupUnusable, match="is damaged"):
        check_keys(folder, keys)


def test_artifacts_are_copied_once_and_checked(tmp_path: Path) -> None:
    name = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
    source = tmp_path / "artifacts" / name[:2] / name
    source.parent.mkdir(parents=True)
    source.write_bytes(b"hello")
    assert copy_artifacts(tmp_path / "artifacts", tmp_path / "copy") == 1
    assert copy_artifacts(tmp_path / "artifacts", tmp_path / "copy") == 1
    assert (tmp_path / "copy" / name[:2] / name).read_bytes() == b"hello"
    source.write_bytes(b"hellO")
    with pytest.raises(BackupUnusable, match="was changed on disk"):
        copy_artifacts(tmp_path / "artifacts", tmp_path / "other")


@pytest.mark.parametrize(
    ("first", "begin", "end", "archived", "expected", "missing"),
    [
        (0, 0, 9, 0, [Span(0, 9, False)], 0),
        (9, 0, 9, 0, [], 0),
        (0, 5, 9, 5, [Span(0, 5, True), Span(5, 9, False)], 0),
        (0, 5, 9, 7, [Span(0, 5, True), Span(5, 9, False)], 0),
        (0, 5, 9, 3, [Span(0, 3, True), Span(5, 9, False)], 2),
        (0, 5, 9, 0, [Span(5, 9, False)], 5),
        (4, 5, 9, 3, [Span(5, 9, False)], 1),
        (0, 9, 9, 9, [Span(0, 9, True)], 0),
        (0, 9, 9, 0, [], 9),
    ],
)
def test_the_archive_goes_on_where_kafka_begins(
    first: int, begin: int, end: int, archived: int, expected: list[Span], missing: int
) -> None:
    assert spans(first, begin, end, archived) == (expected, missing)
