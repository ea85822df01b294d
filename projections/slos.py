"""SLOs: what each service promises now, since when, and how it is measured."""

from typing import Final

from neural_hive.projections.archive import EVENTS
from neural_hive.projections.projection import TIME, WORD, Column, Projection, by_type

STATUS_AFTER: Final = {"SloDefined": "DEFINED", "SloRemoved": "REMOVED"}


def _of(name: str, kind: str = "String", path: str = "") -> Column:
    return Column(name, kind, paths=(f"definition.{path or name}",))


SLOS: Final = Projection(
    name="slos",
    source=EVENTS,
    types=tuple(STATUS_AFTER),
    key=(Column("slo_id", sql="aggregate_id"),),
    columns=(
        Column("status", WORD, sql=by_type(STATUS_AFTER)),
        _of("name"),
        _of("slo_type", WORD),
        _of("service_name"),
        _of("layer"),
        _of("namespace"),
        _of("description"),
        _of("target", "Float64"),
        _of("window_kind", WORD),
        _of("window_days", "UInt16"),
        _of("source", WORD, "indicator.source"),
        _of("good", "String", "indicator.good"),
        _of("valid", "String", "indicator.valid"),
        _of("group_by", "String", "indicator.group_by"),
        _of("good_promql", "String", "indicator.good_promql"),
        _of("valid_promql", "String", "indicator.valid_promql"),
        _of("metric_name", "String", "indicator.metric_name"),
        _of("parts", "Array(Tuple(slo_id String, weight Float64))", "indicator.parts"),
        _of("labels", "Map(String, String)"),
        _of("enabled", "Bool"),
        Column("revision", "UInt32"),
        Column("measure", "UInt32"),
        Column("requested_by"),
        Column("reason"),
        Column("changed_at", TIME, paths=("defined_at", "removed_at")),
    ),
)
