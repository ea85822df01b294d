"""Which things a page holds: their keys, the newest first.

What never changes is asked of the rows of first events alone. What moves is known only of things whose rows are folded,
and to fold all takes longest. So where few rows have ever told what is wanted, their things alone are folded; else
first the newest things, which fill most pages.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from neural_hive.listing.cursor import place_of
from neural_hive.listing.listing import SINCE, Listing
from neural_hive.sdk.tables import Reader

FEW: Final = 50_000  # rows; to look their things up costs more than to fold all when they are many
WINDOWS: Final = (20, 200)  # times the length of a page: so many of the newest are folded before all are
Place = tuple[str, int]  # key of a thing, and when it came to be, µs since 1970 UTC


class Keys:
    """A question for keys."""

    def __init__(self, listing: Listing, wanted: Mapping[str, Any]) -> None:
        """What is empty in `wanted` does not count. Raises LookupError: there is no such filter."""
        self._listing = listing
        self._params: dict[str, Any] = {}
        self._born, self._moving = [listing.born], list[str]()
        for name, value in wanted.items():
            if value:
                self._want(name, value)

    def _want(self, name: str, value: Any) -> None:
        if name == SINCE:
            self._born.append("at >= {since:Int64}")
            self._params[SINCE] = value
            return
        known = self._listing.filter(name)
        self._params[name] = known.params([value] if isinstance(value, str) else value)
        sql = f"({known.sql.format(values=f'{{{name}:Array(String)}}')})"
        (self._moving if known.moves else self._born).append(sql)

    def newest(self, reader: Reader, count: int, cursor: str) -> list[Place]:
        """The first `count` behind a cursor. Raises BadCursor, ClickHouseError."""
        behind = _behind(cursor)
        if not self._moving:
            return self._asked(reader, count, behind)
        told = self._told(reader)
        if 0 in told:
            return []
        found: list[Place] = []
        for times in WINDOWS if min(told) > FEW else ():
            window = self._asked(reader, times * count, behind)
            standing = self._standing(reader, window)
            found += [place for place in window if place[0] in standing]
            if len(found) >= count or len(window) < times * count:
                return found[:count]
            behind = window[-1]
            if not any(key in standing for key, _ in window[-len(window) // 4 :]):
                break  # those that stand so lie far back, if there are any
        return found + self._asked(reader, count - len(found), behind, self._folded(told))

    def _asked(self, reader: Reader, count: int, behind: Place | None, more: str = "1") -> list[Place]:
        key, params = self._listing.key, self._params | {"count": count}
        if behind:
            params["behind_key"], params["behind_at"] = behind
            more += f" AND (at, {key}) < ({{behind_at:Int64}}, {{behind_key:String}})"
        order = f"ORDER BY at DESC, {key} DESC LIMIT {{count:UInt32}}"
        rows = reader.rows(f"SELECT {key}, at FROM ({self._firsts()}) WHERE {more} {order}", params)
        return [(str(found), int(at_us)) for found, at_us in rows]

    def _firsts(self) -> str:
        at = f"toUnixTimestamp64Micro(toDateTime64(assumeNotNull({self._listing.came_at}), 6, 'UTC'))"
        return f"SELECT {self._listing.key}, {at} AS at FROM {self._listing.rows} WHERE {' AND '.join(self._born)}"

    def _told(self, reader: Reader) -> tuple[int, ...]:
        """How many rows have ever told each of what is wanted and moves."""
        counts = ", ".join(f"countIf({sql})" for sql in self._moving)
        [row] = reader.rows(f"SELECT {counts} FROM {self._listing.rows}", self._params)
        return tuple(map(int, row))

    def _standing(self, reader: Reader, window: Sequence[Place]) -> set[str]:
        """The keys of those in a window that stand as is wanted."""
        if not window:
            return set()
        key = self._listing.key
        within = f"SELECT {key} FROM ({self._firsts()}) WHERE at BETWEEN {{first:Int64}} AND {{last:Int64}}"
        params = self._params | {"first": window[-1][1], "last": window[0][1]}
        where = " AND ".join((f"{key} IN ({within})", *self._moving))
        rows = reader.rows(f"SELECT {key} FROM {self._listing.table} WHERE {where}", params)
        return {str(found) for (found,) in rows}

    def _folded(self, told: Sequence[int]) -> str:
        """SQL: a thing stands as is wanted."""
        key, rows = self._listing.key, self._listing.rows
        few = [sql for sql, count in zip(self._moving, told, strict=True) if count <= FEW]
        ever = (f"{key} IN (SELECT {key} FROM {rows} WHERE {sql})" for sql in few)
        where = " AND ".join((*ever, *self._moving))
        return f"{key} IN (SELECT {key} FROM {self._listing.table} WHERE {where})"


def _behind(cursor: str) -> Place | None:
    if not cursor:
        return None
    at, key = place_of(cursor)
    return key, at
