"""What differs between two values made of maps, lists and scalars: field by field, so that it can be applied again."""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

Path = tuple[str | int, ...]
_TEXT_CHARS_MAX: Final = 40
_TIME: Final = "_at"  # the end of a time's name, in µs
_BOOKKEEPING: Final = (_TIME, "_by", "place", "_count", "allocations")
BRIEF: Final = 3  # changes that are few words


class Change(msgspec.Struct, frozen=True):
    """One field that is another one now. A side that is UNSET says that the field was not there, or is no more."""

    path: Path
    before: Any = msgspec.UNSET
    after: Any = msgspec.UNSET


def changes(before: Any, after: Any) -> list[Change]:
    """What makes `after` of `before`. Lists of one length are compared item by item, others are whole values."""
    return list(_changes((), before, after))


def applied(value: Any, found: Iterable[Change]) -> Any:
    """The value with the changes made in it: `applied(before, changes(before, after))` equals `after`."""
    for change in found:
        value = _put(value, change.path, change.after)
    return value


def plain(state: Any) -> Any:
    """A state as maps, lists and scalars, as JSON has them; {} for what is not there yet."""
    return {} if state is None else msgspec.json.decode(msgspec.json.encode(state))


def told(found: Iterable[Change]) -> str:
    """The changes in words."""
    return ", ".join(_told(change) for change in found)


def told_briefly(found: Iterable[Change]) -> str:
    """The first few changes in words: how it stands, then what is no time, no place in a queue and no list."""
    words = [change for change in found if not _is_bookkeeping(change)]
    shown = sorted(words, key=lambda change: change.path[:1] != ("status",))[:BRIEF]
    return told(shown) + (f" and {len(words) - BRIEF} more" if len(words) > BRIEF else "")


def path_text(path: Path) -> str:
    """A path as a person reads it: slot.agent_id, candidates[0].score."""
    parts = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return "".join(parts).removeprefix(".")


def value_text(value: Any, path: Path = ()) -> str:
    """A value as a person reads it; of a field of that path: names that end in _at are times."""
    if value is msgspec.UNSET or value is None:
        return "–"
    name = path[-1] if path else ""
    if isinstance(value, int) and not isinstance(value, bool) and str(name).endswith(_TIME):
        return time_text(value) if value else "–"
    if isinstance(value, dict):
        text = " ".join(value_text(item) for item in value.values()) or "{}"
    else:
        text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    text = " ".join(text.split()) or '""'
    return text if len(text) <= _TEXT_CHARS_MAX else text[: _TEXT_CHARS_MAX - 1] + "…"


def time_text(at: int) -> str:
    """A time in µs, in UTC, to the millisecond."""
    return datetime.fromtimestamp(at / 1_000_000, UTC).replace(tzinfo=None).isoformat(" ", "milliseconds")


def _is_bookkeeping(change: Change) -> bool:
    name = str(change.path[0]) if change.path else ""
    return isinstance(change.after, list) or name.endswith(_BOOKKEEPING)


def _told(change: Change) -> str:
    name, after = path_text(change.path), value_text(change.after, change.path)
    if change.before is msgspec.UNSET:
        return f"{name} {after}"
    return f"{name} {value_text(change.before, change.path)} → {after}"


def _changes(path: Path, before: Any, after: Any) -> Iterator[Change]:
    if isinstance(before, dict) and isinstance(after, dict):
        for name in before | after:
            yield from _changes(
                (*path, name), before.get(name, msgspec.UNSET), after.get(name, msgspec.UNSET)
            )
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for index, pair in enumerate(zip(before, after, strict=True)):
            yield from _changes((*path, index), *pair)
    elif not _same(before, after):
        yield Change(path, before, after)


def _same(before: Any, after: Any) -> bool:
    """Equal, and of one type: True is not 1; a number that is none equals itself."""
    if type(before) is not type(after):
        return False
    return bool(before == after) or (before != before and after != after)


def _put(value: Any, path: Path, after: Any) -> Any:
    if not path:
        return after
    first, *rest = path
    inner = _put(_inner(value, first), tuple(rest), after)
    if isinstance(value, list):
        return [inner if index == first else item for index, item in enumerate(value)]
    others = {name: item for name, item in value.items() if name != first}
    return others if inner is msgspec.UNSET else {**others, first: inner}


def _inner(value: Any, part: str | int) -> Any:
    return value.get(part, msgspec.UNSET) if isinstance(value, dict) else value[part]
