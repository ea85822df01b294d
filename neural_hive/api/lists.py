"""Pages of read models: first the keys of a page, by few columns; then those few things whole.

A page begins behind the place of the last one's end, never after so many rows: it costs the same wherever it is, and
what is added meanwhile moves nothing. What never changes of a thing stands in its first event's row, so that filters
by it read no others.
"""

import base64
import binascii
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from neural_hive.sdk.tables import Reader
from neural_hive.sdk.views import BadCursor, Page, rows_as, select

_AT_MAX: Final = 253_402_300_800_000_000  # µs: the year 10000


class Listing(msgspec.Struct, frozen=True):
    """A kind of thing, and how its pages are asked for."""

    kind: type[Any]
    table: str  # the read model
    key: str
    at: str  # SQL of when it came to be, over the row of its first event
    born: str  # SQL that holds for that row in `<table>_versions`
    fixed: frozenset[str] = frozenset()  # filters that the first event answers
    moving: frozenset[str] = frozenset()  # filters by what may change
    special: Mapping[str, str] = {}  # filters in SQL of their own, over that row


def page(reader: Reader, listing: Listing, filters: Mapping[str, Any], limit: int, cursor: str) -> Page[Any]:
    """A page of what the filters name, the newest first: `{"status": "FAILED"}`; what is "" counts not.

    Raises BadCursor, ClickHouseError.
    """
    params = {name: value for name, value in filters.items() if value not in (None, "")}
    sql = keys_sql(listing, params, bool(cursor))
    if cursor:
        params["before_at"], params["before_key"] = place_of(cursor)
    params["count"] = limit + 1
    keys = [(str(key), int(at)) for key, at in reader.rows(sql, params)]
    found = _whole(reader, listing, [key for key, _ in keys[:limit]])
    return Page(found, cursor_of(*keys[limit - 1]) if len(keys) > limit else "")


def keys_sql(listing: Listing, names: Mapping[str, Any], is_further: bool) -> str:
    """SELECT of the keys of a page, with their places in the order; values are parameters."""
    key, born = listing.key, [listing.born]
    born += [f"{name} = {{{name}:String}}" for name in names if name in listing.fixed]
    born += [f"({sql})" for name, sql in listing.special.items() if name in names]
    moving = [f"{name} = {{{name}:String}}" for name in names if name in listing.moving]
    firsts = f"SELECT {key}, {listing.at} AS at FROM {listing.table}_versions WHERE {' AND '.join(born)}"
    conditions = []
    if is_further:
        conditions.append(f"(at, {key}) < ({{before_at:Int64}}, {{before_key:String}})")
    if moving:
        few = f"{key} IN (SELECT {key} FROM ({firsts})) AND " if len(born) > 1 else ""
        standing = f"SELECT {key} FROM {listing.table} WHERE {few}{' AND '.join(moving)}"
        conditions.append(f"{key} IN ({standing})")
    where = f"WHERE {' AND '.join(conditions)} " if conditions else ""
    return f"SELECT {key}, at FROM ({firsts}) {where}ORDER BY at DESC, {key} DESC LIMIT {{count:UInt32}}"


def one(reader: Reader, listing: Listing, key: str) -> Any | None:
    """A thing by its key; None if there is none. Raises ClickHouseError."""
    found = _whole(reader, listing, [key])
    return found[0] if found else None


def _whole(reader: Reader, listing: Listing, keys: Sequence[str]) -> tuple[Any, ...]:
    if not keys:
        return ()
    rest = f"WHERE {listing.key} IN {{keys:Array(String)}}"
    rows = reader.rows(select(listing.kind, listing.table, rest), {"keys": list(keys)})
    found = {getattr(item, listing.key): item for item in rows_as(listing.kind, rows)}
    return tuple(found[key] for key in keys if key in found)


def cursor_of(key: str, at: int) -> str:
    """The text that stands for a place in the order."""
    return base64.urlsafe_b64encode(f"{at} {key}".encode()).decode().rstrip("=")


def place_of(text: str) -> tuple[int, str]:
    """Time (µs) and key of a cursor. Raises BadCursor."""
    try:
        padded = text + "=" * (-len(text) % 4)
        at, found, key = (
            base64.b64decode(padded.encode("ascii"), b"-_", validate=True).decode().partition(" ")
        )
        if not found or not at.isascii() or not at.isdecimal() or int(at) > _AT_MAX:
            raise ValueError(at)
        return int(at), key
    except (ValueError, binascii.Error):
        raise BadCursor(f"{text[:80]!r} is no place in a list: take `next` of the page before") from None
