"""What was saved stands at its offsets again, with its times, whatever lay between; and nothing is mixed."""

from collections.abc import Iterator
from typing import Any

import pytest

from neural_hive.connectors.kafka_cluster import Cluster
from neural_hive.connectors.kafka_log import Offsets, Record
from neural_hive.projections.positions import Position
from neural_hive.replay.backup import restored
from neural_hive.replay.backup.check import check
from neural_hive.replay.backup.gaps import Write
from neural_hive.replay.backup.manifest import BackupUnusable
from neural_hive.replay.backup.restored import NotEmpty
from neural_hive.replay.backup.tables import TablesInUse, TablesNotFilled
from neural_hive.replay.backup.writer import NotAsSaved
from tests.backup.two_clusters import TwoClusters

pytestmark = pytest.mark.slow


def fill_with_gaps(clusters: TwoClusters) -> None:
    """Gaps of one to seven offsets, side by side and alone, at the beginning, between and at the end."""
    clusters.transact(1, commit=False)  # 2 at the beginning
    clusters.write(3)
    clusters.transact(2)  # 1
    clusters.transact(1)  # 1
    clusters.transact(1, commit=False)  # with the marker before: 3
    clusters.transact(4)
    clusters.transact(5, commit=False)  # with the marker before: 7
    clusters.write(1)
    clusters.transact(1, commit=False)  # 2
    clusters.write(2)
    clusters.transact(3)  # 1 at the end
    clusters.transact(2, partition=1)
    clusters.write(2, partition=1)


def is_the_same(clusters: TwoClusters, partition: int, end: int) -> None:
    before = [r for r in clusters.records(clusters.first, partition) if r.offset < end]
    after = clusters.records(clusters.second, partition)
    assert after == before
    assert Offsets(clusters.second).ranges(clusters.topic)[partition][1] == end


def test_offsets_times_groups_tables_and_settings_are_as_they_were(clusters: TwoClusters) -> None:
    fill_with_gaps(clusters)
    clusters.commit(9)
    manifest = clusters.save()
    [topic] = manifest.topics
    clusters.restore()
    for part in topic.partitions:
        is_the_same(clusters, part.partition, part.end)
        values = [(r.offset, r.value) for r in clusters.records(clusters.second, part.partition)]
        assert clusters.archived(part.partition) == values
    place = (clusters.topic, 0)
    assert Cluster(clusters.second).committed(clusters.system.name, [place]) == {place: 9}
    found = Cluster(clusters.second).topics([clusters.topic])[clusters.topic].config
    assert found == Cluster(clusters.first).topics([clusters.topic])[clusters.topic].config
    assert found["message.timestamp.type"] == "LogAppendTime"


def test_a_further_backup_adds_what_is_new(clusters: TwoClusters) -> None:
    clusters.write(20)
    first = clusters.save()
    clusters.transact(5)
    second = clusters.save()
    third = clusters.save()
    assert [len(m.files) for m in (first, second, third)] == [1, 2, 2]
    assert second.files[0] == first.files[0]
    assert third.records == 25
    assert check(clusters.folder).records == 25
    clusters.restore()
    is_the_same(clusters, 0, third.topics[0].partitions[0].end)


def test_a_backup_that_did_not_end_leaves_the_one_before(
    clusters: TwoClusters, monkeypatch: pytest.MonkeyPatch
) -> None:
    clusters.write(20)
    clusters.save()
    clusters.write(20)
    with monkeypatch.context() as patch:
        patch.setattr("neural_hive.replay.backup.saved.write_manifest", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            clusters.save()
    assert check(clusters.folder).records == 20
    assert clusters.save().records == 40
    assert len(list((clusters.folder / "records").rglob("*.zst"))) == 2


def test_what_nobody_has_any_more_stays_a_gap(clusters: TwoClusters) -> None:
    clusters.write(40)
    clusters.transact(3)
    clusters.delete_before(30)
    manifest = clusters.save()
    assert any("30 offsets before 30" in warning for warning in manifest.warnings)
    clusters.restore()
    assert Offsets(clusters.second).ranges(clusters.topic)[0][0] == 30
    is_the_same(clusters, 0, manifest.topics[0].partitions[0].end)


def test_a_partition_that_nobody_wrote_to_stays_empty(clusters: TwoClusters) -> None:
    """The backup itself has held it up."""
    clusters.write(1, partition=1)
    clusters.save()
    clusters.restore()
    assert Offsets(clusters.second).ranges(clusters.topic) == {0: (0, 0), 1: (0, 1)}


class Noted:
    """An archive that has what it was given."""

    def __init__(self, records: list[Record], topic_id: str) -> None:
        self._records, self._topic_id = records, topic_id

    def positions(self) -> dict[tuple[str, int], Position]:
        last = self._records[-1]
        return {(last.topic, 0): Position(last.topic, 0, self._topic_id, last.offset + 1, len(self._records))}

    def batches(self, topic: str, partition: int, first: int, end: int) -> Iterator[list[Record]]:
        yield [record for record in self._records if first <= record.offset < end]


def test_what_only_the_archive_has_comes_back(clusters: TwoClusters) -> None:
    clusters.write(10)
    clusters.transact(2)
    clusters.write(10)
    known = clusters.records(clusters.first)
    clusters.delete_before(17)
    topic_id = Cluster(clusters.first).topics([clusters.topic])[clusters.topic].topic_id
    manifest = clusters.save(Noted(known, topic_id))
    assert manifest.records == 22
    clusters.restore()
    assert clusters.records(clusters.second) == known
    assert len(clusters.archived()) == 22


def test_the_archive_of_another_topic_is_no_help(clusters: TwoClusters) -> None:
    clusters.write(10)
    known = clusters.records(clusters.first)
    clusters.delete_before(5)
    assert clusters.save(Noted(known, "another")).records == 5


def test_a_damaged_backup_is_not_restored(clusters: TwoClusters) -> None:
    clusters.write(500)
    [file] = clusters.save().files
    path = clusters.folder / file.path
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(BackupUnusable, match="is damaged"):
        check(clusters.folder)
    with pytest.raises(BackupUnusable, match="is damaged"):
        clusters.restore()
    assert Cluster(clusters.second).topics([clusters.topic]) == {}


def test_nothing_is_mixed_with_a_restore_that_was_cut_off(
    clusters: TwoClusters, monkeypatch: pytest.MonkeyPatch
) -> None:
    clusters.write(5)
    clusters.transact(1)
    clusters.write(5)
    clusters.save()
    with monkeypatch.context() as patch:
        patch.setattr(restored, "steps", lambda records, end: cut_off(records))
        with pytest.raises(NotAsSaved):
            clusters.restore()
    with pytest.raises(
        NotEmpty, match=r"An earlier restore was interrupted.*Nothing was written.*Delete these"
    ):
        clusters.restore()


def cut_off(records: Any) -> Iterator[Any]:
    if some := list(records)[:3]:
        yield Write(some)


def test_a_restore_goes_on_once_all_is_in_kafka(
    clusters: TwoClusters, monkeypatch: pytest.MonkeyPatch
) -> None:
    clusters.transact(5)
    clusters.commit(3)
    clusters.save()
    with monkeypatch.context() as patch:
        patch.setattr(restored, "fill", refuse)
        with pytest.raises(TablesNotFilled):
            clusters.restore()
    clusters.restore()
    assert len(clusters.archived()) == 5
    with pytest.raises(NotEmpty, match="is not empty"):
        clusters.restore()


def refuse(*_: Any) -> None:
    raise TablesNotFilled("ClickHouse is away")


def test_tables_of_another_log_are_left_alone(clusters: TwoClusters, monkeypatch: pytest.MonkeyPatch) -> None:
    clusters.write(1)
    clusters.save()
    monkeypatch.setattr("neural_hive.replay.backup.tables.has_archive", lambda store: True)
    with pytest.raises(TablesInUse, match="clickhouse_database"):
        clusters.restore()
    assert Cluster(clusters.second).topics([clusters.topic]) == {}


def test_a_folder_is_for_one_cluster(clusters: TwoClusters) -> None:
    clusters.write(1)
    clusters.save()
    clusters.first = clusters.second
    with pytest.raises(BackupUnusable, match="nothing to save"):
        clusters.save()
