"""Pages of read models, the newest first: first the keys of a page, by few columns; then those few things whole.

A page begins behind the place of the last one's end, never after so many rows: it costs the same wherever it is, and
what is added meanwhile moves nothing.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

import msgspec

from neural_hive.listing.cursor import cursor_of
from neural_hive.listing.keys import Keys
from neural_hive.listing.listing import Listing
from neural_hive.sdk.tables import Reader
from neural_hive.sdk.views import Page, rows_as, select

T = TypeVar("T", bound=msgspec.Struct)


class Rows(msgspec.Struct, frozen=True):
    """Some of a list, as columns by their names. `next` asks for what follows; empty: that was all."""

    items: list[dict[str, Any]]
    next: str = ""


def page(
    reader: Reader, listing: Listing, kind: type[T], wanted: Mapping[str, Any], limit: int, cursor: str
) -> Page[T]:
    """A page of things, typed, which fit all filters: `{"status": "FAILED"}`, or several texts of which one must fit.

    Raises BadCursor, ClickHouseError; LookupError: there is no such filter.
    """
    keys, following = _keys(reader, listing, wanted, limit, cursor)
    return Page(_whole(reader, listing, kind, keys), following)


def page_rows(
    reader: Reader,
    listing: Listing,
    columns: Sequence[str],
    wanted: Mapping[str, Any],
    limit: int,
    cursor: str = "",
    table: str = "",
) -> Rows:
    """As `page`, but the columns as they are; what the tables do not know is None.

    `table`: a table or SELECT that the columns are read from, if not from the read model alone.
    """
    keys, following = _keys(reader, listing, wanted, limit, cursor)
    if not keys:
        return Rows([], following)
    names = list(dict.fromkeys((listing.key, *columns)))
    where = f"{listing.key} IN {{keys:Array(String)}}"
    sql = f"SELECT {', '.join(names)} FROM {table or listing.table} WHERE {where}"
    found = {str(row[0]): plain_row(names, row) for row in reader.rows(sql, {"keys": keys})}
    rows = (found[key] for key in keys if key in found)
    return Rows([{name: row[name] for name in columns} for row in rows], following)


def one(reader: Reader, listing: Listing, kind: type[T], key: str) -> T | None:
    """A thing by its key; None if there is none. Raises ClickHouseError."""
    found = _whole(reader, listing, kind, [key])
    return found[0] if found else None


def plain_row(names: Sequence[str], row: Sequence[Any]) -> dict[str, Any]:
    """A row by its names; times are of UTC and say so."""
    return dict(zip(names, map(_plain, row), strict=True))


def _plain(value: Any) -> Any:
    return value.replace(tzinfo=UTC) if isinstance(value, datetime) else value


def _keys(
    reader: Reader, listing: Listing, wanted: Mapping[str, Any], limit: int, cursor: str
) -> tuple[list[str], str]:
    found = Keys(listing, wanted).newest(reader, limit + 1, cursor)
    return [key for key, _ in found[:limit]], cursor_of(*found[limit - 1]) if len(found) > limit else ""


def _whole(reader: Reader, listing: Listing, kind: type[T], keys: Sequence[str]) -> tuple[T, ...]:
    if not keys:
        return ()
    rest = f"WHERE {listing.key} IN {{keys:Array(String)}}"
    rows = reader.rows(select(kind, listing.table, rest), {"keys": list(keys)})
    found = {getattr(item, listing.key): item for item in rows_as(kind, rows)}
    return tuple(found[key] for key in keys if key in found)
