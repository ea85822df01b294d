"""The span of a batch that is in all tables, with a link to each of its records whose trace is kept."""

import time

from neural_hive.connectors.tracing import batch_span, parsed, tracer
from neural_hive.projections.ranges import Batch


def written(batch: Batch, duration_s: float) -> None:
    """Tells the span, if there is a tracer."""
    found = tracer()
    if found is None or not batch.parts:
        return
    records = [row.record for part in batch.parts for row in part.rows]
    places = (parsed(record.headers) for record in records)
    kept = [(trace_id, span_id) for trace_id, span_id in places if trace_id and found.keeps(trace_id)]
    if kept:
        attributes = {"db.system.name": "clickhouse", "messaging.batch.message_count": len(records)}
        started_at = time.time_ns() - int(duration_s * 1e9)
        found.put([batch_span("project batch", started_at, attributes, kept)])
