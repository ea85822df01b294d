"""How far the history of SLOs was counted: a row for each range of the log that was, or that is in it no more.

`slo_history` adds them up: how much of it is counted, from when on, and what was lost.
"""

from typing import Final

from neural_hive.projections.archive import EVENTS
from neural_hive.projections.projection import TIME, Column, Projection

_COUNT: Final = "Tuple(at DateTime64(6, 'UTC'), good Int64, valid Int64, is_excluded Bool)"
_SPANS: Final = (
    "SELECT slo_id, measure, source_partition, max(ifNull(partitions, 0)) AS partitions, "
    "max(ifNull(to_offset, 0)) AS upto, max(ifNull(aim, 0)) AS aims, max(ifNull(is_whole, false)) AS is_whole, "
    "sumIf(ifNull(to_offset - from_offset, 0), event_type = 'HistoryLost') AS lost_offsets, "
    "sum(ifNull(good, 0)) AS good, sum(ifNull(valid, 0)) AS valid, sum(ifNull(uncounted, 0)) AS uncounted, "
    "minIf(arrayMin(arrayMap(c -> c.at, arrayFlatten(parts.counts))), valid > 0) AS counted_from, "
    "countIf(valid > 0) AS filled, max(told_at) AS told_at FROM "
    "(SELECT * REPLACE(ifNull(valid, 0) AS valid) FROM slo_history_ranges_versions) "
    "GROUP BY slo_id, measure, source_topic, source_partition"
)

SLO_HISTORY_RANGES: Final = Projection(
    name="slo_history_ranges",
    source=EVENTS,
    types=("HistoryCounted", "HistoryLost"),
    key=(Column("slo_id"),),
    columns=(
        Column("measure", "UInt32"),
        Column("source_topic", paths=("topic",)),
        Column("source_partition", "UInt32", paths=("partition",)),
        Column("partitions", "UInt32"),
        Column("from_offset", "Int64"),
        Column("to_offset", "Int64"),
        Column("aim", "Int64"),
        Column("is_whole", "Bool"),
        Column("parts", f"Array(Tuple(dimension String, counts Array({_COUNT})))"),
        Column("good", "Int64"),
        Column("valid", "Int64"),
        Column("uncounted", "Int64"),
        Column("is_held", "Bool"),
        Column("told_at", TIME, paths=("counted_at", "found_at")),
    ),
    folded=False,
    rollups=(
        (
            "slo_history",
            "SELECT slo_id, measure, max(s.partitions) AS partitions, countIf(s.is_whole) AS whole_partitions, "
            "partitions > 0 AND whole_partitions >= partitions AS is_counted, "
            "if(partitions = 0, 0, sum(if(s.is_whole, 1, if(s.aims = 0, 0, least(s.upto / s.aims, 1)))) / partitions) "
            "AS share, "
            "if(sum(s.filled) = 0, NULL, minIf(s.counted_from, s.filled > 0)) AS counted_from, "
            "sum(s.lost_offsets) AS lost_offsets, sum(s.good) AS good, sum(s.valid) AS valid, "
            "sum(s.uncounted) AS uncounted, max(s.told_at) AS told_at "
            f"FROM ({_SPANS}) AS s GROUP BY slo_id, measure",
        ),
    ),
)
