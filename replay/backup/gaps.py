"""Which writes make records stand at given offsets: what lay between them, markers and aborted records, is made again.

Kafka gives offsets one after the other, and only a transaction takes some without leaving a record:

    records in a transaction that is committed      the records, and one more offset: its marker
    n records in a transaction that is aborted      n + 1 offsets, and nothing to be read

So a gap of one is the marker of the transaction that wrote the records before it; a wider one is filled by records that
nobody ever sees. Only a gap of exactly one before the first record cannot be made so: one record without key and value
is written there, and deleted from the log's beginning afterwards, where the log began behind it.
"""

from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

from neural_hive.connectors.kafka_log import Record

RECORDS_MAX: Final = 10_000  # in one write
BYTES_MAX: Final = 8 << 20
FILLERS_MAX: Final = 20_000  # in one transaction


class Write(msgspec.Struct, frozen=True):
    """Records that follow each other, with or without a transaction."""

    records: list[Record]


class Commit(msgspec.Struct, frozen=True):
    """Records in a transaction of their own, whose marker takes the offset behind them."""

    records: list[Record]


class Fill(msgspec.Struct, frozen=True):
    """So many records that are aborted: they take `fillers` + 1 offsets from `first` on."""

    first: int
    fillers: int


class Blank(msgspec.Struct, frozen=True):
    """One record without key and value, at the first offset of all."""


Step = Write | Commit | Fill | Blank


def steps(records: Iterable[Record], end: int) -> Iterator[Step]:
    """What to write into an empty partition so that each record stands at its offset, and the log ends at `end`.

    Raises ValueError: the offsets do not ascend, or pass the end.
    """
    at, run, run_bytes = 0, list[Record](), 0
    for record in records:
        if record.offset < at or record.offset >= end:
            raise ValueError(f"offset {record.offset} does not stand between {at} and {end}")
        if record.offset > at:
            yield from _gap(run, at, record.offset)
            run, run_bytes = [], 0
        elif len(run) > 1 and (len(run) >= RECORDS_MAX or run_bytes >= BYTES_MAX):
            yield Write(run[:-1])
            run, run_bytes = run[-1:], _size_bytes(run[-1])  # the last one may be needed for a marker
        run.append(record)
        run_bytes += _size_bytes(record)
        at = record.offset + 1
    if at < end:
        yield from _gap(run, at, end)
    elif run:
        yield Write(run)


def _gap(run: list[Record], at: int, to: int) -> Iterator[Step]:
    """The run of records before a gap, and the gap."""
    if to - at == 1:
        if run:
            yield Commit(run)
        else:
            yield Blank()
        return
    if run:
        yield Write(run)
    while to - at > FILLERS_MAX + 2:  # what is left must not be one offset only
        yield Fill(at, FILLERS_MAX)
        at += FILLERS_MAX + 1
    yield Fill(at, to - at - 1)


def _size_bytes(record: Record) -> int:
    return len(record.value or b"") + len(record.key or b"")
