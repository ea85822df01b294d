"""What is counted for SLOs in one transaction: told once for each SLO, measure and dimension, with where it stands.

All events of the SLO between the first and the last offset of a sum's `source` are in it, and none of them in another
one: so every sum can be explained by its events, and counted again.
"""

from operator import itemgetter
from typing import Any, Final

from neural_hive.aggregates.budget import minute_of
from neural_hive.aggregates.sli_expression import Facts
from neural_hive.streams.kernel.sums import Sum
from neural_hive.streams.kernel.system import Unit
from neural_hive.streams.sla.messages import MEASUREMENTS
from neural_hive.streams.sli.index import Meter

_Key = tuple[str, int, str, str]  # SLO, measure, dimension; topic and partition
_More = tuple[int, int, int, int]  # minute, good and valid events; offset
_Total = list[Any]  # first and last offset; good and valid events by minute


def _add(total: _Total | None, more: _More) -> _Total:
    minute, good, valid, offset = more
    if total is None:
        return [offset, offset, {minute: (good, valid)}]
    total[1], counts = offset, total[2]
    before = counts.get(minute)
    counts[minute] = (good, valid) if before is None else (before[0] + good, before[1] + valid)
    return total


def _message(key: _Key, total: _Total) -> dict[str, Any]:
    (slo_id, measure, dimension, place), (first, last, counts) = key, total
    return {
        "slo_id": slo_id,
        "measure": measure,
        "dimension": dimension,
        "counts": [
            {"at": at, "good": good, "valid": valid, "is_excluded": False}
            for at, (good, valid) in sorted(counts.items())
        ],
        "source": f"{place}:{first}-{last}" if last > first else f"{place}:{first}",
    }


_SUM: Final = Sum(MEASUREMENTS, "CountSli", _add, _message, itemgetter(0))


def count(unit: Unit, record: Any, meter: Meter, facts: Facts, at: int, good: int, valid: int) -> None:
    """So many events of an SLO were good and valid at a time, µs, as a record with these facts says."""
    key = meter.slo_id, meter.measure, meter.dimension(facts), f"{record.topic}:{record.partition}"
    unit.sum_up(_SUM, key, (minute_of(at), good, valid, record.offset))
