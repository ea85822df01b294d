"""What is said between who looks at decisions and the code that makes them again: plain values of no version."""

from typing import Any

import msgspec

Positions = tuple[int, ...]  # the next offset of each partition


class Written(msgspec.Struct, frozen=True, array_like=True):
    """A committed record, as inboxes and views of any version take it."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]

    @property
    def timestamp(self) -> int:
        """The append time, ms, as an inbox calls it."""
        return self.timestamp_ms


class Sight(msgspec.Struct, frozen=True):
    """What a decision sees of the topics that are read whole: where, and how old (s), by the name of the view."""

    at: dict[str, Positions]
    ages_s: dict[str, float]


class Who(msgspec.Struct, frozen=True, tag=True):
    """Which system decides, under which settings. It comes first; the answer is About."""

    system: str
    settings: dict[str, Any]


class About(msgspec.Struct, frozen=True):
    """What the code says of the system."""

    logic: str  # its logic version
    views: dict[str, str]  # the topics that it reads whole, by the name of the view
    looks_into: tuple[str, ...] = ()  # topics of which handlers ask for single records


class Know(msgspec.Struct, frozen=True, tag=True):
    """All that a topic says that is read whole or looked into."""

    topic: str
    begins: Positions
    partitions: list[list[Written]]


class Open(msgspec.Struct, frozen=True, tag=True):
    """The decisions of a partition follow, from its first event on."""

    partition: int
    partitions_of: dict[str, int]  # of each topic that is known; another one has as many as the event topics
    partitions: int  # of the event topics


class Decide(msgspec.Struct, frozen=True, tag=True):
    """Make a decision again; the answer is Decided. What it changes waits for Keep or Take."""

    message_id: str
    record: Written | None  # its input; None: it follows from a timer
    until: int  # a timer's, µs: it was due by then
    sight: Sight
    written: tuple[
        tuple[str, int], ...
    ]  # event types and schema ids that were written: not always the newest


class Made(msgspec.Struct, frozen=True, array_like=True):
    """An event that was made, as it would be written."""

    topic: str
    partition: int
    key: bytes | None
    value: bytes
    headers: list[tuple[str, bytes]]


class Decided(msgspec.Struct, frozen=True):
    """What came of it."""

    made: list[Made] = []
    error: str = ""  # what was raised instead of events
    cannot: str = ""  # why it cannot be made again
    asked: tuple[str, ...] = ()  # the views that were looked at


class Keep(msgspec.Struct, frozen=True, tag=True):
    """What was decided last stands."""

    sequence: int


class Take(msgspec.Struct, frozen=True, tag=True):
    """Forget what was decided last, and fold these events instead; the answer is Folded."""

    events: list[tuple[bytes, bytes]]  # keys and values
    sequence: int  # of the last one


class Folded(msgspec.Struct, frozen=True):
    """Whether that went well."""

    problem: str = ""


class Done(msgspec.Struct, frozen=True):
    """The answer to an order that asks for none."""


Order = Who | Know | Open | Decide | Keep | Take
