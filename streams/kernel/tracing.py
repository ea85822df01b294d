"""The spans of one batch: one for each message whose trace is kept, with its events and messages below it, and one for
the whole batch with a link to each of them. They are told once the transaction is committed, and never before.
"""

import time

from neural_hive.connectors.tracing import (
    CONSUMER,
    INTERNAL,
    PRODUCER,
    Span,
    Tracer,
    batch_span,
    is_span_id,
    new_span_id,
    parsed,
)
from neural_hive.streams.kernel.unit import EVENT_TYPE_HEADER, Cause, Output


class BatchTrace:
    """What the work on one batch notes of its messages."""

    def __init__(self, tracer: Tracer, system: str, partition: int) -> None:
        self._tracer = tracer
        self._started_at = time.time_ns()
        self._kept: list[tuple[Cause, int, int]] = []  # cause, its first output, when it was begun
        self._ends: list[
            tuple[int, int]
        ] = []  # of each of these: the output behind its last, when it was done
        self._count = 0
        self._sums_from: int | None = None  # the first output that is a sum
        self._attributes = {
            "messaging.system": "kafka",
            "messaging.consumer.group.name": system,
            "messaging.destination.partition.id": str(partition),
        }

    def begin(self, cause: Cause, outputs: int) -> None:
        """A message is about to be handled, with so many outputs before its own."""
        self._count += 1
        self._end(outputs)
        if self._tracer.keeps(cause.route.trace_id):
            self._kept.append((cause, outputs, time.time_ns()))

    def sum_up(self, outputs: int) -> None:
        """All messages are handled: what is put out behind so many outputs are sums, each with a trace of its own."""
        self._end(outputs)
        self._sums_from = outputs

    def _end(self, outputs: int) -> None:
        if len(self._ends) < len(self._kept):
            self._ends.append((outputs, time.time_ns()))

    def committed(self, outputs: list[Output]) -> None:
        """All that was written is in the log."""
        self._end(len(outputs))
        now = time.time_ns()
        spans = [] if self._sums_from is None else self._of_sums(outputs[self._sums_from :], now)
        if not self._kept:
            self._tracer.put(spans)
            return
        for (cause, first, started_at), (end, done_at) in zip(self._kept, self._ends, strict=True):
            spans += self._of_message(cause, outputs[first:end], started_at, done_at, now)
        messages = [(c.route.trace_id, c.span_id) for c, _, _ in self._kept if is_span_id(c.span_id)]
        told = self._attributes | {"messaging.batch.message_count": self._count}
        name = f"process batch of {self._attributes['messaging.consumer.group.name']}"
        spans.append(batch_span(name, self._started_at, told, messages))
        self._tracer.put(spans)

    def _of_sums(self, sums: list[Output], now: int) -> list[Span]:
        found = (_span(output, "", self._started_at, now) for output in sums)
        return [span for span in found if self._tracer.keeps(span.trace_id)]

    def _of_message(
        self, cause: Cause, outputs: list[Output], started_at: int, done_at: int, now: int
    ) -> list[Span]:
        trace_id, span_id = cause.route.trace_id, new_span_id()
        below = [span for output in outputs if (span := _of_output(output, cause, span_id, done_at, now))]
        letters = [output for output in outputs if not output.headers]  # they belong to nobody's trace
        name = f"process {cause.topic}" if cause.topic else "fire timer"
        told = self._attributes | {
            "messaging.destination.name": cause.topic,
            "messaging.kafka.offset": cause.offset,
            "messaging.message.id": cause.message_id,
            "neural_hive.routing_id": cause.route.routing_id,
        }
        error = f"dead letter on {letters[0].topic}" if letters else ""
        whole = Span(
            name,
            CONSUMER if cause.topic else INTERNAL,
            trace_id,
            span_id,
            cause.span_id if is_span_id(cause.span_id) else "",
            started_at,
            done_at,
            told,
            error=error,
        )
        return [whole, *below]


def _of_output(output: Output, cause: Cause, parent_id: str, started_at: int, ended_at: int) -> Span | None:
    """An event or message from when it was made until it is in the log; None: it is the message itself, sent on."""
    _, span_id = parsed(output.headers)
    return _span(output, parent_id, started_at, ended_at) if span_id and span_id != cause.span_id else None


def _span(output: Output, parent_id: str, started_at: int, ended_at: int) -> Span:
    trace_id, span_id = parsed(output.headers)
    name = next((value for key, value in output.headers if key == EVENT_TYPE_HEADER), b"").decode()
    told = {
        "messaging.system": "kafka",
        "messaging.destination.name": output.topic,
        "messaging.destination.partition.id": str(output.partition),
    }
    return Span(name, PRODUCER, trace_id, span_id, parent_id, started_at, ended_at, told)
