"""Telemetry: how long each step of Flow C took, one row per measurement, and figures per step and minute.

Measurements are no history: some are dropped while Kafka is away for long. The events tell what happened.
"""

from typing import Final

from neural_hive.projections.archive import MESSAGES
from neural_hive.projections.projection import TIME, WORD, Column, Projection

_PER_MINUTE: Final = (
    "SELECT toStartOfMinute(at) AS minute, step, count() AS measured, avg(duration_ms) AS average_ms, "
    "quantile(0.5)(duration_ms) AS p50_ms, quantile(0.95)(duration_ms) AS p95_ms, max(duration_ms) AS longest_ms "
    "FROM telemetry GROUP BY minute, step"
)

TELEMETRY: Final = Projection(
    name="telemetry",
    source=MESSAGES,
    types=("FlowStepMeasured",),
    key=(Column("step"),),
    columns=(
        Column("at", TIME),
        Column("duration_ms", "Float64"),
        Column("status", WORD),
        Column("workflow_id"),
        Column("plan_id"),
        Column("ticket_id"),
        Column("task_type", WORD),
        Column("attempt", "UInt32"),
    ),
    folded=False,
    rollups=(("telemetry_per_minute", _PER_MINUTE),),
)
