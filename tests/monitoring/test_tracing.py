"""Traces: what is kept, what is sent, and that nothing stops when they cannot be."""

import threading
import time
from collections.abc import Sequence

import pytest
from prometheus_client import REGISTRY

from neural_hive.aggregates.identity import derived_id
from neural_hive.connectors.otlp import OtlpExporter, traces_url
from neural_hive.connectors.tracing import (
    CONSUMER,
    Span,
    Tracer,
    batch_span,
    current_span,
    doing,
    installed,
    parsed,
    root_of,
    tracer,
)
from neural_hive.schemas.codec import encode_message
from neural_hive.schemas.envelope import Header
from neural_hive.streams.kernel.transport import Batch, Fetched
from tests.hostile.inputs import NOW
from tests.hostile.memory_kernel import MemoryKernel
from tests.monitoring.collector import collecting
from tests.toy.system import build

TRACE, SPAN, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331", "00f067aa0ba902b7"


class Kept:
    """An exporter that keeps what it is given."""

    def __init__(self, is_open: bool = True) -> None:
        self.spans: list[Span] = []
        self.open = threading.Event()
        if is_open:
            self.open.set()

    def export(self, spans: Sequence[Span]) -> bool:
        self.open.wait(30)
        self.spans += spans
        return True

    def close(self) -> None:
        pass


class Broken(Kept):
    def export(self, spans: Sequence[Span]) -> bool:
        raise OSError("no collector")


def a_span(number: int = 1) -> Span:
    return Span("x", CONSUMER, TRACE, f"{number:016x}", PARENT, 1, 2)


def dropped(reason: str) -> float:
    found = REGISTRY.get_sample_value("neural_hive_trace_spans_dropped_total", {"reason": reason})
    return found or 0.0


def test_processes_agree_on_what_is_kept() -> None:
    ids = [derived_id(str(number), "trace").replace("-", "") for number in range(2_000)]
    for ratio in (0.0, 0.1, 0.5, 1.0):
        one, other = Tracer(Kept(), ratio), Tracer(Kept(), ratio)
        kept = [trace_id for trace_id in ids if one.keeps(trace_id)]
        assert kept == [trace_id for trace_id in ids if other.keeps(trace_id)]
        assert abs(len(kept) / len(ids) - ratio) < 0.05
        one.close()
        other.close()


@pytest.mark.parametrize("text", ["", "x" * 32, "0af7651916cd43dd", "é" * 32])
def test_what_is_no_trace_id_is_not_kept(text: str) -> None:
    found = Tracer(Kept())
    assert not found.keeps(text)
    found.close()


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (f"00-{TRACE}-{SPAN}-01".encode(), (TRACE, SPAN)),
        (f"00-{TRACE}-{'0' * 16}-01".encode(), ("", "")),
        (f"00-{'0' * 32}-{SPAN}-01".encode(), ("", "")),
        (f"00-{TRACE.upper()}-{SPAN}-01".encode(), ("", "")),
        (b"\xff" * 55, ("", "")),
        (None, ("", "")),
    ],
)
def test_headers_of_strangers(value: bytes | None, expected: tuple[str, str]) -> None:
    assert parsed([("other", b"x"), ("traceparent", value)]) == expected


def test_what_is_sent_is_what_was_told() -> None:
    with collecting() as (collector, address):
        found = Tracer(OtlpExporter(address, "worker"))
        with (
            installed(found),
            pytest.raises(ValueError),
            doing("execute TEST", TRACE, PARENT, {"neural_hive.attempt": 2}),
        ):
            assert current_span(TRACE) != "" == current_span("f" * 32)
            found.put([batch_span("batch", time.time_ns(), {}, [(TRACE, SPAN), (TRACE, PARENT)])])
            raise ValueError
        assert tracer() is None
    [batch, execution] = sorted(collector.spans, key=lambda span: span.name)
    assert batch.links == ((TRACE, SPAN), (TRACE, PARENT))
    assert batch.trace_id != TRACE
    assert (execution.process, execution.trace_id, execution.parent_id) == ("worker", TRACE, PARENT)
    assert execution.is_error
    assert execution.attributes == {"neural_hive.attempt": "2"}


@pytest.mark.parametrize("answer", [400, 503])
def test_a_collector_that_refuses_stops_nothing(answer: int) -> None:
    before = dropped("refused") + dropped("shutdown")
    with collecting() as (collector, address):
        collector.answers = answer
        found = Tracer(OtlpExporter(address, "worker"))
        found.put([a_span()])
        found.close(10)
    assert dropped("refused") + dropped("shutdown") == before + 1


def test_an_exporter_that_fails_is_counted() -> None:
    before = dropped("refused")
    found = Tracer(Broken())
    found.put([a_span(), a_span(2)])
    found.close()
    assert dropped("refused") == before + 2


def test_a_slow_collector_holds_up_nobody_and_memory_is_bounded() -> None:
    exporter, full = Kept(is_open=False), dropped("full")
    found = Tracer(exporter, queue_max=10)
    began = time.monotonic()
    for number in range(1, 1_001):
        found.put([a_span(number)])
    links = [(TRACE, SPAN)] * 1_000
    found.put([batch_span("batch", 1, {}, links)])
    assert time.monotonic() - began < 5
    assert dropped("full") - full >= 1_001 - 10 - 512
    exporter.open.set()
    found.close()
    assert len(exporter.spans) <= 10 + 512


def message(number: int, message_type: str = "AddToCounter", **payload: int) -> bytes:
    """A message with a trace of its own."""
    message_id = f"message-{number}"
    trace_id = derived_id(message_id, "trace").replace("-", "")
    header = Header(
        message_id, message_type, NOW, f"counter-{number}", "", "", trace_id, f"{number + 1:016x}", "test"
    )
    return encode_message(header, {"counter_id": f"counter-{number}", **payload})


def test_a_batch_has_a_span_for_each_message_and_a_link_to_it() -> None:
    exporter, topic = Kept(), "toy.commands.traced"
    kernel = MemoryKernel(build(".traced"), {"blocks": frozenset}, 1)
    values = [message(number, amount=1) for number in range(3)] + [b"nonsense"]
    records = [Fetched(topic, 0, at, 1, b"k", value, ()) for at, value in enumerate(values)]
    with installed(Tracer(exporter)):
        kernel.partition.step([Batch(topic, 0, 0, len(records), records, 99)])
    [batch] = [span for span in exporter.spans if span.links]
    messages = [span for span in exporter.spans if span.name == f"process {topic}"]
    events = [span for span in exporter.spans if span.name == "CounterRaised"]
    assert len(exporter.spans) == 1 + 3 + 3, "what has no trace of its own leaves no span"
    assert set(batch.links) == {(m.trace_id, m.parent_id) for m in messages}
    assert [parsed(r.headers) for r in kernel.log.topics["toy.counters.traced"]] == [
        (event.trace_id, event.span_id) for event in events
    ]
    by_id = {found.span_id: found for found in messages}
    for event in events:
        assert by_id[event.parent_id].trace_id == event.trace_id
        assert event.started_at <= event.ended_at


def test_a_dead_letter_is_an_error_and_a_timer_stands_below_the_beginning() -> None:
    exporter, topic = Kept(), "toy.commands.failing"
    kernel = MemoryKernel(build(".failing"), {"blocks": lambda: frozenset({"counter-1"})}, 1)
    with installed(Tracer(exporter)):
        kernel.take(topic, message(1, amount=1))
        kernel.take(topic, message(2, "StartCountdown", delay_ms=1_000))
        kernel.pass_time(2_000_000)
    [refused] = [span for span in exporter.spans if span.error]
    assert refused.error == "dead letter on dead.letters"
    [fired] = [span for span in exporter.spans if span.name == "fire timer"]
    [closed] = [span for span in exporter.spans if span.name == "CounterClosed"]
    assert (closed.parent_id, fired.parent_id) == (fired.span_id, root_of(fired.trace_id))


def test_without_a_tracer_nothing_is_noted() -> None:
    kernel = MemoryKernel(build(".silent"), {"blocks": frozenset}, 1)
    assert kernel.partition._new_work().trace is None


def test_the_beginning_of_a_trace_follows_from_its_id() -> None:
    assert root_of(TRACE) == TRACE[16:]
    assert root_of("f" * 16 + "0" * 16) == ""


def test_addresses() -> None:
    assert traces_url("http://host:4318") == "http://host:4318/v1/traces"
    assert traces_url("http://host:4318/") == "http://host:4318/v1/traces"
    assert traces_url("https://host/other/path") == "https://host/other/path"
