"""The SLA calculator on the real fold, store and codec, without a broker: messages in, events out."""

from typing import Any

import msgspec

from neural_hive.schemas.codec import decode
from neural_hive.streams.exceptions_view import FROZEN
from neural_hive.streams.kernel.broadcast import Snapshot
from neural_hive.streams.kernel.fold import Route
from neural_hive.streams.kernel.system import Committed, System
from neural_hive.streams.kernel.unit import Cause, Work, cause_digest
from neural_hive.streams.sla.history import CountHistory
from neural_hive.streams.sla.messages import (
    COMMANDS,
    MEASUREMENTS,
    CountSli,
    JoinComposite,
    LeaveComposite,
)
from neural_hive.streams.sla.view import POLICIES, SLOS
from tests.registry.kernel_unit import KernelUnit, Viewed

_MESSAGES = {kind.__name__: kind for kind in (CountSli, CountHistory, JoinComposite, LeaveComposite)}


class SlaUnit(KernelUnit):
    """One partition; what it says of policies, SLOs and exceptions is seen at once, and what it sends waits."""

    def __init__(self, system: System) -> None:
        super().__init__(system)
        self.policies: dict[str, Any] = {}
        self.slos: dict[str, Any] = {}
        self.sent: list[Any] = []
        self.frozen = FROZEN.empty

    def handle(self, message: Any, message_id: str = "", sent_at: int = 0) -> list[Any]:
        """A command, or a measurement."""
        self._count += 1
        topic = MEASUREMENTS if type(message).__name__ in _MESSAGES else COMMANDS
        handler = self.system.inputs[topic].handlers[type(message).__name__].handle
        return self._carry_out(
            handler, message, message_id or f"message {self._count}", self.now, topic, sent_at
        )

    def deliver(self) -> list[Any]:
        """Lets it take all that it has sent, and what it sends then; the events that followed."""
        events = []
        while self.sent:
            events += self.handle(self.sent.pop(0))
        return events

    def _carry_out(
        self, handler: Any, about: Any, message_id: str, now: int, topic: str, sent_at: int
    ) -> list[Any]:
        views = {
            "policies": Snapshot(self.policies, {0: 7}, 0.0),
            "slos": Snapshot(self.slos, {0: 7}, 0.0),
            "exceptions": Snapshot(self.frozen, {0: 7}, 0.0),
        }
        counts = {MEASUREMENTS: 3}
        work = Work(
            self.fold, 0, self._encoders, views, counts, self.system.name, self.position.sequence, True
        )
        route = Route("r", "c", "0" * 32)
        work.begin(Cause(message_id, cause_digest(message_id), route, now, topic, 0, self._count, sent_at))
        try:
            handler(work, about)
        except Exception:
            work.refuse()
            raise
        self.position = msgspec.structs.replace(self.position, sequence=work.sequence)
        self.fold.write(self.position)
        for output in work.outputs:
            if output.hash is None:
                self.sent.append(_message(output))
                continue
            self.log.append(output)
            if output.topic == POLICIES.topic:
                self.policies = POLICIES.add(self.policies, Viewed(output))
                self.slos = SLOS.add(self.slos, Viewed(output))
            if output.topic == FROZEN.topic:
                self.frozen = FROZEN.add(self.frozen, Viewed(output))
        for observer in self.system.observers:
            observer(Committed(0, tuple(work.observed), tuple(work.measured)))
        return [observed.event for observed in work.observed]


def _message(output: Any) -> Any:
    assert output.topic == MEASUREMENTS
    decoded = decode(output.value, "message")
    message = msgspec.convert(decoded.payload, _MESSAGES[decoded.schema.name])
    assert output.key.decode() == message.slo_id, "whom it is about must be able to read it"
    return message
