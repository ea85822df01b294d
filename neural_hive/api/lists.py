"""Pages of read models: first the keys of a page, by few columns; then those few things whole.

A page begins behind the place of the last one's end, never after so many rows: it costs the same wherever it is, and
what is added meanwhile moves nothing.
"""

import base64
import binascii
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeVar

import msgspec

from neural_hive.sdk.tables import Reader
from neural_hive.sdk.views import BadCursor, Page, rows_as, select

T = TypeVar("T", bound=msgspec.Struct)
_AT_MAX: Final = 253_402_300_800_000_000  # µs: the year 10000


class Listing(msgspec.Struct, frozen=True):
    """A kind of thing, and how its pages are asked for."""

    kind: type[Any]
    table: str
    key: str
    keys_sql: str
    """SELECT of `key` and `at` (µs, the place in the order), newest first, with {where} for conditions."""


def page(reader: Reader, listing: Listing, filters: Mapping[str, Any], limit: int, cursor: str) -> Page[Any]:
    """A page of what the filters name: `{"status": "FAILED"}`; what is None or "" counts not.

    Raises BadCursor, ClickHouseError.
    """
    params = {name: value for name, value in filters.items() if value not in (None, "")}
    conditions = [f"{name} = {{{name}:String}}" for name in params]
    if cursor:
        params["before_at"], params["before_key"] = place_of(cursor)
        conditions.append(f"(at, {listing.key}) < ({{before_at:Int64}}, {{before_key:String}})")
    where = " AND ".join(conditions) or "1"
    sql = (
        f"{listing.keys_sql.format(where=where)} ORDER BY at DESC, {listing.key} DESC LIMIT {int(limit) + 1}"
    )
    keys = [(str(key), int(at)) for key, at in reader.rows(sql, params)]
    found = _whole(reader, listing, [key for key, _ in keys[:limit]])
    following = cursor_of(*keys[limit - 1]) if len(keys) > limit else ""
    return Page(found, following)


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
        if not found or not at.isdecimal() or not 0 <= int(at) <= _AT_MAX:
            raise ValueError(at)
        return int(at), key
    except (ValueError, binascii.Error):
        raise BadCursor(f"{text[:80]!r} is no place in a list: take `next` of the page before") from None
