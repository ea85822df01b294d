"""Whether a backup is what its manifest says: every file's hash, every record's place, every count."""

from pathlib import Path

from neural_hive.replay.backup.copies import check_artifacts, check_keys
from neural_hive.replay.backup.files import check_hash, read_file
from neural_hive.replay.backup.manifest import BackupUnusable, Manifest, SavedPartition, read_manifest
from neural_hive.replay.backup.saved import Progress, Tell


def check(folder: Path, tell: Tell = lambda progress: None) -> Manifest:
    """Reads all of it, and gives the manifest. Raises BackupUnusable: it is damaged, or not whole."""
    manifest = read_manifest(folder)
    done = 0
    for topic in manifest.topics:
        for partition in topic.partitions:
            _check_ranges(topic.name, partition)
            for saved in partition.files:
                tell(Progress(saved.path, done, manifest.records))
                check_hash(folder, saved)
                for _ in read_file(folder, saved, topic.name, partition.partition):
                    pass
                done += saved.records
    tell(Progress("", done, manifest.records))
    check_keys(folder, manifest.keys)
    check_artifacts(folder, manifest.artifacts)
    return manifest


def _check_ranges(topic: str, partition: SavedPartition) -> None:
    at = 0
    for saved in partition.files:
        if saved.first < at or saved.end <= saved.first:
            raise BackupUnusable(
                f"the manifest is damaged: the files of {topic}:{partition.partition} overlap"
            )
        at = saved.end
    if at > partition.end:
        raise BackupUnusable(
            f"the manifest is damaged: {topic}:{partition.partition} has files behind its end"
        )
