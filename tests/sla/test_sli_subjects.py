"""What is noted of tickets and workflows is there for as long as they can end, and then it is gone."""

import random
import tempfile
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
import pytest

from neural_hive.aggregates.aggregate import event_of
from neural_hive.aggregates.sla_window import DAY, HOUR
from neural_hive.aggregates.sli_source import Source
from neural_hive.aggregates.sli_subject import (
    SLI_SUBJECT,
    SliSubject,
    SliSubjectEnded,
    SliSubjectForgotten,
    SliSubjectNoted,
)
from neural_hive.aggregates.slo import Definition, Indicator, Slo, SloType
from neural_hive.aggregates.ticket import (
    TicketCancelled,
    TicketCompleted,
    TicketCreated,
    TicketFailed,
    TicketRetryScheduled,
)
from neural_hive.aggregates.ticketing import tickets_of
from neural_hive.aggregates.workflow import WorkflowFailed
from neural_hive.schemas.codec import decode
from neural_hive.schemas.envelope import Envelope
from neural_hive.streams.kernel.bulk_fold import BulkFold
from neural_hive.streams.kernel.fold import Fold
from neural_hive.streams.kernel.state import ROW, TIMER, Store
from neural_hive.streams.sla.messages import CountSli
from neural_hive.streams.sli.system import build
from tests.aggregates.making import decision, task
from tests.sla.sli_unit import TICKETS, WORKFLOW, WORKFLOWS, SliUnit

CART = Definition(
    "shop",
    "Shop",
    SloType.AVAILABILITY,
    "shop",
    0.99,
    Indicator(Source.TICKETS, "status = 'COMPLETED'", "service = 'cart'"),
)
DAY_S = DAY / 1e6


@pytest.fixture
def unit() -> Iterator[SliUnit]:
    made = SliUnit(build())
    made.slos["shop"] = Slo(CART, 1, 1, 0)
    yield made
    rows = made.rows()
    assert rows == made.refolded_rows() == bulk_folded_rows(made), "the state is the fold of the log"
    made.close()


def bulk_folded_rows(unit: SliUnit) -> dict[bytes, Any]:
    """All that the log's bytes give, folded as recovery does."""
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder))
        bulk = BulkFold(Fold(unit.system.all_aggregates, store))
        for output in unit.log:
            event = decode(output.value, "event")
            head = event.head
            assert isinstance(head, Envelope)
            aggregate = bulk.fold.aggregates[head.aggregate_type]
            of = bulk.open(aggregate, head.aggregate_id)
            assert (head.version, head.prev_hash) == (of.version + 1, of.hash), "as recovery demands"
            digest = sha256(output.value).digest()
            known = event_of(aggregate, head.event_type, event.payload)
            cause, key = head.causation_id, output.key or b""
            bulk.take(
                of,
                known,
                head.version,
                head.occurred_at,
                digest,
                cause,
                key,
                head.correlation_id,
                head.trace_id,
            )
        bulk.settle()
        bulk.fold.write(unit.position)
        rows = {key: msgspec.msgpack.decode(value) for key, value in store.rows()}
        store.close()
    return rows


def created(unit: SliUnit, name: str = "t-1", service: str = "cart") -> None:
    (ticket,) = tickets_of(decision(task("a", parameters={"service": service})), unit.now)
    unit.happens(TICKETS, TicketCreated(**msgspec.structs.asdict(ticket)), name)


def completed(unit: SliUnit, name: str = "t-1") -> list[CountSli]:
    end = TicketCompleted("t", WORKFLOW, 1, "a", unit.now - 1, unit.now, 0, {}, ())
    return unit.happens(TICKETS, end, name)


def failed(unit: SliUnit, name: str = "t-1") -> list[CountSli]:
    end = TicketFailed("t", WORKFLOW, 1, "a", unit.now - 1, unit.now, 1, {}, (), "it broke")
    return unit.happens(TICKETS, end, name)


def kinds(unit: SliUnit) -> list[str]:
    found = [decode(output.value, "event").schema.name for output in unit.log]
    return [name for name in found if name.startswith("SliSubject")]


def subject(unit: SliUnit, name: str = "t-1") -> SliSubject | None:
    found: SliSubject | None = unit.state(SLI_SUBJECT, name)
    return found


def kept(unit: SliUnit) -> int:
    """Rows and timers of subjects."""
    return sum(key[:1] in (ROW, TIMER) and b"sli_subject" in key for key in unit.rows())


def test_what_has_ended_is_forgotten_after_a_week(unit: SliUnit) -> None:
    created(unit)
    (counted,) = completed(unit)
    assert counted.counts[0].good == 1
    unit.fire(6 * DAY_S)
    assert subject(unit) is not None
    unit.fire(1 * DAY_S)
    assert subject(unit) is None
    assert kinds(unit) == ["SliSubjectNoted", "SliSubjectEnded", "SliSubjectForgotten"]
    assert kept(unit) == 0, "neither row nor timer is left"


def test_what_has_failed_may_end_again_until_its_deadline(unit: SliUnit) -> None:
    created(unit)
    for _ in range(3):
        (counted,) = failed(unit)
        assert counted.counts[0].good == 0
        unit.happens(TICKETS, TicketRetryScheduled("t", WORKFLOW, 1, unit.now, "again"))
        unit.fire(29 * DAY_S)
    (counted,) = completed(unit)
    assert counted.counts[0].good == 1, "its service is still known"
    assert kinds(unit) == ["SliSubjectNoted", "SliSubjectEnded"]


def test_an_end_that_comes_again_changes_nothing(unit: SliUnit) -> None:
    created(unit)
    completed(unit)
    unit.fire(3 * DAY_S)
    created(unit)
    assert len(completed(unit)) == 1, "what it says is known"
    assert kinds(unit) == ["SliSubjectNoted", "SliSubjectEnded"]
    unit.fire(4 * DAY_S)
    assert subject(unit) is None, "since its first end"


def test_what_nobody_ends_is_forgotten_when_no_deadline_can_be_ahead(unit: SliUnit) -> None:
    created(unit)
    unit.fire(99 * DAY_S)
    assert subject(unit) is not None
    unit.fire(1 * DAY_S)
    assert subject(unit) is None
    assert completed(unit) == [], "of what service it was is not known any more"
    assert kinds(unit) == ["SliSubjectNoted", "SliSubjectForgotten"]


def test_what_was_cancelled_and_workflows_are_forgotten_too(unit: SliUnit) -> None:
    created(unit)
    unit.happens(TICKETS, TicketCancelled("t", WORKFLOW, "no", 1))
    unit.happens(WORKFLOWS, WorkflowFailed(WORKFLOW, 0, 1, 0, "no", 1), WORKFLOW)
    assert kinds(unit) == ["SliSubjectNoted", "SliSubjectEnded"], "of that workflow nothing was noted"
    unit.fire(8 * DAY_S)
    assert kept(unit) == 0


def test_the_state_does_not_grow_with_all_tickets_that_ever_were(unit: SliUnit) -> None:
    most = 0
    for number in range(600):
        created(unit, f"t-{number}")
        completed(unit, f"t-{number}")
        unit.fire(HOUR / 1e6)
        most = max(most, kept(unit)) if number % 50 == 49 else most
    assert 2 * 7 * 24 - 2 <= most <= 2 * 7 * 24 + 2, "a row and a timer for each of the last week"
    unit.fire(8 * DAY_S)
    assert kept(unit) == 0


@pytest.mark.parametrize("seed", range(20))
def test_what_is_counted_is_what_would_be_if_nothing_were_forgotten(unit: SliUnit, seed: int) -> None:
    chance, open_tickets = random.Random(seed), dict[str, tuple[str, int]]()
    for number in range(120):
        if chance.random() < 0.4:
            service = chance.choice(("cart", "till"))
            open_tickets[f"t-{number}"] = service, unit.now
            created(unit, f"t-{number}", service)
        can_end = [name for name, (_, since) in open_tickets.items() if unit.now - since < 90 * DAY]
        if can_end:
            name = chance.choice(can_end)
            is_good = chance.random() < 0.6
            counted = completed(unit, name) if is_good else failed(unit, name)
            expected = [int(is_good)] if open_tickets[name][0] == "cart" else []
            assert [found.counts[0].good for found in counted] == expected
            if is_good:
                del open_tickets[name]
        unit.fire(chance.choice((0, 0, HOUR / 1e6, DAY_S, 6 * DAY_S)))
    unit.fire(101 * DAY_S)
    assert kept(unit) == 0


def test_evolve_refuses_no_history() -> None:
    assert SLI_SUBJECT.evolve(None, SliSubjectEnded("s", 5)) == SliSubject({}, 0, 0, 5)
    noted = SLI_SUBJECT.evolve(None, SliSubjectNoted("s", {"a": "b"}, 1, 2))
    assert SLI_SUBJECT.is_over(SLI_SUBJECT.evolve(noted, SliSubjectForgotten("s", 6)))
    assert not SLI_SUBJECT.is_over(noted)
