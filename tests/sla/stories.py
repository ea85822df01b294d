"""Random histories of a service: what its tickets and workflows did and when, and who corrected what of its budget."""

import random
import time
from collections.abc import Iterator
from typing import Any, Final

import msgspec
from confluent_kafka import Producer

from neural_hive.aggregates.budget import AdjustmentKind, minute_of
from neural_hive.aggregates.identity import derived_id
from neural_hive.aggregates.metric_window import TOPIC as WINDOWS
from neural_hive.aggregates.metric_window import Bucket, MetricWindow
from neural_hive.aggregates.sla_window import DAY, HOUR, MINUTE, WindowKind
from neural_hive.aggregates.sli_source import Source
from neural_hive.aggregates.slo import Definition, Indicator, SloType
from neural_hive.schemas.codec import encode_event, encode_message
from neural_hive.schemas.envelope import NO_HASH, Envelope, Header
from neural_hive.schemas.topics import partition_of
from neural_hive.sdk.sender import Sender
from neural_hive.streams.sla.messages import COMMANDS, AdjustBudget, DefineSlo, RecalculateBudget
from tests.conftest import note_undelivered

PARTITIONS: Final = 4
SECOND: Final = 1_000_000
GOOD_TICKETS: Final = (
    "status = 'COMPLETED'",
    "status = 'COMPLETED' AND duration_ms <= 4000",
    "NOT (status IN ('FAILED', 'TIMED_OUT') OR wait_ms > 2500)",
    "exit_code = 0 AND attempt < 2",
    "exit_code IS NOT NULL OR agent_id LIKE 'a_'",
)
VALID_TICKETS: Final = (
    "plan_id = 'PLAN'",
    "plan_id = 'PLAN' AND task_type IN ('DEPLOY', 'BUILD')",
    "plan_id = 'PLAN' AND (service = 'cart' OR namespace IS NULL)",
    "plan_id LIKE 'PLAN%' AND risk_band != 'critical' AND wait_ms BETWEEN 0 AND 4000",
)
GOOD_WORKFLOWS: Final = (
    "status = 'COMPLETED'",
    "status = 'COMPLETED' AND NOT is_late",
    "duration_ms < 5000 AND task_count <= 3",
)
VALID_WORKFLOWS: Final = (
    "plan_id = 'PLAN'",
    "plan_id = 'PLAN' AND (sla_class != 'gold' OR status = 'REJECTED')",
)
WINDOW_DAYS: Final = ((WindowKind.ROLLING, 30), (WindowKind.ROLLING, 12), (WindowKind.ROLLING, 9))
REACH_DAYS: Final = 8  # what comes later than this is later than the whole window


GOOD_WINDOWS: Final = ("value <= 250", "outcome = 'ok'", "NOT (value > 100 OR outcome = 'failed')")
VALID_WINDOWS: Final = ("service = 'PLAN'", "service = 'PLAN' AND (value IS NULL OR value < 5000)")


class Story:
    """What happens to three SLOs, over tickets, workflows and metric windows, as a seed has it."""

    def __init__(self, seed: int, sender: Sender, producer: Producer) -> None:
        self.random = random.Random(seed)
        self.name = f"s{seed}"
        self._sender, self._producer = sender, producer
        self._count = self.asked = 0
        self._excluded: dict[str, list[str]] = {}
        choose = self.random.choice
        by = choose(("", "service", "task_type"))
        tickets = Indicator(Source.TICKETS, choose(GOOD_TICKETS), choose(VALID_TICKETS), by)
        workflows = Indicator(Source.WORKFLOWS, choose(GOOD_WORKFLOWS), choose(VALID_WORKFLOWS))
        windows = Indicator(
            Source.TELEMETRY, choose(GOOD_WINDOWS), choose(VALID_WINDOWS), choose(("", "region"))
        )
        of = {"tickets": tickets, "workflows": workflows, "windows": windows}
        self.definitions = {
            found.slo_id: found for found in (self._definition(name, each) for name, each in of.items())
        }
        self._sent: list[MetricWindow] = []
        self._revisions = dict.fromkeys(self.definitions, 0)

    def _definition(self, what: str, indicator: Indicator) -> Definition:
        slo_id = f"{self.name}-{what}"
        named = msgspec.structs.replace(indicator, valid=indicator.valid.replace("PLAN", self.name))
        kind, days = WINDOW_DAYS[0]
        about = slo_id, slo_id, SloType.AVAILABILITY, self.name
        return Definition(*about, 0.99, named, window_kind=kind, window_days=days)

    def define(self) -> None:
        """Says what is promised, or says it anew."""
        for slo_id, definition in self.definitions.items():
            self._say(slo_id, DefineSlo(slo_id, definition, self._revisions[slo_id], reason="a story"))
            self._revisions[slo_id] += 1

    def step(self) -> None:
        """Something happens."""
        (self.random.choices(
            (self.work, self.revise, self.exclude, self.lift, self.correct, self.look), (8, 1, 3, 2, 2, 3)
        )[0])()  # fmt: skip

    def work(self) -> None:
        """Tickets and workflows end, and windows come, some of them long ago or not yet."""
        for _ in range(self.random.randint(1, 6)):
            at = self._when()
            workflow_id = self._id("w")
            for topic, events in (
                ("execution.tickets", self._ticket(workflow_id, at)),
                ("orchestration.workflows", self._workflow(workflow_id, at)),
            ):
                for event in events:
                    key = workflow_id.encode()
                    self._producer.produce(
                        topic, event, key, partition_of(key, PARTITIONS), on_delivery=note_undelivered
                    )
            for value in self._windows(at):
                key = self.name.encode()
                self._producer.produce(
                    WINDOWS, value, key, partition_of(key, PARTITIONS), on_delivery=note_undelivered
                )
        self._producer.flush(30)

    def revise(self) -> None:
        """Another target, or a shorter window: the same counts are read in another way."""
        for slo_id, definition in self.definitions.items():
            at = next(n for n, (_, days) in enumerate(WINDOW_DAYS) if days == definition.window_days)
            _, days = WINDOW_DAYS[min(at + self.random.randint(0, 1), len(WINDOW_DAYS) - 1)]
            target = round(self.random.uniform(0.5, 0.999), 3)
            self.definitions[slo_id] = msgspec.structs.replace(definition, target=target, window_days=days)
        self.define()

    def exclude(self) -> None:
        """Somebody lets a time not count: minutes of late, or hours of earlier. Some of it is refused."""
        slo_id, dimension = self._budget()
        if self.random.random() < 0.6:
            begin = minute_of(self._now()) - self.random.randint(1, 3_000) * MINUTE
            end = begin + self.random.randint(1, 300) * MINUTE
        else:
            begin = self._now() // HOUR * HOUR - self.random.randint(70, 24 * REACH_DAYS) * HOUR
            end = begin + self.random.randint(1, 40) * HOUR
        name = self._id("x")
        self._excluded.setdefault(slo_id + dimension, []).append(name)
        self._adjust(slo_id, dimension, name, AdjustmentKind.EXCLUDE, begin, end)

    def lift(self) -> None:
        """Somebody lets it count again."""
        slo_id, dimension = self._budget()
        if names := self._excluded.get(slo_id + dimension):
            name = names.pop(self.random.randrange(len(names)))
            self._adjust(slo_id, dimension, name, AdjustmentKind.LIFT, 0, 0)

    def correct(self) -> None:
        """Somebody adds events to a minute, or takes some away."""
        slo_id, dimension = self._budget()
        at = minute_of(self._now()) - self.random.randint(1, 4_000) * MINUTE
        good = self.random.randint(-1, 4)
        more = {"good": good, "valid": good + self.random.randint(0, 3)}
        self._adjust(slo_id, dimension, self._id("c"), AdjustmentKind.CORRECT, at, at + MINUTE, **more)

    def look(self) -> None:
        """Somebody wants the budgets to be looked at."""
        for slo_id in self.definitions:
            for dimension in self.dimensions(slo_id):
                self._say(slo_id, RecalculateBudget(slo_id, dimension))

    def dimensions(self, slo_id: str) -> tuple[str, ...]:
        """Of which an SLO may have budgets."""
        match self.definitions[slo_id].indicator.group_by:
            case "service":
                return "", "cart", "till"
            case "task_type":
                return "DEPLOY", "BUILD", "TEST"
            case "region":
                return "", "eu"
            case _:
                return ("",)

    def _budget(self) -> tuple[str, str]:
        slo_id = self.random.choice(sorted(self.definitions))
        return slo_id, self.random.choice(self.dimensions(slo_id))

    def _adjust(
        self, slo_id: str, dimension: str, name: str, kind: AdjustmentKind, begin: int, end: int, **more: int
    ) -> None:
        wanted = AdjustBudget(slo_id, name, kind, begin, end, "a story", dimension, **more)
        self._say(slo_id, wanted)

    def _say(self, slo_id: str, message: msgspec.Struct) -> None:
        """Said once, or twice as somebody does who has heard no answer."""
        message_id = derived_id("story", self._id("m"))
        for _ in range(1 + (self.random.random() < 0.3)):
            self._sender.send(COMMANDS, message, message_id, slo_id)
        self.asked += 1

    def _when(self) -> int:
        """When something has ended: mostly just now, sometimes days ago, before any window, or by a wrong clock."""
        now, most = self._now(), self.random.random()
        if most < 0.5:
            return now - self.random.randint(0, 90 * MINUTE)
        if most < 0.9:
            return now - self.random.randint(0, REACH_DAYS * DAY)
        if most < 0.95:
            return now - self.random.randint(40 * DAY, 50 * DAY)
        return now + self.random.choice(
            (self.random.randint(0, 50 * MINUTE), self.random.randint(70, 200) * MINUTE)
        )

    def _now(self) -> int:
        return time.time_ns() // 1_000

    def _id(self, prefix: str) -> str:
        self._count += 1
        return f"{self.name}-{prefix}{self._count}"

    def _ticket(self, workflow_id: str, at: int) -> Iterator[bytes]:
        choose, ticket_id = self.random.choice, self._id("t")
        attempts = self.random.randint(1, 3)
        took = [self.random.randint(0, 6_000) * 1_000 for _ in range(attempts)]
        waited = self.random.randint(0, 5_000) * 1_000
        began = at - sum(took) - waited
        parameters = {"service": choose(("cart", "till"))} if self.random.random() < 0.7 else {}
        parameters |= {"namespace": "eu"} if self.random.random() < 0.5 else {}
        task = {
            "task_id": choose(("a", "b")), "task_type": choose(("DEPLOY", "BUILD", "TEST")), "timeout_ms": 1_000,
            "security_level": "INTERNAL", "parameters": parameters,
        }  # fmt: skip
        about = {
            "ticket_id": ticket_id, "workflow_id": workflow_id, "plan_id": self.name, "task": task,
            "priority": choose(("LOW", "NORMAL")), "risk_band": choose(("low", "critical")), "priority_score": 0.5,
            "deadline_at": at, "delivery_mode": "AT_LEAST_ONCE", "consistency": "STRONG",
            "durability": "PERSISTENT", "created_at": began,
        }  # fmt: skip
        yield self._event("TicketCreated", "ticket", ticket_id, 1, at, about)
        started = began + waited
        for attempt, took_us in enumerate(took, 1):
            of = {
                "ticket_id": ticket_id,
                "workflow_id": workflow_id,
                "attempt": attempt,
                "agent_id": choose(("a1", "b")),
            }
            ended = started + took_us
            result = {**of, "started_at": started, "completed_at": ended, "outputs": {}, "artifacts": []}
            kind = choose(("TicketCompleted", "TicketFailed", "TicketTimedOut"))
            if attempt < attempts and kind == "TicketCompleted":
                kind = "TicketFailed"
            content = {
                "TicketCompleted": {**result, "exit_code": 0},
                "TicketFailed": {**result, "exit_code": choose((1, 2)), "error": "it broke"},
                "TicketTimedOut": {**of, "timed_out_at": ended, "reason": "too slow"},
            }[kind]
            yield self._event(kind, "ticket", ticket_id, 1 + attempt, at, content)
            started = ended

    def _workflow(self, workflow_id: str, at: int) -> Iterator[bytes]:
        kind = self.random.choice(
            ("WorkflowCompleted", "WorkflowFailed", "WorkflowCancelled", "PlanRejected")
        )
        if kind == "PlanRejected":
            refused = {
                "decision_id": workflow_id,
                "plan_id": self.name,
                "reasons": ["a cycle"],
                "decision_sha256": "",
            }
            yield self._event(kind, "workflow", workflow_id, 1, at, refused)
            return
        took_ms, tasks = self.random.randint(0, 9_000), self.random.randint(1, 5)
        begun = {
            "workflow_id": workflow_id, "decision_id": workflow_id, "plan_id": self.name, "intent_id": "",
            "risk_band": "low", "priority": "NORMAL", "confidence": 0.9, "task_count": tasks,
            "started_at": at - took_ms * 1_000, "deadline_at": at + self.random.choice((-1, 0, 1)) * SECOND,
            "roots": [], "decision_sha256": "", "requested_by": "", "sla_class": self.random.choice(("", "gold")),
        }  # fmt: skip
        yield self._event("WorkflowStarted", "workflow", workflow_id, 1, at - took_ms * 1_000, begun)
        counts = {"completed_count": 1, "failed_count": 1, "cancelled_count": 1}
        ended: dict[str, Any] = {"workflow_id": workflow_id, "duration_ms": took_ms}
        more = {
            "WorkflowCompleted": {"completed_count": 1},
            "WorkflowFailed": {**counts, "reason": "it broke"},
            "WorkflowCancelled": {
                "reason": "enough",
                "requested_by": "",
                "completed_count": 1,
                "cancelled_count": 1,
            },
        }[kind]
        yield self._event(kind, "workflow", workflow_id, 2, at, {**ended, **more})

    def _windows(self, at: int) -> Iterator[bytes]:
        """A window that ends then; some come twice, and some overlap another one of their series."""
        choose = self.random.choice
        counts = [self.random.randint(0, 9) for _ in range(3)]
        bounds = (100.0, 250.0, 1000.0)
        buckets = tuple(map(Bucket, bounds, counts)) if self.random.random() < 0.8 else ()
        made = MetricWindow(
            self.name, choose(("latency_ms", "requests")), at - choose((1, 60, 600)) * SECOND, at, sum(counts) + 1,
            buckets, choose(("ok", "failed", "")), region=choose(("eu", "")), instance=f"pod-{choose(range(9))}",
        )  # fmt: skip
        self._sent.append(made)
        again = choose(self._sent)
        often = self.random.random()
        yield self._window(made)
        if often < 0.4:
            yield self._window(
                again if often < 0.3 else msgspec.structs.replace(again, events=again.events + 1)
            )

    def _window(self, window: MetricWindow) -> bytes:
        about = window.message_id, "MetricWindow", self._now(), window.service
        header = Header(*about, window.service, "", "0" * 32, "0" * 16, "a story")
        return encode_message(header, msgspec.to_builtins(window))

    def _event(
        self, event_type: str, of: str, aggregate_id: str, version: int, at: int, payload: dict[str, Any]
    ) -> bytes:
        self._count += 1
        event_id = derived_id("story", self.name, str(self._count))
        head = Envelope(
            event_type, of, 1, "story", self.name, event_id, aggregate_id, version, at, "c", "", "0" * 32, "0" * 16,
            self._count, "", 0, 0, NO_HASH,
        )  # fmt: skip
        return encode_event(head, payload)
