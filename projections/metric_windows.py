"""Metric windows: a row for each that was sent, in `metric_events` a row for each value of its events.

`metric_events` has what expressions of SLOs see, under the same names, so that what was counted can be counted again:

    SELECT minute, sumIf(events, value <= 250) AS good, sum(events) AS valid FROM metric_events
    WHERE service = 'checkout' GROUP BY minute

It has each window once, and those not that were refused: these are dead letters.
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
_EVENTS: Final = (
    "SELECT service, metric, "
    + ", ".join(f"nullIf({name}, '') AS {name}" for name in _LABELS)
    + ", fromUnixTimestamp64Micro(intDiv(toUnixTimestamp64Micro(assumeNotNull(ends_at)) - 1, 60000000) * 60000000, "
    "'UTC') AS minute, held.value AS value, held.events AS events, starts_at, ends_at, partition, offset "
    f"FROM (SELECT *, {_HELD} AS all_held FROM metric_windows "
    f"WHERE (partition, offset) NOT IN ({_REFUSED}) ORDER BY offset LIMIT 1 BY message_id) "
    "ARRAY JOIN all_held AS held"
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
    rollups=(("metric_events", _EVENTS),),
)
