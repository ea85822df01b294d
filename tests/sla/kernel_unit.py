"""The SLA calculator on the real fold, store and codec, without a broker: messages in, events out."""

from typing import Any

import msgspec

from neural_hive.streams.kernel.broadcast import Snapshot
from neural_hive.streams.kernel.fold import Route
from neural_hive.streams.kernel.system import Committed, System
from neural_hive.streams.kernel.unit import Cause, Work, cause_digest
from neural_hive.streams.sla_messages import COMMANDS, MEASUREMENTS, CountSli
from neural_hive.streams.sla_view import POLICIES
from tests.registry.kernel_unit import KernelUnit, Viewed


class SlaUnit(KernelUnit):
    """One partition; what it says of policies is seen at once."""

    def __init__(self, system: System) -> None:
        super().__init__(system)
        self.policies: dict[str, Any] = {}

    def handle(self, message: Any, message_id: str = "", sent_at: int = 0) -> list[Any]:
        """A command, or a measurement."""
        self._count += 1
        topic = MEASUREMENTS if isinstance(message, CountSli) else COMMANDS
        handler = self.system.inputs[topic].handlers[type(message).__name__].handle
        return self._carry_out(
            handler, message, message_id or f"message {self._count}", self.now, topic, sent_at
        )

    def _carry_out(
        self, handler: Any, about: Any, message_id: str, now: int, topic: str, sent_at: int
    ) -> list[Any]:
        views = {"policies": Snapshot(self.policies, {0: 7}, 0.0)}
        work = Work(self.fold, 0, self._encoders, views, {}, self.system.name, self.position.sequence, True)
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
            assert output.hash is not None, "it sends nothing"
            self.log.append(output)
            if output.topic == POLICIES.topic:
                self.policies = POLICIES.add(self.policies, Viewed(output))
        for observer in self.system.observers:
            observer(Committed(0, tuple(work.observed), tuple(work.measured)))
        return [observed.event for observed in work.observed]
