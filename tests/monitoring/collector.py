"""A collector of traces: takes OTLP over HTTP, as protobuf, and keeps the spans."""

import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import msgspec
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)


class Seen(msgspec.Struct, frozen=True):
    """A span as it arrived."""

    process: str
    name: str
    kind: int
    trace_id: str
    span_id: str
    parent_id: str
    links: tuple[tuple[str, str], ...]
    attributes: dict[str, str]
    is_error: bool
    duration_ns: int


class Collector:
    """What has arrived."""

    def __init__(self) -> None:
        self.spans: list[Seen] = []
        self.answers = 200  # what requests are answered with

    def take(self, path: str, body: bytes) -> None:
        """One request."""
        assert path == "/v1/traces"
        request = ExportTraceServiceRequest()
        request.ParseFromString(body)
        for of_resource in request.resource_spans:
            resource = _texts(of_resource.resource.attributes)
            for of_scope in of_resource.scope_spans:
                self.spans += [_seen(resource["service.name"], span) for span in of_scope.spans]

    def trace(self, trace_id: str) -> dict[str, Seen]:
        """The spans of a trace by their ids."""
        return {span.span_id: span for span in list(self.spans) if span.trace_id == trace_id}


def _texts(attributes: Any) -> dict[str, str]:
    return {a.key: a.value.string_value or str(a.value.int_value) for a in attributes}


def _seen(process: str, span: Any) -> Seen:
    return Seen(
        process,
        span.name,
        span.kind,
        span.trace_id.hex(),
        span.span_id.hex(),
        span.parent_span_id.hex(),
        tuple((link.trace_id.hex(), link.span_id.hex()) for link in span.links),
        _texts(span.attributes),
        span.status.code == 2,
        span.end_time_unix_nano - span.start_time_unix_nano,
    )


@contextmanager
def collecting() -> Iterator[tuple[Collector, str]]:
    """A collector that listens, and its address."""
    collector = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            if collector.answers == 200:
                collector.take(self.path, body)
            self.send_response(collector.answers)
            self.send_header("Content-Type", "application/x-protobuf")
            answer = ExportTraceServiceResponse().SerializeToString()
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 (the base class has that name)
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield collector, f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
