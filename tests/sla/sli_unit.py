"""SLIs on the real fold, store and codec, without a broker: events and metric windows in, measurements out."""

from typing import Any

import msgspec

from neural_hive.aggregates.aggregate import Event
from neural_hive.aggregates.identity import derived_id
from neural_hive.aggregates.metric_window import TOPIC as TELEMETRY
from neural_hive.aggregates.metric_window import MetricWindow
from neural_hive.aggregates.slo import Slo
from neural_hive.connectors.record import Record
from neural_hive.schemas.codec import decode
from neural_hive.schemas.envelope import Envelope
from neural_hive.streams.kernel.broadcast import Snapshot
from neural_hive.streams.kernel.fold import Route
from neural_hive.streams.kernel.system import Happened, System
from neural_hive.streams.kernel.unit import Cause, Work, cause_digest
from neural_hive.streams.sla.messages import MEASUREMENTS, CountSli
from tests.registry.kernel_unit import KernelUnit

TICKETS, WORKFLOWS = "execution.tickets", "orchestration.workflows"
WORKFLOW = "w-1"


class SliUnit(KernelUnit):
    """One partition, and the SLOs that it knows."""

    def __init__(self, system: System) -> None:
        super().__init__(system)
        self.slos: dict[str, Slo] = {}
        self._seen: dict[str, Slo] = {}  # views never change: others come in another dict
        self._offset = 0

    def happens(self, topic: str, event: Event, aggregate_id: str = "t-1") -> list[CountSli]:
        """An event of the orchestrator; what is counted of it."""
        self._offset += 1
        event_id = derived_id("happened", str(self._offset))
        record = Record(topic, 0, self._offset, self.now // 1_000, WORKFLOW.encode(), b"", ())
        head = Envelope(
            type(event).__name__, "x", 1, "l", "p", event_id, aggregate_id, 1, self.now, WORKFLOW, "c",
            "0" * 32, "0" * 16, 1, "", 0, 0, b"",
        )  # fmt: skip
        told = Happened(record, WORKFLOW, head, msgspec.to_builtins(event))
        handler = self.system.inputs[topic].events
        assert handler is not None
        return self._takes(handler, told, event_id, topic)

    def window(self, window: MetricWindow, message_id: str = "") -> list[CountSli]:
        """A metric window; what is counted of it. Raises Rejected."""
        self._offset += 1
        handler = self.system.inputs[TELEMETRY].handlers["MetricWindow"].handle
        return self._takes(handler, window, message_id or window.message_id, TELEMETRY)

    def fire(self, until_s: float) -> None:
        """Lets time pass, and the timers fire that are due by then."""
        self.now += int(until_s * 1_000_000)
        while timer := next(self.fold.due_timers(self.now), None):
            handler = self.system.timers[timer.aggregate, timer.name]
            self._takes(handler, timer.aggregate_id, f"{timer.aggregate_id} {timer.due}", "")
            assert not self.fold.is_set(timer), "the handler left the timer as it was"

    def _takes(self, handler: Any, about: Any, message_id: str, topic: str) -> list[CountSli]:
        if self.slos != self._seen:
            self._seen = dict(self.slos)
        views = {"slos": Snapshot(self._seen, {0: 7}, 0.0)}
        counts = {MEASUREMENTS: 3}
        work = Work(
            self.fold, 0, self._encoders, views, counts, self.system.name, self.position.sequence, True
        )
        route = Route(WORKFLOW, "c", "0" * 32)
        work.begin(Cause(message_id, cause_digest(message_id), route, self.now, topic, 0, self._offset, 0))
        try:
            handler(work, about)
        except Exception:
            work.refuse()
            raise
        work.tell_sums()
        self.position = msgspec.structs.replace(self.position, sequence=work.sequence)
        self.fold.write(self.position)
        self.log += [output for output in work.outputs if output.hash is not None]
        return [_message(output) for output in work.outputs if output.hash is None]


def _message(output: Any) -> CountSli:
    assert output.topic == MEASUREMENTS
    decoded = decode(output.value, "message")
    assert decoded.schema.name == "CountSli"
    assert output.key.decode() == decoded.payload["slo_id"]
    return msgspec.convert(decoded.payload, CountSli)
