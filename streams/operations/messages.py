"""What is said to the operations, and the dead letters that they look at."""

from typing import Final

import msgspec

COMMANDS: Final = "operations.commands"


class RedriveDeadLetter(msgspec.Struct, frozen=True):
    """Somebody wants the record of a dead letter to be written into its topic again."""

    dead_letter: str  # its own place: dead.letters:partition:offset
    reason: str
    requested_by: str
    again: bool = False


class NoteRefusedCall(msgspec.Struct, frozen=True):
    """An API has refused calls that are alike."""

    api: str
    caller: str
    address: str
    method: str
    path: str
    role: str
    status: int
    reason: str
    count: int
    first_at: int  # µs
    last_at: int


class Header(msgspec.Struct, frozen=True):
    """One header of a record."""

    name: str
    value: bytes


class Letter(msgspec.Struct, frozen=True):
    """A dead letter: the record that could not be processed, where it lay, and why."""

    source_topic: str
    source_partition: int
    source_offset: int
    source_timestamp_ms: int
    value: bytes
    reason: str
    error_type: str
    processor: str
    key: bytes | None = None
    headers: tuple[Header, ...] = ()
    aggregate_id: str = ""
    is_cut: bool = False
