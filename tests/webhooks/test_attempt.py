"""One attempt: what is reported of it, whatever the receiver, the log, the secret or the clock do."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from neural_hive.aggregates.delivery import EXPIRED, Outcome, Target
from neural_hive.aggregates.ticket import TicketCancelled
from neural_hive.connectors.kafka_log import LostLog, UnreadableLog
from neural_hive.connectors.record import Record
from neural_hive.connectors.webhook_address import endpoint_of, rules_of
from neural_hive.connectors.webhook_post import Poster
from neural_hive.connectors.webhook_signing import new_secret
from neural_hive.schemas.codec import encode_event
from neural_hive.sdk.webhooks import Verifier
from neural_hive.streams.webhooks.attempt import Attempts
from neural_hive.streams.webhooks.messages import ReportDelivery
from neural_hive.streams.webhooks.orders import Newer, Order, Over, order_of
from tests.webhooks.receiver import Receiver, receiving, says
from tests.webhooks.test_body import HEAD

RULES = rules_of(("127.0.0.0/8",), ("1-65535",), True)
EVENT = encode_event(HEAD, msgspec.to_builtins(TicketCancelled("t-1", "w", "because", 1)))


class Log:
    """Stands for the log: gives the event, or fails."""

    def __init__(self) -> None:
        self.failure: Exception | None = None
        self.value = EVENT

    def record(self, topic: str, partition: int, offset: int) -> Record:
        if self.failure is not None:
            raise self.failure
        return Record(topic, partition, offset, 1, b"w", self.value, ())

    def close(self) -> None:
        pass


class Scene:
    """A receiver, a secret, and a log."""

    def __init__(self, receiver: Receiver, folder: Path) -> None:
        self.receiver, self.folder, self.log = receiver, folder, Log()
        self.secret = new_secret()
        (folder / "s").write_text(self.secret)
        self.rules = RULES

    def attempt(self, **changes: Any) -> tuple[ReportDelivery, bool]:
        expires_at = (time.time_ns() // 1_000) + 60_000_000
        target = Target("d-1", "s", "w", self.receiver.url, "e-1", "TicketCancelled", "t", 0, 5, expires_at)
        order = Order(msgspec.structs.replace(target, **changes), 3, "ab" * 16, "w", "x")

        async def go() -> tuple[ReportDelivery, bool]:
            attempts = Attempts(self.log, Poster(self.rules, 1.0), self.folder, 100_000)  # type: ignore[arg-type]
            try:
                return await attempts.make(endpoint_of(order.target.url, RULES), order)
            finally:
                await attempts.close()

        return asyncio.run(go())


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    with receiving() as receiver:
        yield Scene(receiver, tmp_path)


def test_it_is_signed_and_posted(scene: Scene) -> None:
    report, is_well = scene.attempt()
    assert is_well and report.duration_ms >= 0
    assert msgspec.structs.replace(report, duration_ms=0) == ReportDelivery(
        "d-1", "w", 3, Outcome.DELIVERED, 204, "HTTP 204"
    )
    (request,) = scene.receiver.requests
    told = Verifier([scene.secret]).verify(request.body, request.headers)
    assert (told.id, told.type, told.data["reason"]) == ("d-1", "TicketCancelled", "because")


@pytest.mark.parametrize(
    ("status", "outcome", "is_well"),
    [
        (200, Outcome.DELIVERED, True),
        (299, Outcome.DELIVERED, True),
        (302, Outcome.FAILED, False),
        (400, Outcome.FAILED, True),
        (404, Outcome.FAILED, True),
        (410, Outcome.GONE, True),
        (429, Outcome.FAILED, False),
        (500, Outcome.FAILED, False),
        (503, Outcome.FAILED, False),
    ],
)
def test_what_an_answer_means(scene: Scene, status: int, outcome: Outcome, is_well: bool) -> None:
    scene.receiver.answer = lambda request: says(status, "retry-after: 9\r\n")
    report, works = scene.attempt()
    assert (report.outcome, report.status_code, works) == (outcome, status, is_well)
    assert report.retry_after_ms == (9_000 if status in (429, 503) else 0)


def test_without_a_secret_nothing_is_posted(scene: Scene) -> None:
    (scene.folder / "s").unlink()
    report, is_well = scene.attempt()
    assert report.outcome is Outcome.FAILED and "there is no secret" in report.reason and is_well
    assert scene.receiver.requests == []


def test_what_nobody_waits_for_is_not_posted(scene: Scene) -> None:
    report, _ = scene.attempt(expires_at=time.time_ns() // 1_000 - 1)
    assert (report.outcome, report.reason) == (Outcome.UNFIT, EXPIRED)
    assert scene.receiver.requests == []


@pytest.mark.parametrize(
    ("failure", "outcome"),
    [
        (LostLog("t", 0, 5, "it is gone"), Outcome.UNFIT),
        (UnreadableLog("nobody answers"), Outcome.POSTPONED),
        (RuntimeError("what is this"), Outcome.FAILED),
    ],
)
def test_an_event_that_cannot_be_read(scene: Scene, failure: Exception, outcome: Outcome) -> None:
    scene.log.failure = failure
    report, is_well = scene.attempt()
    assert report.outcome is outcome and str(failure) in report.reason and is_well
    assert scene.receiver.requests == []


def test_an_event_of_a_newer_build(scene: Scene) -> None:
    scene.log.value = b"\0\xff\xff\xff\xff"
    assert scene.attempt()[0].outcome is Outcome.UNFIT


def test_where_it_may_not_go(scene: Scene) -> None:
    scene.rules = rules_of((), ("1-65535",), True)
    report, _ = scene.attempt()
    assert report.outcome is Outcome.FAILED and "no public address" in report.reason


def test_what_the_log_asks_for() -> None:
    target = Target("d-1", "s", "w", "https://h/", "e-1", "TicketFailed", "t", 0, 5, 9)
    said = msgspec.to_builtins(target)
    due = msgspec.structs.replace(
        HEAD, event_type="DeliveryDue", aggregate_type="delivery", aggregate_id="d-1"
    )
    order = order_of(encode_event(due, {**said, "attempt": 4, "released_at": 1}))
    assert isinstance(order, Order) and order.key == ("d-1", 4) and order.target == target
    scheduled = msgspec.structs.replace(due, event_type="DeliveryScheduled")
    waits = {**said, "attempt": 0, "scheduled_at": 1, "due_at": 2}
    assert order_of(encode_event(scheduled, waits)) is None
    done = msgspec.structs.replace(due, event_type="DeliverySucceeded")
    ended = {"attempt": 4, "status_code": 200, "duration_ms": 1, "delivered_at": 1}
    assert order_of(encode_event(done, ended)) == Over(("d-1", 4))
    noted = msgspec.structs.replace(due, event_type="SubjectNoted", aggregate_type="subject")
    assert order_of(encode_event(noted, {"subject_id": "t", "plan_id": "p"})) is None
    with pytest.raises(Newer, match="update the sender"):
        order_of(b"\0\xff\xff\xff\xff" + b"x" * 40)
