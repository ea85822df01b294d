"""As much of ClickHouse as the sink speaks to: its statements by their form, and rows by where their record lies.

Every insert makes one block: whole or not at all, and a token that was seen is passed over, as the engine does it.
A statement that is not known here fails the test: the sink must not say what the simulation does not understand.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from neural_hive.projections.positions import TAKEN_OVER
from neural_hive.projections.store import StoreRefused

Row = tuple[str, int, int]  # topic, partition, offset
_FENCE: Final = re.compile(
    r"max\(tuple\(epoch, owner\)\) FROM projector_claims\) != tuple\((\d+)::UInt64, '(\w+)'\)"
)
_RANGE: Final = re.compile(r"topic = '([^']+)' AND partition = (\d+) AND offset BETWEEN (\d+) AND (\d+)")
_THROWN: Final = 395
UPTIME_S: Final = 1_000


class Tables:
    """The server: it outlives the projectors that write to it."""

    def __init__(self) -> None:
        self.rows: dict[str, Counter[Row]] = {}
        self.tokens: dict[str, set[str]] = {}
        self.claims: list[tuple[int, str]] = []
        self.positions: list[dict[str, Any]] = []

    def held(self) -> tuple[int, str]:
        """The claim that holds."""
        return max(self.claims, default=(0, ""))


class Connection:
    """One projector's way to the server: a Store. `reached(step)` is called before and after each statement."""

    def __init__(self, tables: Tables, reached: Callable[[str], None]) -> None:
        self._tables, self._reached = tables, reached

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """See Store.rows."""
        self._reached("query")
        return self._answer(sql)

    def command(self, sql: str, settings: Mapping[str, Any] | None = None) -> None:
        """See Store.command."""
        self._reached("before the statement")
        self._carry_out(sql, (settings or {}).get("insert_deduplication_token", ""))
        self._reached("after the statement")

    def insert(self, sql: str, body: Sequence[bytes], settings: Mapping[str, Any]) -> None:
        """See Store.insert; the body is a list of places here."""
        self._reached("before the insert")
        self._check_fence(sql)
        rows = [(topic, partition, offset) for topic, partition, offset in json.loads(b"".join(body))]
        self._add(_into(sql), rows, settings["insert_deduplication_token"])
        self._reached("after the insert")

    def _add(self, table: str, rows: list[Row], token: str) -> None:
        seen = self._tables.tokens.setdefault(table, set())
        if token in seen:
            return
        seen.add(token)
        self._tables.rows.setdefault(table, Counter()).update(rows)

    def _check_fence(self, sql: str) -> None:
        found = _FENCE.search(sql)
        assert found is not None, f"an insert without a fence: {sql}"
        if (int(found[1]), found[2]) != self._tables.held():
            raise StoreRefused(_THROWN, TAKEN_OVER)

    def _carry_out(self, sql: str, token: str) -> None:
        if sql.startswith(
            ("CREATE TABLE IF NOT EXISTS projector_claims", "CREATE TABLE IF NOT EXISTS positions")
        ):
            return
        if sql.startswith("INSERT INTO projector_claims"):
            [(epoch, owner)] = re.findall(r"VALUES \((\d+), '(\w+)'\)", sql)
            self._tables.claims.append((int(epoch), owner))
        elif sql.startswith("INSERT INTO positions"):
            names = re.findall(r"\w+", sql[sql.index("(") : sql.index(")")])
            for values in re.findall(r"\(([^()]*)\)", sql[sql.index("VALUES") :]):
                parsed = [_value(text.strip()) for text in values.split(",")]
                row = dict(zip(names, parsed, strict=True))
                self._tables.positions.append(row)
        elif found := re.match(r"ALTER TABLE positions DROP PARTITION (\d+)", sql):
            kept = [row for row in self._tables.positions if row["epoch"] != int(found[1])]
            self._tables.positions = kept
        elif found := re.match(r"ALTER TABLE projector_claims DELETE WHERE epoch < (\d+)", sql):
            self._tables.claims = [claim for claim in self._tables.claims if claim[0] >= int(found[1])]
        elif sql.startswith("INSERT INTO ") and " FROM (SELECT *, " in sql:
            self._check_fence(sql)
            self._add(_into(sql), list(self._source_of(sql).elements()), token)
        else:
            raise AssertionError(f"the simulation does not know: {sql}")

    def _answer(self, sql: str) -> list[tuple[Any, ...]]:
        tables = self._tables
        if sql == "SELECT count() FROM projector_claims":
            return [(len(tables.claims),)]
        if sql.startswith("SELECT epoch, owner, toUnixTimestamp(now())"):
            return [(*tables.held(), UPTIME_S)] if tables.claims else []
        if sql.startswith("SELECT epoch, owner FROM positions"):
            return sorted(((row["epoch"], row["owner"]) for row in tables.positions), reverse=True)[:1]
        if sql.startswith("SELECT DISTINCT epoch FROM positions"):
            [(kept, epoch)] = re.findall(r"epoch \+ (\d+) <= (\d+)", sql)
            return [
                (e,) for e in sorted({r["epoch"] for r in tables.positions}) if e + int(kept) <= int(epoch)
            ]
        if sql.startswith("SELECT topic, partition, argMax(topic_id, step)"):
            return self._done(sql)
        if sql.startswith("SELECT DISTINCT topic, partition, first, last, records FROM positions"):
            return self._pending(sql)
        if sql.startswith("SELECT topic, partition, count() FROM "):
            counts = Counter[tuple[str, int]]()
            for (topic, partition, _), count in self._matching(sql.split()[5], sql).items():
                counts[topic, partition] += count
            return [(*place, count) for place, count in counts.items()]
        if sql.startswith("SELECT count() FROM (SELECT"):
            return [(self._source_of(sql).total(),)]
        if sql.startswith("SELECT count() FROM "):
            return [(self._matching(sql.split()[3], sql).total(),)]
        raise AssertionError(f"the simulation does not know: {sql}")

    def _claimed(self, sql: str) -> list[dict[str, Any]]:
        [(epoch, owner)] = set(re.findall(r"epoch = (\d+) AND owner = '(\w+)'", sql))
        return [r for r in self._tables.positions if (r["epoch"], str(r["owner"])) == (int(epoch), owner)]

    def _done(self, sql: str) -> list[tuple[Any, ...]]:
        newest: dict[tuple[str, int], dict[str, Any]] = {}
        for row in self._claimed(sql):
            if row["state"] == "done":
                place = (row["topic"], row["partition"])
                if place not in newest or row["step"] >= newest[place]["step"]:
                    newest[place] = row
        return [(*place, r["topic_id"], r["next"], r["archived"]) for place, r in newest.items()]

    def _pending(self, sql: str) -> list[tuple[Any, ...]]:
        claimed = self._claimed(sql)
        done = max((row["step"] for row in claimed if row["state"] == "done"), default=0)
        last = max((row["step"] for row in claimed if row["state"] == "pending"), default=0)
        names = ("topic", "partition", "first", "last", "records")
        found = [tuple(r[n] for n in names) for r in claimed if r["state"] == "pending" and r["step"] == last]
        return list(dict.fromkeys(found)) if last > done else []

    def _source_of(self, sql: str) -> Counter[Row]:
        [table] = re.findall(r"AS p FROM (\w+)", sql)
        return self._matching(table, sql)

    def _matching(self, table: str, sql: str) -> Counter[Row]:
        ranges = [(t, int(p), int(f), int(last)) for t, p, f, last in _RANGE.findall(sql)]
        found = Counter[Row]()
        held = self._tables.rows.get(table, Counter[Row]())
        for topic, partition, first, last in ranges:
            for offset in range(first, last + 1):
                if count := held.get((topic, partition, offset)):
                    found[topic, partition, offset] = count
        return found


def _into(sql: str) -> str:
    found = re.match(r"INSERT INTO (\w+)", sql)
    assert found is not None, sql
    return found[1]


def _value(text: str) -> int | str:
    return text.strip("'") if text.startswith("'") else int(text)
