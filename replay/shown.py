"""States, differences and timelines as tables for a terminal."""

from collections import Counter
from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Any, Final

from rich.markup import escape
from rich.table import Table

from neural_hive.replay.causes.drawn import duration_text
from neural_hive.replay.changes import Change, path_text, time_text, told, told_briefly, value_text
from neural_hive.replay.difference import Difference, Doer
from neural_hive.replay.timeline import Line
from neural_hive.replay.whole import Key, Standing

ROWS_MAX: Final = 200
_WORDS: Final = ("status", "presence", "health", "is_open")  # fields that say how an aggregate stands


def states_by_type(states: Mapping[Key, Standing]) -> Table:
    """How many there are of each type, and how they stand."""
    table = _table("type", "aggregates", "events", "how they stand", "last event (UTC)")
    for kind in sorted({kind for kind, _ in states}):
        of_kind = [standing for (name, _), standing in states.items() if name == kind]
        words = Counter(word for standing in of_kind if (word := _word(standing.state)))
        table.add_row(
            kind,
            f"{len(of_kind):,}",
            f"{sum(standing.version for standing in of_kind):,}",
            ", ".join(f"{count:,} {word}" for word, count in words.most_common()),
            time_text(max(standing.occurred_at for standing in of_kind)),
        )
    return table


def states_of_types(states: Mapping[Key, Standing]) -> Table:
    """Each aggregate, and how it stands; the first ROWS_MAX."""
    table = _table("type", "id", "version", "how it stands", "last event (UTC)")
    for (kind, aggregate_id), standing in list(states.items())[:ROWS_MAX]:
        at = time_text(standing.occurred_at)
        table.add_row(kind, escape(aggregate_id), str(standing.version), _word(standing.state), at)
    _note_rest(table, len(states))
    return table


def difference_table(found: Difference) -> Table:
    """Field by field, with the events that did it."""
    types = {doer.place: doer.event_type for doer in found.events}
    table = _table("field", "before", "after", "by")
    for change in found.changes:
        cells = (path_text(change.path), *_sides(change.before, change.after, change.path))
        by = "\n".join(f"{types[place]} {place}" for place in change.by)
        table.add_row(*map(escape, (*cells, by)))
    return table


def events_table(events: Iterable[Doer]) -> Table:
    """The events between two moments, with their causes."""
    table = _table("version", "occurred at (UTC)", "event", "where", "caused by")
    for one in events:
        cells = (one.event_type, one.place, one.cause_place or "a timer")
        table.add_row(str(one.version), time_text(one.occurred_at), *cells)
    return table


def differences_table(found: list[Difference]) -> Table:
    """Each aggregate that changed, in a few words; the first ROWS_MAX."""
    table = _table("type", "id", "versions", "what changed", "by")
    for one in found[:ROWS_MAX]:
        versions = (
            f"appeared → {one.version_after}"
            if one.appeared
            else f"{one.version_before} → {one.version_after}"
        )
        words = told_briefly(_changes_of(one)) if not one.appeared else _standing_of(one)
        events = Counter(doer.event_type for doer in one.events)
        by = ", ".join(name if count == 1 else f"{count} {name}" for name, count in events.items())
        table.add_row(one.aggregate_type, *map(escape, (one.aggregate_id, versions, words, by)))
    _note_rest(table, len(found))
    return table


def timeline_table(lines: Iterable[Line]) -> Table:
    """One row for each event, in cells of two lines, so that it fits a terminal of usual width."""
    table = Table(show_lines=True)
    for name in ("v", "occurred at (UTC), after", "event, where"):
        table.add_column(name, no_wrap=True)
    table.add_column("what it changed, and why", overflow="fold")
    for line in lines:
        head = line.happening.envelope
        after = "" if line.since_us is None else f"\n+{duration_text(line.since_us)}"
        changed = told_briefly(line.changes) if head.version > 1 else _first_words(line.changes)
        why = "\n".join(filter(None, (changed, f"by {line.reason.text}")))
        event = f"{head.event_type}\n{line.happening.place}"
        table.add_row(str(head.version), f"{time_text(head.occurred_at)}{after}", *map(escape, (event, why)))
    return table


def _table(*names: str) -> Table:
    table = Table()
    for name in names:
        table.add_column(name, overflow="fold")
    return table


def _note_rest(table: Table, count: int) -> None:
    if count > ROWS_MAX:
        table.caption = f"and {count - ROWS_MAX:,} more: --json has them all"


def _word(state: Any) -> str:
    """How an aggregate stands, in the words that its state has for it."""
    found = []
    for name in _WORDS:
        value = getattr(state, name, None)
        if name == "is_open" and value is not None:
            found.append("open" if value else "resolved")
        elif isinstance(value, Enum):
            found.append(str(value.value))
    return " ".join(found)


def _changes_of(one: Difference) -> list[Change]:
    return [Change(change.path, change.before, change.after) for change in one.changes]


def _standing_of(one: Difference) -> str:
    return told(c for c in _changes_of(one) if c.path[-1] in _WORDS and len(c.path) == 1)


def _first_words(changes: Iterable[Change]) -> str:
    """Of a first event everything is new: what it says of how the aggregate stands is enough."""
    return told(change for change in changes if len(change.path) == 1 and change.path[0] in _WORDS)


def _sides(before: Any, after: Any, path: tuple[str | int, ...]) -> tuple[str, str]:
    return value_text(before, path), value_text(after, path)
