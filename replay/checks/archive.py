"""The archive is the log: the same records with the same bytes, and the read models are what it makes of them."""

from collections.abc import Iterable, Iterator
from itertools import chain

import msgspec

from neural_hive.connectors.kafka_log import Record
from neural_hive.projections.catalogue import PROJECTIONS
from neural_hive.projections.projection import Projection
from neural_hive.projections.read_models import compare
from neural_hive.projections.store import Store
from neural_hive.replay.archive import ArchiveSource
from neural_hive.replay.reader import LogSource
from neural_hive.replay.report import Check, Findings


def check_archive(log: LogSource, archive: ArchiveSource, topics: Iterable[str], findings: Findings) -> None:
    """Compares record by record all that both have, and up to where the archive says it has come."""
    positions = archive.positions()
    for topic in topics:
        for partition, (first, end) in log.ranges(topic).items():
            position = positions.get((topic, partition))
            if position is None:
                continue
            place = f"{topic}:{partition}"
            if position.next > end:
                expected = f"an archive up to at most offset {end}, where the log ends"
                findings.add(Check.ARCHIVE, place, "", expected, f"offset {position.next}")
            until = min(position.next, end)
            _check_partition(
                chain.from_iterable(log.batches(topic, partition, first, until)),
                chain.from_iterable(archive.batches(topic, partition, first, until)),
                findings,
            )
    if not positions:
        findings.skip(Check.ARCHIVE, "nothing is archived yet")


def _check_partition(logged: Iterator[Record], archived: Iterator[Record], findings: Findings) -> None:
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
    for projection in PROJECTIONS:
        check_projection(store, projection, findings)


def check_projection(store: Store, projection: Projection, findings: Findings) -> None:
    """Makes one read model anew from the archive, and compares it row for row."""
    result = compare(store, projection)
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
