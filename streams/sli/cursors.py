"""From where on the events of each SLO are counted: a cursor for each, at the first event that knows of it.

With ten thousand SLOs nobody can look for as many cursors at each event. So it is remembered which SLOs have theirs,
and only what is new among those that are known is looked for.
"""

from typing import Any, Final

import msgspec

from neural_hive.aggregates.sli_cursor import SLI_CURSOR, Open, cursor_id_of
from neural_hive.streams.kernel.system import Unit
from neural_hive.streams.sli.index import Index

_MEMORY: Final = "cursors:"
_NONE: Final[frozenset[tuple[str, int]]] = frozenset()


class _Found(msgspec.Struct, frozen=True):
    """All SLOs of an index have their cursors."""

    index: Index
    names: frozenset[tuple[str, int]]  # their ids and measures


def open_cursors(unit: Unit, record: Any, index: Index) -> None:
    """Opens the cursors of all SLOs of the index that have none in the record's partition."""
    found: _Found | None = unit.memory.get(_MEMORY + record.topic)
    if found is not None and found.index is index:
        return
    known = found.names if found is not None else _NONE
    names = frozenset([(meter.slo_id, meter.measure) for meter in index.meters])
    missing = [name for name in sorted(names - known) if not _is_open(unit, record, *name)]
    for slo_id, measure in missing:
        place = record.topic, record.partition, record.offset
        cursor_id = cursor_id_of(slo_id, measure, record.topic, record.partition)
        unit.execute(SLI_CURSOR, cursor_id, Open(slo_id, measure, *place, unit.now))
    if not missing:  # what was opened just now may be taken back: the next event finds it, or not
        unit.memory[_MEMORY + record.topic] = _Found(index, names)


def _is_open(unit: Unit, record: Any, slo_id: str, measure: int) -> bool:
    cursor_id = cursor_id_of(slo_id, measure, record.topic, record.partition)
    return unit.load(SLI_CURSOR, cursor_id) is not None
