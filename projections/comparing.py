"""Compares read models with what the archive makes of them. Nothing is written for that.

The rows are made anew by the same SELECT that fills the tables. What they are depends on nothing but the archive's
records, so a read model of whose records the archive has none is right if it is empty.
"""

from functools import cached_property
from typing import Final

import msgspec

from neural_hive.projections.archive import ARCHIVES
from neural_hive.projections.avro_types import quoted
from neural_hive.projections.positions import read_standing
from neural_hive.projections.projection import Projection
from neural_hive.projections.store import Store

KEYS_TOLD_MAX: Final = 20
_ROW_HASH: Final = (
    "cityHash64(toString(tuple(*)))"  # of the tuple: a NULL among arguments makes the hash NULL
)


class Comparison(msgspec.Struct, frozen=True):
    """A read model beside the one that the archive gives."""

    name: str
    rows_expected: int
    rows_found: int
    hashes_equal: bool
    differing_keys: tuple[tuple[str, ...], ...]  # at most KEYS_TOLD_MAX

    @property
    def equal(self) -> bool:
        return self.rows_expected == self.rows_found and self.hashes_equal


class Comparing:
    """Compares up to where all tables have come when this is made; later records count for nothing."""

    def __init__(self, store: Store) -> None:
        self._store, self._upto = store, _up_to_positions(store)

    def compare(self, projection: Projection) -> Comparison:
        """Recomputes a read model from the archive, and compares row for row."""
        if not self._types[projection.source.table].intersection(projection.types):
            [(rows,)] = self._store.rows(f"SELECT count() FROM {projection.table}")
            if not int(rows):
                return Comparison(projection.name, 0, 0, True, ())
        return compared(self._store, projection, f"({projection.stored_sql(self._upto)})", self._upto)

    @cached_property
    def _types(self) -> dict[str, frozenset[str]]:
        """The types of the records that each archive table has; looked up behind the positions, so none is missed."""
        return {
            archive.table: frozenset(
                str(name)
                for (name,) in self._store.rows(f"SELECT DISTINCT {archive.type_column} FROM {archive.table}")
            )
            for archive in ARCHIVES
        }


def compare(store: Store, projection: Projection) -> Comparison:
    """One read model, up to where all tables have come now."""
    return Comparing(store).compare(projection)


def compared(store: Store, projection: Projection, made_anew: str, where: str) -> Comparison:
    """The read model, as far as a condition holds, beside the rows that the archive makes of the same records.

    `made_anew`: a SELECT of these rows, in brackets.
    """
    live = f"(SELECT * FROM {projection.table} WHERE {where})"
    expected, found = (_summary(store, rows) for rows in (made_anew, live))
    equal = expected == found
    keys = () if equal else _differing(store, projection, made_anew, live)
    return Comparison(projection.name, expected[0], found[0], expected[1:] == found[1:], keys)


def _up_to_positions(store: Store) -> str:
    """The records that every table must have: those before the positions of each partition."""
    done = read_standing(store).positions.values()
    places = (
        f"(topic = {quoted(p.topic)} AND partition = {p.partition} AND offset < {p.next})" for p in done
    )
    return " OR ".join(places) or "0"


def _summary(store: Store, rows: str) -> tuple[int, int, int]:
    """Count and two hashes: equal rows in any order give the same, and a row that is there twice does not."""
    [(count, folded, added)] = store.rows(
        f"SELECT count(), groupBitXor({_ROW_HASH}), sum({_ROW_HASH}) FROM {rows}"
    )
    return int(count), int(folded), int(added)


def _differing(
    store: Store, projection: Projection, made_anew: str, live: str
) -> tuple[tuple[str, ...], ...]:
    keys = ", ".join(f"toString(`{c.name}`)" for c in projection.key)
    both = " UNION ALL ".join(
        f"SELECT {keys}, {_ROW_HASH} AS row_hash, {side} AS side FROM {rows}"
        for side, rows in ((1, made_anew), (-1, live))
    )
    names = ", ".join(f"k{n}" for n in range(len(projection.key)))
    columns = f"{names}, row_hash, side"
    found = store.rows(
        f"WITH rows ({columns}) AS ({both}) SELECT DISTINCT {names} FROM (SELECT {names}, row_hash "
        f"FROM rows GROUP BY {names}, row_hash HAVING sum(side) != 0) ORDER BY {names} LIMIT {KEYS_TOLD_MAX}"
    )
    return tuple(tuple(map(str, row)) for row in found)
