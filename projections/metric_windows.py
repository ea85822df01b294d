"""Metric windows: a row for each that was sent, in `metric_events` a row for each value of its events.

`metric_events` has what expressions of SLOs see, under the same names, so that what was counted can be counted again:

    SELECT minute, sumIf(events, value <= 250) AS good, sum(events) AS valid FROM metric_events
    WHERE service = 'checkout' GROUP BY minute

It has each window once, and those not that were refused: these are dead letters. `sli_windows(since, until)` has the
same of the windows whose last moment lies in a time, as `sli_tickets` has what has ended in it.
"""

from typing import Final

from neural_hive.aggregates.metric_window import TOPIC
from neural_hive.projections.archive import MESSAGES
from neural_hive.projections.avro_types import quoted
from neural_hive.projections.projection import TIME, WORD, Column, Projection

_LABELS: Final = ("outcome", "layer", "endpoint", "region", "instance")
_PAIR: Final = "Tuple(value Nullable(Float64), events Int64)"
_ALL: Final = "assumeNotNull(events)"
_ABOVE: Final = f"{_ALL} - arraySum(arrayMap(b -> b.events, buckets))"
_HELD: Final = (
    f"arrayFilter(held -> held.events > 0, if(empty(buckets), [CAST((NULL, {_ALL}), '{_PAIR}')], "
    f"arrayPushBack(arrayMap(b -> CAST((b.upto, b.events), '{_PAIR}'), buckets), "
    f"CAST((inf, {_ABOVE}), '{_PAIR}'))))"
)
_REFUSED: Final = (
    "SELECT source_partition, source_offset FROM dead_letters "
    f"WHERE source_topic = {quoted(TOPIC)} AND startsWith(processor, 'sli.')"
)
_AT: Final = (
    "toUnixTimestamp64Micro(assumeNotNull(ends_at)) - 1"  # µs: the last moment that belongs to a window
)
_WITHIN: Final = f"ends_at > {{since:{TIME}}} AND ends_at <= {{until:{TIME}}}"


def _seen(at: str, place: str, asked: str, within: str) -> str:
    """What expressions see, a row for each value of each window that counts; `asked`: of which windows."""
    texts = ", ".join(f"nullIf({name}, '') AS {name}" for name in _LABELS)
    once = f"WHERE (partition, offset) NOT IN ({_REFUSED}){asked} ORDER BY offset LIMIT 1 BY message_id"
    return (
        f"SELECT service, metric, {texts}, {at}, held.value AS value, held.events AS events, starts_at, ends_at, "
        f"{place} FROM (SELECT *, {_HELD} AS all_held FROM metric_windows {once}) ARRAY JOIN all_held AS held{within}"
    )


_MINUTE: Final = f"fromUnixTimestamp64Micro(intDiv({_AT}, 60000000) * 60000000, 'UTC') AS minute"
_EVENTS: Final = _seen(_MINUTE, "partition, offset", "", "")
_SLI_WINDOWS: Final = _seen(
    f"fromUnixTimestamp64Micro({_AT}, 'UTC') AS at",
    "topic, partition, offset",
    f" AND message_id IN (SELECT message_id FROM metric_windows WHERE {_WITHIN})",
    f" WHERE {_WITHIN}",
)

METRIC_WINDOWS: Final = Projection(
    name="metric_windows",
    source=MESSAGES,
    types=("MetricWindow",),
    key=(Column("service"), Column("metric")),
    columns=(
        *(Column(name, WORD if name == "outcome" else "String") for name in _LABELS),
        Column("starts_at", TIME),
        Column("ends_at", TIME),
        Column("events", "Int64"),
        Column("buckets", "Array(Tuple(upto Float64, events Int64))"),
        Column("message_id", sql="message_id"),
    ),
    folded=False,
    rollups=(("metric_events", _EVENTS), ("sli_windows", _SLI_WINDOWS)),
)
