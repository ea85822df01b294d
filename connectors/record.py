"""A record as it lies in the log. It needs no Kafka client."""

import msgspec


class Record(msgspec.Struct, frozen=True, gc=False):
    """One committed record, as it lies in the log."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int  # append time on topics with LogAppendTime
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]
