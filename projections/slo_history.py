"""How far the history of SLOs was counted: a row for each range of the log that was, or that is in it no more.

`slo_history` adds them up: how much of it is counted, from when on, and what was lost.
"""

from typing import Final

from neural_hive.projections.archive import EVENTS
from neural_hive.projections.projection import TIME, Column, Projection

_COUNT: Final = "Tuple(at DateTime64(6, 'UTC'), good Int64, valid Int64, is_excluded Bool)"
_SPANS: Final = (
    "SELECT v.slo_id AS slo_id, v.measure AS measure, max(ifNull(v.partitions, 0)) AS partitions, "
    "max(ifNull(v.to_offset, 0)) AS upto, max(ifNull(v.aim, 0)) AS aim, max(ifNull(v.is_whole, false)) AS is_whole, "
    "sumIf(ifNull(v.to_offset - v.from_offset, 0), v.event_type = 'HistoryLost') AS lost_offsets, "
    "sum(ifNull(v.good, 0)) AS good, sum(ifNull(v.valid, 0)) AS valid, sum(ifNull(v.uncounted, 0)) AS uncounted, "
    "minIf(arrayMin(arrayMap(c -> c.at, arrayFlatten(v.parts.counts))), v.valid > 0) AS counted_from, "
    "max(v.told_at) AS told_at FROM slo_history_ranges_versions AS v "
    "GROUP BY slo_id, measure, v.source_topic, v.source_partition"
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
            "SELECT s.slo_id AS slo_id, s.measure AS measure, max(s.partitions) AS partitions, "
            "countIf(s.is_whole) AS whole_partitions, whole_partitions >= max(s.partitions) AS is_counted, "
            "sum(if(s.is_whole, 1, if(s.aim = 0, 0, least(s.upto / s.aim, 1)))) / greatest(max(s.partitions), 1) "
            "AS share, if(sum(s.valid) = 0, NULL, minIf(s.counted_from, s.valid > 0)) AS counted_from, "
            "sum(s.lost_offsets) AS lost_offsets, sum(s.good) AS good, sum(s.valid) AS valid, "
            "sum(s.uncounted) AS uncounted, max(s.told_at) AS told_at "
            f"FROM ({_SPANS}) AS s GROUP BY slo_id, measure",
        ),
    ),
)
