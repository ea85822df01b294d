"""What is counted for SLOs in one transaction: told once for each SLO, measure and dimension, with where it stands.

All events of the SLO between the first and the last offset of a sum's `source` are in it, and none of them in another
one: so every sum can be explained by its events, and counted again.
"""

from typing import Any, Final

import msgspec

from neural_hive.aggregates.budget import minute_of
from neural_hive.aggregates.sli_expression import Facts
from neural_hive.streams.kernel.sums import Sum
from neural_hive.streams.kernel.system import Unit
from neural_hive.streams.sla_messages import MEASUREMENTS
from neural_hive.streams.sli_index import Meter

DIMENSION_CHARS_MAX: Final = 200


class _Measured(msgspec.Struct, gc=False):
    """A sum so far."""

    slo_id: str
    measure: int
    dimension: str
    counts: dict[int, tuple[int, int]]  # good and valid events by minute
    topic: str
    partition: int
    first: int  # offsets
    last: int


def _add(total: _Measured, more: _Measured) -> _Measured:
    counts = total.counts
    for minute, (good, valid) in more.counts.items():
        before = counts.get(minute)
        counts[minute] = (good, valid) if before is None else (before[0] + good, before[1] + valid)
    total.last = more.last
    return total


def _message(total: _Measured) -> dict[str, Any]:
    offsets = f"{total.first}-{total.last}" if total.last > total.first else str(total.first)
    return {
        "slo_id": total.slo_id,
        "measure": total.measure,
        "dimension": total.dimension,
        "counts": [
            {"at": at, "good": good, "valid": valid, "is_excluded": False}
            for at, (good, valid) in sorted(total.counts.items())
        ],
        "source": f"{total.topic}:{total.partition}:{offsets}",
    }


_SUM: Final = Sum(MEASUREMENTS, "CountSli", _add, _message)


def count(unit: Unit, record: Any, meter: Meter, facts: Facts, at: int, good: int, valid: int) -> None:
    """So many events of an SLO were good and valid at a time, µs, as a record with these facts says."""
    dimension = ""
    if meter.group_by:
        value = facts.get(meter.group_by)
        dimension = "" if value is None else str(value)[:DIMENSION_CHARS_MAX]
    place = record.topic, record.partition, record.offset, record.offset
    more = _Measured(meter.slo_id, meter.measure, dimension, {minute_of(at): (good, valid)}, *place)
    unit.sum_up(_SUM, meter.slo_id, f"{meter.measure}/{dimension}", more)
