"""Inputs that left nothing behind, by partition, in a file each: they may be as many as heartbeats are."""

from array import array
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from neural_hive.connectors.kafka_log import Record
from neural_hive.replay.reader import LogSource

Place = tuple[str, int]  # topic and partition
_SIZE_BYTES: Final = 8
_READ_AT_ONCE: Final = 8_192


class SilentInputs:
    """Eight bytes for each. They are added in the order of their offsets."""

    def __init__(self, folder: Path, prefix: str, files: Mapping[str, str] | None = None) -> None:
        """`prefix`: what the names of its files begin with. `files`: those that another one has, by partition."""
        self._folder, self._prefix = folder, prefix
        self._files = {_place(place): folder / name for place, name in (files or {}).items()}

    def add(self, place: Place, offsets: "array[int]") -> None:
        """More of them in a partition."""
        file = self._files.setdefault(place, self._folder / f"{self._prefix}-{len(self._files)}")
        with file.open("ab") as opened:
            offsets.tofile(opened)

    def file(self, place: Place) -> Path:
        """Where those of a partition are."""
        return self._files[place]

    def places(self) -> list[Place]:
        """Where there are any."""
        return list(self._files)

    def records(self, place: Place, source: LogSource) -> Iterator[Record]:
        """Those of a partition, in order, read in one go."""
        topic, partition = place
        offsets = self.offsets(place)
        wanted = next(offsets, None)
        if wanted is None:
            return
        for batch in source.batches(topic, partition, wanted, self._last(place) + 1):
            for record in batch:
                while wanted is not None and wanted < record.offset:
                    wanted = next(offsets, None)
                if wanted == record.offset:
                    yield record

    def offsets(self, place: Place) -> Iterator[int]:
        """Those of a partition, in order."""
        with self._files[place].open("rb") as file:
            while raw := file.read(_READ_AT_ONCE * _SIZE_BYTES):
                yield from array("q", raw)

    def _last(self, place: Place) -> int:
        with self._files[place].open("rb") as file:
            file.seek(-_SIZE_BYTES, 2)
            return array("q", file.read(_SIZE_BYTES))[0]


def _place(name: str) -> Place:
    topic, _, partition = name.rpartition(":")
    return topic, int(partition)
