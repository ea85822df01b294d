"""The files of the tables: parts that are not as they were written are found by reading all, and taken out.

ClickHouse looks at sizes when it starts, and sets aside what is torn. A flipped bit it notices when it reads it: that
statement fails, and so does each one after it. Whatever is taken out here, the log has too (see repair.py).
"""

import re
from collections.abc import Callable, Iterator

import msgspec
import structlog

from neural_hive.projections.avro_types import quoted
from neural_hive.projections.store import FILE_CODES, Store, StoreRefused

_CODE = re.compile(r"Code: (\d+)")
_NO_SUCH_PART = 232
_NOT_TORN = ("ignored", "clone")  # reasons of the engine's own, of parts whose rows are in others
log = structlog.get_logger(__name__)


class Part(msgspec.Struct, frozen=True):
    """A data part of a table."""

    table: str
    name: str


def set_aside_damaged(store: Store, is_over: Callable[[], bool] = lambda: False) -> list[Part]:
    """Reads every part and detaches those whose files are damaged; their rows are missing from then on.

    Takes as long as it takes to read the whole database: half a second for a gigabyte that is in memory. `is_over` ends
    it. Raises StoreUnavailable, StoreRefused.
    """
    found = []
    for part in _parts(store):
        if is_over():
            break
        if why := _damage(store, part):
            log.error("damaged part set aside", table=part.table, part=part.name, why=why)
            if _detach(store, part):
                found.append(part)
    return found


def torn(store: Store) -> list[Part]:
    """The parts that were set aside, here or by ClickHouse when it started."""
    reasons = ", ".join(map(quoted, _NOT_TORN))
    return [
        Part(str(table), str(name))
        for table, name in store.rows(
            "SELECT table, name FROM system.detached_parts WHERE database = currentDatabase() "
            f"AND reason NOT IN ({reasons}) ORDER BY table, name"
        )
    ]


def drop(store: Store, part: Part) -> None:
    """Removes a part that was set aside, when the tables have its rows again."""
    store.command(
        f"ALTER TABLE {part.table} DROP DETACHED PART {quoted(part.name)}", {"allow_drop_detached": 1}
    )


def _parts(store: Store) -> Iterator[Part]:
    for table, name in store.rows(
        "SELECT table, name FROM system.parts WHERE database = currentDatabase() AND active ORDER BY table, name"
    ):
        yield Part(str(table), str(name))


def _damage(store: Store, part: Part) -> str:
    """What is wrong with a part; empty: nothing, or it was merged into another meanwhile."""
    try:
        checked = store.rows(
            f"CHECK TABLE {part.table} PART {quoted(part.name)} SETTINGS check_query_single_value_result = 0"
        )
    except StoreRefused as error:
        if error.code == _NO_SUCH_PART:
            return ""
        raise
    for _, passed, message in checked:
        code = _CODE.search(str(message))
        if not passed and code and int(code[1]) in FILE_CODES:  # else it could not be looked at for now
            return str(message)[:500]
    return ""


def _detach(store: Store, part: Part) -> bool:
    try:
        store.command(f"ALTER TABLE {part.table} DETACH PART {quoted(part.name)}")
        return True
    except StoreRefused as error:
        if error.code == _NO_SUCH_PART:
            return False
        raise
