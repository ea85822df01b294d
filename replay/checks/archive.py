"""The archive is the log: the same records with the same bytes, and the read models are what it makes of them."""

from collections.abc import Iterable, Iterator, Mapping
from hashlib import sha256
from itertools import chain

import msgspec

from neural_hive.connectors.kafka_log import Record
from neural_hive.projections.archive_reader import PAGE_BYTES, PAGE_RECORDS
from neural_hive.projections.catalogue import PROJECTIONS
from neural_hive.projections.comparing import Comparing
from neural_hive.projections.positions import Position
from neural_hive.projections.projection import Projection
from neural_hive.projections.ranges import Place
from neural_hive.projections.store import Store
from neural_hive.replay.archive import ArchiveSource
from neural_hive.replay.reader import LogSource
from neural_hive.replay.report import Check, Findings
from neural_hive.replay.seal.leaf import record_leaf


def check_archive(log: LogSource, archive: ArchiveSource, topics: Iterable[str], findings: Findings) -> None:
    """Compares all that both have, up to where the archive says it has come."""
    positions = archive.positions()
    for topic in topics:
        check_topic(log, archive, positions, topic, findings)


def check_topic(
    log: LogSource,
    archive: ArchiveSource,
    positions: Mapping[Place, Position],
    topic: str,
    findings: Findings,
) -> None:
    """Compares what both have of a topic, up to where the archive said that it had come: `positions`.

    Pages of records by their SHA-256, which the engine makes of what it has; record by record where these differ.
    """
    if not positions:
        findings.skip(Check.ARCHIVE, "nothing is archived yet")
        return
    for partition, (first, end) in log.ranges(topic).items():
        position = positions.get((topic, partition))
        if position is None:
            continue
        place = f"{topic}:{partition}"
        if position.next > end:
            expected = f"an archive up to at most offset {end}, where the log ends"
            findings.add(Check.ARCHIVE, place, "", expected, f"offset {position.next}")
        until = min(position.next, end)
        for page in _pages(log, topic, partition, first, until):
            if archive.digest(topic, partition, page.first, page.end) == (page.count, page.digest):
                findings.examined[Check.ARCHIVE] += page.count
            else:
                _check_page(log, archive, topic, partition, page, findings)


class _Page(msgspec.Struct, frozen=True):
    """The records of the log at the offsets [first, end): how many, and SHA-256 over their canonical forms."""

    first: int
    end: int
    count: int
    digest: bytes


def _pages(log: LogSource, topic: str, partition: int, first: int, end: int) -> Iterator[_Page]:
    """All of [first, end), in pages that the engine can take at once."""
    digest, count, size_bytes = sha256(), 0, 0
    for record in chain.from_iterable(log.batches(topic, partition, first, end)):
        leaf = record_leaf(record)
        if count >= PAGE_RECORDS or (count and size_bytes + len(leaf) > PAGE_BYTES):
            yield _Page(first, record.offset, count, digest.digest())
            digest, count, size_bytes, first = sha256(), 0, 0, record.offset
        digest.update(leaf)
        count, size_bytes = count + 1, size_bytes + len(leaf)
    if first < end:
        yield _Page(first, end, count, digest.digest())


def _check_page(
    log: LogSource, archive: ArchiveSource, topic: str, partition: int, page: _Page, findings: Findings
) -> None:
    _check_records(
        chain.from_iterable(log.batches(topic, partition, page.first, page.end)),
        chain.from_iterable(archive.batches(topic, partition, page.first, page.end)),
        findings,
    )


def _check_records(logged: Iterator[Record], archived: Iterator[Record], findings: Findings) -> None:
    a, b = next(logged, None), next(archived, None)
    while a is not None or b is not None:
        findings.examined[Check.ARCHIVE] += 1
        if b is None or (a is not None and a.offset < b.offset):
            assert a is not None
            findings.add(Check.ARCHIVE, _place(a), "", "the record of the log", "none in the archive")
            a = next(logged, None)
        elif a is None or b.offset < a.offset:
            findings.add(Check.ARCHIVE, _place(b), "", "no record in the log", "one in the archive")
            b = next(archived, None)
        else:
            if a != b:
                _differ(a, b, findings)
            a, b = next(logged, None), next(archived, None)


def _place(record: Record) -> str:
    return f"{record.topic}:{record.partition}:{record.offset}"


def _differ(logged: Record, archived: Record, findings: Findings) -> None:
    mine, others = msgspec.structs.asdict(logged), msgspec.structs.asdict(archived)
    for name in mine:
        if mine[name] != others[name]:
            found = f"another {name} in the archive: {_text(others[name])}"
            findings.add(Check.ARCHIVE, _place(logged), "", f"{name} {_text(mine[name])}", found)


def _text(value: object) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)


def check_projections(store: Store, findings: Findings) -> None:
    """Makes every read model anew from the archive, and compares it row for row."""
    comparing = Comparing(store)
    for projection in PROJECTIONS:
        check_projection(comparing, projection, findings)


def check_projection(comparing: Comparing, projection: Projection, findings: Findings) -> None:
    """Makes one read model anew from the archive, and compares it row for row."""
    result = comparing.compare(projection)
    findings.examined[Check.PROJECTION] += max(result.rows_expected, result.rows_found)
    if result.equal:
        return
    keys = ", ".join(" ".join(key) for key in result.differing_keys)
    findings.add(
        Check.PROJECTION,
        f"table {projection.table}",
        keys,
        f"{result.rows_expected} rows, as the archive makes them",
        f"{result.rows_found} rows",
    )
