"""What is to be added to an index, on top of what it has: the same for new records and for those read from the log."""

from collections.abc import Callable

import msgspec

from neural_hive.eventsourcing.records import Entry, Stored, Tracked
from neural_hive.eventsourcing.rows import Position, TrackingRow, event_key, last_key, rows_of, tracking_key
from neural_hive.schemas.envelope import NO_HASH

Get = Callable[[bytes], bytes | None]


class BrokenLog(RuntimeError):
    """A record that does not follow from those before it: the log was damaged, or somebody else has written to it."""


class Draft:
    """Rows, and the position that they lead to. Nothing is written; see Index.write."""

    def __init__(self, position: Position, below: Get) -> None:
        self.position = position
        self.rows: dict[bytes, bytes] = {}
        self._below = below

    def get(self, key: bytes) -> bytes | None:
        """The row of a key: the draft's, or the one below."""
        found = self.rows.get(key)
        return self._below(key) if found is None else found

    def has_event(self, originator_id: str, version: int) -> bool:
        """Whether there is an event of this version."""
        return self.get(event_key(originator_id, version)) is not None

    def tracking(self, application_name: str) -> TrackingRow | None:
        """How far an upstream application was processed."""
        raw = self.get(tracking_key(application_name))
        return msgspec.msgpack.decode(raw, type=TrackingRow) if raw else None

    def prev_hash(self, content: Stored | Tracked) -> bytes:
        """The hash that the next record of the same originator, or upstream application, must carry."""
        return self.get(last_key(content)) or NO_HASH

    def add(self, entry: Entry, offset: int = -1) -> None:
        """Adds the next record. Raises BrokenLog."""
        content, at = entry.content, self.position
        if entry.sequence != at.sequence + 1:
            raise BrokenLog(f"sequence {entry.sequence} follows {at.sequence}")
        if entry.prev_hash != self.prev_hash(content):
            raise BrokenLog(f"sequence {entry.sequence} does not continue the chain of {_name(content)}")
        notification_id = at.notification_id
        if isinstance(content, Stored):
            notification_id += 1
            if content.notification_id != notification_id:
                raise BrokenLog(f"notification {content.notification_id} follows {notification_id - 1}")
            if self.has_event(content.originator_id, content.version):
                raise BrokenLog(f"{_name(content)} has version {content.version} twice")
        self.rows |= rows_of(content)
        self.rows[last_key(content)] = entry.hash
        self.position = msgspec.structs.replace(
            at, sequence=entry.sequence, notification_id=notification_id, offset=offset, hash=entry.hash
        )

    def take(self, other: "Draft") -> None:
        """Adds what a draft on top of this one has."""
        self.rows |= other.rows
        self.position = other.position


def _name(content: Stored | Tracked) -> str:
    return content.originator_id if isinstance(content, Stored) else content.application_name
