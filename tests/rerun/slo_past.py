"""A history of SLOs in memory: the systems that count and freeze, over events of tickets that a test lets happen."""

from collections.abc import Iterator
from typing import Any

import msgspec

from neural_hive.aggregates.identity import derived_id
from neural_hive.aggregates.metric_window import TOPIC as TELEMETRY
from neural_hive.aggregates.metric_window import Bucket, MetricWindow
from neural_hive.replay.rerun.recording import Recording, Stretch
from neural_hive.replay.rerun.virtual_hive import VirtualHive
from neural_hive.schemas.codec import encode_event, encode_message
from neural_hive.schemas.envelope import NO_HASH, Envelope, Header
from neural_hive.streams.kernel.reading import MessageReader
from neural_hive.streams.sla import system as sla
from neural_hive.streams.sla.messages import COMMANDS
from neural_hive.streams.sli import system as sli

SECOND = 1_000_000
MINUTE = 60 * SECOND
BEGIN = 1_767_225_600 * SECOND  # 2026-01-01
TICKETS = "execution.tickets"


class SloPast:
    """One partition of each system, in a time of its own."""

    def __init__(self) -> None:
        self._count = 0
        self.hive = VirtualHive(
            [sla.build(), sli.build()],
            {"sla": 1, "sli": 1},
            {"sla": 0, "sli": 0},
            BEGIN,
            MessageReader(),
            lambda _: None,
        )

    @property
    def now(self) -> int:
        return self.hive.broker.now

    def pass_time(self, until: int) -> None:
        """Budgets are looked at when it is time."""
        while (due := self.hive.next_due) <= until:
            self.hive.broker.now = max(self.now, due)
            self.hive.work()
        self.hive.broker.now = until

    def say(self, routing_id: str, message: msgspec.Struct) -> None:
        """A command to the calculator."""
        message_id = derived_id("said", self._next())
        header = Header(
            message_id, type(message).__name__, self.now, routing_id, "c", "", "0" * 32, "", "test"
        )
        self.hive.say(COMMANDS, routing_id, encode_message(header, msgspec.to_builtins(message)))
        self.hive.work()

    def ticket(self, good: bool, task_type: str = "BUILD", service: str = "shop", late_us: int = 0) -> str:
        """A ticket that ends now, or is told of so much later than it ended."""
        ticket_id, at = f"t{self._next()}", self.now - late_us
        self.created(ticket_id, task_type, service)
        of = {"ticket_id": ticket_id, "workflow_id": "w", "attempt": 1, "agent_id": "a"}
        result = {
            **of,
            "started_at": at - SECOND,
            "completed_at": at,
            "exit_code": 0,
            "outputs": {},
            "artifacts": [],
        }
        if good:
            self.happens("TicketCompleted", ticket_id, result)
        else:
            self.happens("TicketFailed", ticket_id, {**result, "exit_code": 1, "error": "it broke"})
        return ticket_id

    def deploy(self, service: str = "shop") -> str:
        """A deployment that becomes ready now, and is given to an agent at once."""
        ticket_id = f"d{self._next()}"
        self.created(ticket_id, "DEPLOY", service)
        of = {"ticket_id": ticket_id, "workflow_id": "w"}
        self.happens("TicketReady", ticket_id, {**of, "ready_at": self.now})
        chosen = {**of, "attempt": 1, "agent_id": "a", "allocation": 1, "score": 1.0, "candidates": []}
        self.happens("TicketAllocated", ticket_id, {**chosen, "allocated_at": self.now})
        return ticket_id

    def created(self, ticket_id: str, task_type: str, service: str) -> None:
        """A ticket begins."""
        task = {
            "task_id": "a", "task_type": task_type, "timeout_ms": 1_000, "security_level": "INTERNAL",
            "parameters": {"service": service},
        }  # fmt: skip
        about = {
            "ticket_id": ticket_id, "workflow_id": "w", "plan_id": "p", "task": task, "priority": "NORMAL",
            "risk_band": "low", "priority_score": 0.5, "deadline_at": self.now, "delivery_mode": "AT_LEAST_ONCE",
            "consistency": "STRONG", "durability": "PERSISTENT", "created_at": self.now,
        }  # fmt: skip
        self.happens("TicketCreated", ticket_id, about)

    def happens(self, event_type: str, ticket_id: str, payload: dict[str, Any]) -> None:
        """An event of the orchestrator."""
        number = self._next()
        head = Envelope(
            event_type, "ticket", 1, "l", "orchestrator", derived_id("event", number), ticket_id, int(number), self.now,
            "w", "", "0" * 32, "0" * 16, int(number), "", 0, 0, NO_HASH,
        )  # fmt: skip
        headers = (("event_type", event_type.encode()),)
        self.hive.broker.append(TICKETS, 0, b"w", encode_event(head, payload), headers)
        self.hive.work()

    def window(self, fast: int, slow: int, late_us: int = 0, **more: Any) -> MetricWindow:
        """The window of the last full minute, or of an earlier one, is sent."""
        ends_at = (self.now - late_us) // MINUTE * MINUTE
        buckets = (Bucket(100.0, fast), Bucket(250.0, 1), Bucket(1000.0, slow))
        about = {
            "service": "shop",
            "metric": "latency_ms",
            "events": fast + 1 + slow,
            "buckets": buckets,
            **more,
        }
        made = MetricWindow(starts_at=ends_at - MINUTE, ends_at=ends_at, **about)
        self.sent(made)
        return made

    def sent(self, window: MetricWindow) -> None:
        """A window is sent, perhaps not for the first time."""
        about = window.message_id, "MetricWindow", self.now, window.service
        header = Header(*about, "c", "", "0" * 32, "0" * 16, "test")
        self.hive.say(TELEMETRY, window.service, encode_message(header, msgspec.to_builtins(window)))
        self.hive.work()

    def recording(self) -> Recording:
        """What its log holds."""
        return Recording(dict(self._topics()))

    def _topics(self) -> Iterator[tuple[str, list[Stretch]]]:
        sources = TICKETS, "orchestration.workflows", TELEMETRY
        for topic in (*sources, *sli.build().event_topics, *sla.build().event_topics):
            log = self.hive.broker.logs.get((topic, 0), [])
            yield topic, [Stretch(0, len(log), list(log))]

    def close(self) -> None:
        self.hive.close()

    def _next(self) -> str:
        self._count += 1
        return str(self._count)
