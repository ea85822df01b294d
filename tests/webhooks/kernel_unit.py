"""The webhooks' system on the real fold, store and codec, without a broker: events and messages in, events out."""

from typing import Any

import msgspec

from neural_hive.aggregates.aggregate import Event
from neural_hive.aggregates.identity import derived_id
from neural_hive.aggregates.subscription import SUBSCRIPTION
from neural_hive.connectors.record import Record
from neural_hive.schemas.codec import decode
from neural_hive.schemas.envelope import Envelope
from neural_hive.streams.kernel.broadcast import Snapshot
from neural_hive.streams.kernel.fold import Route
from neural_hive.streams.kernel.inbox import DEAD_LETTERS
from neural_hive.streams.kernel.system import Committed, Happened, System
from neural_hive.streams.kernel.unit import Cause, Output, Work, cause_digest
from neural_hive.streams.webhooks.messages import COMMANDS, RESULTS, ReportDelivery
from neural_hive.streams.webhooks.view import SUBSCRIPTIONS
from tests.registry.kernel_unit import KernelUnit, Viewed

WORKFLOW = "w-1"


class WebhooksUnit(KernelUnit):
    """One partition; what it says of subscriptions is seen at once."""

    def __init__(self, system: System) -> None:
        super().__init__(system)
        self.subscriptions: dict[str, Any] = {}
        self.sent: list[tuple[str, str, dict[str, Any]]] = []  # topic, type, payload
        self._offset = 0

    def happens(self, topic: str, event: Event, aggregate_id: str = "t-1", event_id: str = "") -> list[Any]:
        """An event of another system; what follows from it."""
        self._offset += 1
        event_id = event_id or derived_id("happened", str(self._offset))
        record = Record(topic, 0, self._offset, self.now // 1_000, WORKFLOW.encode(), b"", ())
        head = Envelope(
            type(event).__name__, "x", 1, "l", "p", event_id, aggregate_id, 1, self.now, WORKFLOW, "c",
            "0" * 32, "0" * 16, 1, "", 0, 0, b"",
        )  # fmt: skip
        told = Happened(record, WORKFLOW, head, msgspec.to_builtins(event))
        handler = self.system.inputs[topic].events
        return self._carry_out(handler, told, event_id, self.now, topic, 0)

    def handle(self, message: Any, message_id: str = "", sent_at: int = 0) -> list[Any]:
        """A command, or a report of the sender."""
        self._count += 1
        topic = RESULTS if isinstance(message, ReportDelivery) else COMMANDS
        handler = self.system.inputs[topic].handlers[type(message).__name__].handle
        message_id = message_id or f"message {self._count}"
        return self._carry_out(handler, message, message_id, self.now, topic, sent_at)

    def letters(self) -> list[str]:
        """The reasons of the dead letters."""
        return [payload["reason"] for topic, _, payload in self.sent if topic == DEAD_LETTERS]

    def _carry_out(
        self, handler: Any, about: Any, message_id: str, now: int, topic: str, sent_at: int
    ) -> list[Any]:
        views = {"subscriptions": Snapshot(self.subscriptions, {0: 7}, 0.0)}
        counts = {DEAD_LETTERS: 3, COMMANDS: 4}
        work = Work(
            self.fold, 0, self._encoders, views, counts, self.system.name, self.position.sequence, True
        )
        work.begin(
            Cause(message_id, cause_digest(message_id), Route(WORKFLOW, "c", "0" * 32), now, topic, 0, 1, 0)
        )
        try:
            handler(work, about)
        except Exception:
            work.refuse()
            raise
        self.position = msgspec.structs.replace(self.position, sequence=work.sequence)
        self.fold.write(self.position)
        self.log += [output for output in work.outputs if output.hash is not None]
        for output in work.outputs:
            self._see(output)
        for observer in self.system.observers:
            observer(Committed(0, tuple(work.observed), tuple(work.measured)))
        return [observed.event for observed in work.observed]

    def _see(self, output: Output) -> None:
        if output.hash is None:
            decoded = decode(output.value, "message")
            self.sent.append((output.topic, decoded.schema.name, decoded.payload))
        elif output.topic == SUBSCRIPTION.topic:
            self.subscriptions = SUBSCRIPTIONS.add(self.subscriptions, Viewed(output))
