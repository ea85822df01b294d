"""Spans to an OpenTelemetry collector: OTLP over HTTP, as protobuf.

The SDK's own exporter sends them. Its tracer is not used: it makes span ids itself, and ours stand in the log.
"""

from collections.abc import Sequence
from typing import Final
from urllib.parse import urlsplit

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.util import BoundedList
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags

from neural_hive.connectors.tracing import LINKS_MAX, Span

TIMEOUT_S: Final = 5.0  # of one request, with what is tried again
_PATH: Final = "/v1/traces"
_SAMPLED: Final = TraceFlags(TraceFlags.SAMPLED)
_KINDS: Final = (SpanKind.INTERNAL, SpanKind.SERVER, SpanKind.CLIENT, SpanKind.PRODUCER, SpanKind.CONSUMER)
_SCOPE: Final = InstrumentationScope("neural_hive")


class OtlpExporter:
    """See Exporter."""

    def __init__(self, endpoint: str, process: str) -> None:
        """`endpoint`: the collector's address; without a path, the usual one of traces. Headers, such as those of a
        login, are read from OTEL_EXPORTER_OTLP_HEADERS by the SDK."""
        self._exporter = OTLPSpanExporter(endpoint=traces_url(endpoint), timeout=TIMEOUT_S)
        self._resource = Resource.create({"service.namespace": "neural-hive", "service.name": process})

    def export(self, spans: Sequence[Span]) -> bool:
        """See Exporter.export."""
        made = [_readable(span, self._resource) for span in spans]
        return self._exporter.export(made) is SpanExportResult.SUCCESS

    def close(self) -> None:
        """See Exporter.close."""
        self._exporter.shutdown()  # type: ignore[no-untyped-call]  # the SDK has left it out


def traces_url(endpoint: str) -> str:
    """Where traces are posted."""
    return endpoint if urlsplit(endpoint).path.strip("/") else endpoint.rstrip("/") + _PATH


def _readable(span: Span, resource: Resource) -> ReadableSpan:
    links: BoundedList[Link] = BoundedList(LINKS_MAX)
    links.extend([Link(_context(*link)) for link in span.links])
    links.dropped = span.links_left_out
    return ReadableSpan(
        span.name,
        _context(span.trace_id, span.span_id),
        _context(span.trace_id, span.parent_id) if span.parent_id else None,
        resource,
        span.attributes,
        links=links,
        kind=_KINDS[span.kind],
        status=Status(StatusCode.ERROR, span.error) if span.error else Status(StatusCode.UNSET),
        start_time=span.started_at,
        end_time=span.ended_at,
        instrumentation_scope=_SCOPE,
    )


def _context(trace_id: str, span_id: str) -> SpanContext:
    return SpanContext(int(trace_id, 16), int(span_id, 16), is_remote=False, trace_flags=_SAMPLED)
