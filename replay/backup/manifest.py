"""What a backup holds, as one JSON document beside its files: `manifest.json`. What it does not name is no part."""

import os
from pathlib import Path
from typing import Final

import msgspec

FORMAT: Final = 1
FILE: Final = "manifest.json"


class BackupUnusable(RuntimeError):
    """A backup cannot be written, read or restored; the text says why, and what to do."""


class SavedFile(msgspec.Struct, frozen=True):
    """The committed records of [first, end) of one partition, in one file."""

    path: str  # below the backup's folder
    first: int
    end: int
    records: int
    size_bytes: int
    sha256: str


class SavedPartition(msgspec.Struct, frozen=True):
    """One partition, from the first offset that anything still had to the backup's end."""

    partition: int
    first: int
    end: int
    files: tuple[SavedFile, ...]

    @property
    def records(self) -> int:
        """How many there are."""
        return sum(file.records for file in self.files)


class SavedTopic(msgspec.Struct, frozen=True):
    """A topic: what Kafka knows it by, what is set for it, and its partitions."""

    name: str
    topic_id: str
    config: dict[str, str]  # what was set for this topic; the rest is the broker's
    partitions: tuple[SavedPartition, ...]


class SavedOffset(msgspec.Struct, frozen=True):
    """How far a group had come in one partition."""

    topic: str
    partition: int
    offset: int


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """The whole backup."""

    format: int = FORMAT
    build: str
    began_at: str  # ISO 8601, UTC
    cut_at: str  # the moment that the backup shows
    ended_at: str
    held_s: float  # how long the inputs were held up for that moment
    cluster_id: str
    topics: tuple[SavedTopic, ...]
    groups: dict[str, tuple[SavedOffset, ...]]
    schema_ids: tuple[int, ...]  # that this build knows
    keys: tuple[str, ...] = ()  # files below keys/, by their SHA-256 and name: "<hash>  <name>"
    artifacts: int = 0  # files below artifacts/, each named by its SHA-256
    warnings: tuple[str, ...] = ()  # what could not be saved

    @property
    def records(self) -> int:
        """How many there are in all."""
        return sum(p.records for topic in self.topics for p in topic.partitions)

    @property
    def files(self) -> tuple[SavedFile, ...]:
        """All files of records."""
        return tuple(f for topic in self.topics for p in topic.partitions for f in p.files)

    def topic(self, name: str) -> SavedTopic | None:
        """A topic by its name."""
        return next((topic for topic in self.topics if topic.name == name), None)


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a backup. Raises BackupUnusable: there is none, or this build cannot read it."""
    file = folder / FILE
    try:
        data = file.read_bytes()
        told = msgspec.json.decode(data, type=dict[str, object]).get("format")
        if told != FORMAT:
            raise BackupUnusable(
                f"{file} has format {told}, this build reads format {FORMAT}: use a newer build"
            )
        return msgspec.json.decode(data, type=Manifest)
    except FileNotFoundError:
        raise BackupUnusable(
            f"{folder} holds no whole backup: there is no {FILE} in it. It is written last; run "
            "`neural-hive backup` again"
        ) from None
    except OSError as error:
        raise BackupUnusable(f"{file} cannot be read: {error.strerror}") from error
    except msgspec.MsgspecError as error:
        raise BackupUnusable(f"{file} is damaged: {error}") from error


def manifest_of(folder: Path) -> Manifest | None:
    """The same; None: nothing was saved there yet."""
    return read_manifest(folder) if (folder / FILE).exists() else None


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Puts it in place of the one before, whole or not at all."""
    draft = folder / f"{FILE}.new"
    with draft.open("wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(manifest)) + b"\n")
        file.flush()
        os.fsync(file.fileno())
    draft.replace(folder / FILE)
    synced(folder)


def synced(folder: Path) -> None:
    """Returns when the folder's entries are on the disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
