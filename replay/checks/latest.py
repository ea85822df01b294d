"""The last event of each aggregate of one partition: in memory, and what does not fit there on disk."""

from pathlib import Path
from typing import Final

import msgspec

from neural_hive.replay.checks.rocks import little
from neural_hive.schemas.envelope import NO_HASH
from neural_hive.streams.kernel.rocks import Database

Last = tuple[int, bytes, int, bytes]  # version, hash, occurred_at, key
NONE_YET: Final[Last] = (0, NO_HASH, 0, b"")
IN_MEMORY: Final = 10_000  # about 400 bytes each; who goes on is held again at once


class LatestEvents:
    """Close it when done. `count`: of how many aggregates it knows an event."""

    def __init__(self, folder: Path, in_memory: int = IN_MEMORY) -> None:
        self._folder, self._in_memory = folder, in_memory
        self._held: dict[tuple[str, str], Last] = {}
        self._database: Database | None = None
        self._decoder = msgspec.msgpack.Decoder(Last)
        self.count = 0

    def get(self, of: tuple[str, str]) -> Last:
        """The last event of an aggregate (its type and id); NONE_YET."""
        found = self._held.get(of)
        if found is None:
            found = NONE_YET if self._database is None else self._stored(self._database, of)
            self.count += found is NONE_YET
        return found

    def put(self, of: tuple[str, str], last: Last) -> None:
        """Another event is the last one. Call it after `get` for the same aggregate."""
        self._held[of] = last
        if len(self._held) > self._in_memory:
            self._spill()

    def close(self) -> None:
        """Lets its database go."""
        if self._database is not None:
            self._database.close()

    def _stored(self, database: Database, of: tuple[str, str]) -> Last:
        raw = database.get(_key(of))
        return NONE_YET if raw is None else self._decoder.decode(raw)

    def _spill(self) -> None:
        if self._database is None:
            self._folder.mkdir(parents=True)
            self._database = Database(self._folder, little(), read_only=False)
        self._database.write({_key(of): msgspec.msgpack.encode(last) for of, last in self._held.items()})
        self._held.clear()


def _key(of: tuple[str, str]) -> bytes:
    return f"a{of[0]}\0{of[1]}".encode()
