"""Lists of what the read models hold, the newest first, page by page: for the terminal, and for whoever else asks.

WORKFLOWS.page(reader, {"status": ["RUNNING"]}, limit=50).items
"""

import base64
import binascii
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from neural_hive.sdk.tables import Reader

PAGE_MAX: Final = 1_000
_SINCE: Final = "since"  # the filter that all have: a time in µs


class BadPage(ValueError):
    """A text that no page was given with."""


class Rows(msgspec.Struct, frozen=True):
    """Some of a list. `next` asks for what follows; empty: that was all."""

    items: list[dict[str, Any]]
    next: str = ""


class Condition(msgspec.Struct, frozen=True):
    """What must hold of texts that somebody asks for: SQL in which {values} stands for them."""

    sql: str
    is_pattern: bool = False  # whether they are patterns

    def params(self, texts: Sequence[str]) -> list[str]:
        """The texts as the SQL takes them."""
        if not self.is_pattern:
            return list(texts)
        special = str.maketrans({"\\": r"\\", "%": r"\%", "_": r"\_", "*": "%", "?": "_"})
        return [text.translate(special) for text in texts]


class Listing(msgspec.Struct, frozen=True):
    """A table or view, what is shown of it, and by what it can be asked for."""

    table: str
    at: str  # the time by which it is ordered, as an expression
    key: str  # what tells apart what is of one time
    columns: tuple[str, ...]
    filters: Mapping[str, Condition]

    def page(self, reader: Reader, wanted: Mapping[str, Any], limit: int = 50, start: str = "") -> Rows:
        """What fits all filters: texts, of which one must fit, or `since` in µs; those that are empty do not count.

        Raises ClickHouseError, BadPage; LookupError: there is no such filter.
        """
        limit = max(1, min(limit, PAGE_MAX))
        conditions, params = self._conditions(wanted)
        if start:
            params["start_at"], params["start_key"] = _place_of(start)
            place = "(fromUnixTimestamp64Micro({start_at:Int64}, 'UTC'), {start_key:String})"
            conditions.append(f"(shown_at, {self.key}) < {place}")
        rows = reader.rows(
            f"SELECT {', '.join(self.columns)}, toUnixTimestamp64Micro(shown_at) FROM (SELECT *, "
            f"toDateTime64({self.at}, 6, 'UTC') AS shown_at FROM {self.table}) "
            f"WHERE {' AND '.join(conditions)} ORDER BY shown_at DESC, {self.key} DESC LIMIT {limit + 1}",
            params,
        )
        found = [plain_row(self.columns, row[:-1]) for row in rows[:limit]]
        if len(rows) <= limit:
            return Rows(found)
        return Rows(found, _cursor(rows[limit - 1][-1], str(found[-1][self.key])))

    def _conditions(self, wanted: Mapping[str, Any]) -> tuple[list[str], dict[str, Any]]:
        conditions, params = ["1"], dict[str, Any]()
        for name, value in wanted.items():
            if not value:
                continue
            if name == _SINCE:
                conditions.append("shown_at >= fromUnixTimestamp64Micro({since:Int64}, 'UTC')")
            elif name in self.filters:
                condition = self.filters[name]
                conditions.append(condition.sql.format(values=f"{{{name}:Array(String)}}"))
                value = condition.params([value] if isinstance(value, str) else value)
            else:
                known = ", ".join((*self.filters, _SINCE))
                raise LookupError(f"{self.table} cannot be asked for by {name!r}; but by: {known}")
            params[name] = value
        return conditions, params


def is_one_of(column: str) -> Condition:
    """That a column is one of the texts."""
    return Condition(f"has({{values}}, {column})")


def fits_one_of(column: str) -> Condition:
    """That a column is like one of the texts, in which * and ? stand for others."""
    return Condition(
        f"arrayExists(pattern -> ifNull({column}, '') LIKE pattern, {{values}})", is_pattern=True
    )


def _cursor(at_us: int, key: str) -> str:
    return base64.urlsafe_b64encode(f"{at_us} {key}".encode()).decode().rstrip("=")


def _place_of(text: str) -> tuple[int, str]:
    try:
        at, found, key = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode().partition(" ")
        if not found:
            raise ValueError(text)
        return int(at), key
    except (ValueError, binascii.Error) as error:
        raise BadPage(f"{text[:80]!r} is no page: take what the page before said") from error


def plain_row(names: Sequence[str], row: Sequence[Any]) -> dict[str, Any]:
    """A row by its names; times are of UTC and say so."""
    return dict(zip(names, map(_plain, row), strict=True))


def _plain(value: Any) -> Any:
    return value.replace(tzinfo=UTC) if isinstance(value, datetime) else value


WORKFLOWS: Final = Listing(
    "workflows",
    "coalesce(started_at, finished_at, valid_from)",
    "workflow_id",
    (
        *("workflow_id", "plan_id", "status", "priority", "risk_band", "requested_by"),
        *("task_count", "completed_count", "failed_count", "started_at", "deadline_at", "finished_at"),
        *("duration_ms", "waiting_reason", "reason"),
    ),
    {"status": is_one_of("status"), "plan": fits_one_of("plan_id"), "priority": is_one_of("priority")},
)
TICKETS: Final = Listing(
    "tickets",
    "coalesce(created_at, valid_from)",
    "ticket_id",
    (
        *("ticket_id", "task_id", "task_type", "status", "attempt", "agent_id", "priority", "workflow_id"),
        *("plan_id", "created_at", "started_at", "finished_at", "deadline_at", "exit_code", "error"),
    ),
    {
        "status": is_one_of("status"),
        "plan": fits_one_of("plan_id"),
        "workflow": is_one_of("workflow_id"),
        "task": fits_one_of("task_id"),
        "agent": is_one_of("agent_id"),
        "priority": is_one_of("priority"),
        "type": is_one_of("task_type"),
    },
)
HISTORY: Final = Listing(
    "ticket_history",
    "occurred_at",
    "version",
    ("version", "event_type", "status", "occurred_at", "attempt", "agent_id", "requested_by", "error"),
    {"ticket": is_one_of("ticket_id")},
)
_REDRIVES: Final = (
    "SELECT dead_letter, toUInt32(countIf(outcome = 'REDRIVEN')) AS redrives FROM redrives "
    "GROUP BY dead_letter"
)
DEAD_LETTERS: Final = Listing(
    # Without the bytes of the records: a page of them can be gigabytes.
    f"(SELECT l.dead_letter AS dead_letter, l.valid_from AS written_at, source_topic, source_partition, source_offset, "
    f"error_type, reason, processor, r.redrives AS redrives FROM dead_letters AS l LEFT JOIN ({_REDRIVES}) AS r "
    "ON l.dead_letter = r.dead_letter)",
    "written_at",
    "dead_letter",
    (
        *("dead_letter", "written_at", "source_topic", "source_partition", "source_offset", "error_type"),
        *("reason", "processor", "redrives"),
    ),
    {
        "topic": is_one_of("source_topic"),
        "error": is_one_of("error_type"),
        "processor": fits_one_of("processor"),
        "reason": fits_one_of("reason"),
        "state": Condition("has({values}, if(redrives > 0, 'redriven', 'waiting'))"),
    },
)
