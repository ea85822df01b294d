"""The span of a message that is published: from when it was given to Kafka until Kafka had it."""

import time
from collections.abc import Callable

from neural_hive.connectors.tracing import INTERNAL, PRODUCER, Span, Tracer, current_span, root_of
from neural_hive.schemas.envelope import Header

Delivered = Callable[[str], None]  # called with "" or the reason why it was not delivered


def traced(tracer: Tracer, topic: str, header: Header, delivered: Delivered) -> Delivered:
    """Tells the span when the message is delivered or given up. What nothing here has caused begins its trace: then
    the trace's beginning is a span too, below which stands all that follows."""
    started_at, parent_id = time.time_ns(), current_span(header.trace_id)

    def told(undelivered: str) -> None:
        ended_at, trace_id = time.time_ns(), header.trace_id
        spans = []
        root_id = "" if parent_id else root_of(trace_id)
        if root_id:
            name = f"trace of {header.message_type}"
            told_of = {"neural_hive.routing_id": header.routing_id}
            spans.append(Span(name, INTERNAL, trace_id, root_id, "", started_at, ended_at, told_of))
        attributes = {
            "messaging.system": "kafka",
            "messaging.destination.name": topic,
            "messaging.message.id": header.message_id,
            "messaging.client.id": header.producer,
        }
        spans.append(
            Span(
                f"publish {header.message_type}",
                PRODUCER,
                trace_id,
                header.span_id,
                parent_id or root_id,
                started_at,
                ended_at,
                attributes,
                error=undelivered,
            )
        )
        tracer.put(spans)
        delivered(undelivered)

    return told
