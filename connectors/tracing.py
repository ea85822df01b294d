"""Traces: what happened to a message, from the plan to the last event, as spans for an OpenTelemetry collector.

The ids of spans are those that stand in the log. A message and an event carry their own span id and the id of their
trace, in the envelope and in the header `traceparent`, and keep them in every replay; what is added here is who caused
what and when. Whether a trace is kept is decided by its id alone (the consistent sampling of OpenTelemetry), so all
processes decide the same without a word. Nobody waits for a collector, and nothing fails with it: a span that finds no
room, or is not taken, is dropped and counted. Without an `otlp_endpoint` there is no tracer, and nothing of this runs.
"""

import contextlib
import random
import re
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextvars import ContextVar
from typing import Any, Final, Protocol

import msgspec
import structlog
from prometheus_client import Counter, Gauge

QUEUE_MAX: Final = 20_000  # spans that wait
EXPORT_MAX: Final = 512  # spans of one request
EXPORT_EVERY_S: Final = 1.0
CLOSE_S: Final = 3.0  # what the end may take
LINKS_MAX: Final = 5_000  # of one span
_LINKS_OF_A_SPAN: Final = 4  # so many links take about as much memory as a span
_TELL_EVERY_S: Final = 60.0
_RANDOM_DIGITS: Final = 14  # the last 56 bits of a trace id decide whether it is kept
_HEADER: Final = "traceparent"
_TRACE_ID: Final = re.compile(r"(?!0{32})[0-9a-f]{32}")
_SPAN_ID: Final = re.compile(r"(?!0{16})[0-9a-f]{16}")
_TRACEPARENT: Final = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")

INTERNAL, SERVER, CLIENT, PRODUCER, CONSUMER = 0, 1, 2, 3, 4  # kinds, as OpenTelemetry numbers them

_EXPORTED: Final = Counter("neural_hive_trace_spans_exported", "Spans that the collector has taken")
_DROPPED: Final = Counter(
    "neural_hive_trace_spans_dropped",
    "Spans that were given up: full (too many wait), refused (by the collector, or it is away), shutdown",
    ["reason"],
)
_WAITING: Final = Gauge("neural_hive_trace_spans_waiting", "Spans that wait for the collector")
for _reason in ("full", "refused", "shutdown"):
    _DROPPED.labels(_reason)  # or the first one could not be seen to be one more
log = structlog.get_logger()


class Span(msgspec.Struct, frozen=True):
    """Something that took a while. Ids are hex digits, times ns since 1970 UTC; `links` are traceparents."""

    name: str
    kind: int
    trace_id: str
    span_id: str
    parent_id: str  # empty: it is a root
    started_at: int
    ended_at: int
    attributes: dict[str, Any] = {}
    links: tuple[tuple[str, str], ...] = ()  # trace id and span id of each
    links_left_out: int = 0
    error: str = ""


class Exporter(Protocol):
    """Takes spans to a collector."""

    def export(self, spans: Sequence[Span]) -> bool:
        """Whether they were taken. May take long; raises nothing that matters."""
        ...

    def close(self) -> None:
        """Lets the collector go."""
        ...


class Tracer:
    """Takes spans from any thread and exports them in one of its own."""

    def __init__(self, exporter: Exporter, ratio: float = 1.0, queue_max: int = QUEUE_MAX) -> None:
        """`ratio`: the share of traces that is kept."""
        self._exporter, self._queue_max = exporter, queue_max
        # As a text: digits sort as their numbers do, and most traces of a small share are told apart by that alone.
        self._threshold = (
            f"{round((1.0 - ratio) * (1 << 4 * _RANDOM_DIGITS)):0{_RANDOM_DIGITS}x}" if ratio else "g"
        )
        self._waiting: deque[Span] = deque()
        self._weight = 0  # of what waits: links take room too
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._told_at = -_TELL_EVERY_S
        _WAITING.set_function(lambda: len(self._waiting))
        self._thread = threading.Thread(target=self._run, name="traces", daemon=True)
        self._thread.start()

    def keeps(self, trace_id: str) -> bool:
        """Whether the spans of a trace are kept."""
        return trace_id[-_RANDOM_DIGITS:] >= self._threshold and _TRACE_ID.fullmatch(trace_id) is not None

    def put(self, spans: Sequence[Span]) -> None:
        """Takes spans of kept traces; never waits, and never fails."""
        dropped = 0
        with self._lock:
            for span in spans:
                weight = _weight(span)
                if self._weight + weight > self._queue_max:
                    dropped += 1
                else:
                    self._weight += weight
                    self._waiting.append(span)
        if dropped:
            _DROPPED.labels("full").inc(dropped)

    def close(self, timeout_s: float = CLOSE_S) -> None:
        """Exports what waits, within a time."""
        self._stopping.set()
        self._thread.join(timeout_s)
        if left := len(self._waiting):
            self._waiting.clear()
            _DROPPED.labels("shutdown").inc(left)

    def _run(self) -> None:
        while not self._stopping.wait(EXPORT_EVERY_S):
            self._empty()
        self._empty()
        with contextlib.suppress(Exception):
            self._exporter.close()

    def _empty(self) -> None:
        while self._waiting:
            with self._lock:
                spans = [self._waiting.popleft() for _ in range(min(len(self._waiting), EXPORT_MAX))]
                self._weight -= sum(map(_weight, spans))
            taken, why = False, "the collector does not take them"
            try:
                taken = self._exporter.export(spans)
            except Exception as error:
                why = f"{type(error).__name__}: {error}"
            if taken:
                _EXPORTED.inc(len(spans))
            else:
                self._refused(len(spans), why)

    def _refused(self, count: int, why: str) -> None:
        _DROPPED.labels("refused").inc(count)
        if time.monotonic() - self._told_at >= _TELL_EVERY_S:
            self._told_at = time.monotonic()
            log.warning("traces dropped", count=count, why=why)


def _weight(span: Span) -> int:
    return 1 + len(span.links) // _LINKS_OF_A_SPAN


_installed: Tracer | None = None
_current: ContextVar[tuple[str, str]] = ContextVar("span", default=("", ""))  # trace id and span id
_asked: ContextVar[str] = ContextVar("asked trace", default="")


def tracer() -> Tracer | None:
    """The tracer of this process, if there is one."""
    return _installed


@contextlib.contextmanager
def installed(found: Tracer | None) -> Iterator[None]:
    """Makes a tracer that of this process, and closes it at the end; None: there is none, and all is as without."""
    global _installed
    if found is None:
        yield
        return
    _installed = found
    try:
        yield
    finally:
        _installed = None
        found.close()


def root_of(trace_id: str) -> str:
    """The span id of a trace's beginning: it follows from the trace id, so that what is caused by nothing but time
    stands below it too."""
    found = trace_id[-16:]
    return found if found.strip("0") else ""


def is_span_id(text: str) -> bool:
    """Whether a text is one: what others send may be anything."""
    return _SPAN_ID.fullmatch(text) is not None


def new_span_id() -> str:
    """A span id that stands in no log."""
    return f"{random.getrandbits(64) or 1:016x}"


def new_trace_id() -> str:
    """A trace of its own: of a batch, which belongs to no message's."""
    return f"{random.getrandbits(128) or 1:032x}"


def parsed(headers: Sequence[tuple[str, bytes | None]]) -> tuple[str, str]:
    """Trace id and span id of a record's headers; empty if there are none."""
    for name, value in headers:
        if name == _HEADER and value is not None and len(value) == 55:
            text = value.decode("ascii", "replace")
            if _TRACEPARENT.fullmatch(text):
                return text[3:35], text[36:52]
    return "", ""


def current_span(trace_id: str) -> str:
    """The span id of what is being done here and now for a trace; empty if that is nothing."""
    trace, span_id = _current.get()
    return span_id if trace == trace_id else ""


def asked_trace() -> str:
    """The trace of the request that is answered here and now; empty if there is none, or it has no trace."""
    return _asked.get()


@contextlib.contextmanager
def answering(trace_id: str, span_id: str) -> Iterator[None]:
    """Makes all that is published meanwhile part of a request's trace, and what is told of it stand below its span."""
    asked, current = _asked.set(trace_id), _current.set((trace_id, span_id))
    try:
        with structlog.contextvars.bound_contextvars(trace_id=trace_id):
            yield
    finally:
        _current.reset(current)
        _asked.reset(asked)


@contextlib.contextmanager
def doing(
    name: str, trace_id: str, parent_id: str, attributes: Mapping[str, Any], kind: int = CONSUMER
) -> Iterator[dict[str, Any]]:
    """A span for as long as this lasts. What is published and logged meanwhile, in this thread, belongs to it; what is
    put into the dictionary becomes attributes, `error` the reason why it has failed."""
    found, span_id, told = _installed, new_span_id(), dict[str, Any]()
    with structlog.contextvars.bound_contextvars(trace_id=trace_id):
        if found is None or not found.keeps(trace_id):
            yield told
            return
        token, started_at = _current.set((trace_id, span_id)), time.time_ns()
        try:
            yield told
        except BaseException as error:
            told.setdefault("error", type(error).__name__)
            raise
        finally:
            _current.reset(token)
            failed = str(told.pop("error", ""))
            ended_at, said = time.time_ns(), {**attributes, **told}
            found.put(
                [Span(name, kind, trace_id, span_id, parent_id, started_at, ended_at, said, error=failed)]
            )


def batch_span(
    name: str,
    started_at: int,
    attributes: dict[str, Any],
    messages: Sequence[tuple[str, str]],
    kind: int = CONSUMER,
) -> Span:
    """The span of a batch, in a trace of its own, with a link to each of these messages' spans."""
    kept = tuple(messages[:LINKS_MAX])
    return Span(
        name,
        kind,
        new_trace_id(),
        new_span_id(),
        "",
        started_at,
        time.time_ns(),
        attributes,
        kept,
        len(messages) - len(kept),
    )
