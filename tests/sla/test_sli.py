"""Which events of the orchestrator count for which SLO."""

from collections.abc import Iterator

import msgspec
import pytest

from neural_hive.aggregates.budget import Counted, minute_of
from neural_hive.aggregates.sli_cursor import SLI_CURSOR, cursor_id_of
from neural_hive.aggregates.sli_source import Source
from neural_hive.aggregates.sli_subject import SLI_SUBJECT
from neural_hive.aggregates.slo import Definition, Indicator, Slo, SloType
from neural_hive.aggregates.ticket import TicketCompleted, TicketCreated, TicketFailed, TicketTimedOut
from neural_hive.aggregates.ticketing import tickets_of
from neural_hive.aggregates.vocabulary import TaskType
from neural_hive.aggregates.workflow import PlanRejected, WorkflowCompleted
from neural_hive.streams.sli.system import build
from tests.aggregates.making import decision, task
from tests.sla.sli_unit import TICKETS, WORKFLOW, WORKFLOWS, SliUnit

BASE = Definition(
    "shop", "Shop", SloType.AVAILABILITY, "shop", 0.99, Indicator(Source.TICKETS, "status = 'COMPLETED'")
)


@pytest.fixture
def unit() -> Iterator[SliUnit]:
    made = SliUnit(build())
    yield made
    assert made.rows() == made.refolded_rows(), "the state is the fold of the log"
    made.close()


def knows(unit: SliUnit, good: str, valid: str = "", source: Source = Source.TICKETS, **more: str) -> None:
    definition = msgspec.structs.replace(BASE, indicator=Indicator(source, good, valid, **more))
    unit.slos["shop"] = Slo(definition, 1, 1, 0)


def created(unit: SliUnit, **parameters: str) -> None:
    (ticket,) = tickets_of(decision(task("a", task_type=TaskType.DEPLOY, parameters=parameters)), unit.now)
    unit.happens(TICKETS, TicketCreated(**msgspec.structs.asdict(ticket)))


def completed(unit: SliUnit, took_ms: int = 5_000) -> TicketCompleted:
    started_at = unit.now + 1_000_000
    return TicketCompleted("t-1", WORKFLOW, 1, "a", started_at, started_at + took_ms * 1_000, 0, {}, ())


def failed(unit: SliUnit) -> TicketFailed:
    return TicketFailed("t-1", WORKFLOW, 1, "a", unit.now, unit.now + 1, 1, {}, (), "it broke")


def test_good_and_bad_attempts_count(unit: SliUnit) -> None:
    knows(unit, "status = 'COMPLETED'")
    (good,) = unit.happens(TICKETS, completed(unit))
    (bad,) = unit.happens(TICKETS, failed(unit))
    (late,) = unit.happens(TICKETS, TicketTimedOut("t-1", WORKFLOW, 2, "a", unit.now, "too slow"))
    assert good.counts == (Counted(minute_of(completed(unit).completed_at), 1, 1),)
    assert [found.counts[0].good for found in (bad, late)] == [0, 0]
    assert (good.slo_id, good.measure, good.source) == ("shop", 1, "execution.tickets:0:1")


def test_what_later_events_do_not_tell_is_known(unit: SliUnit) -> None:
    knows(unit, "duration_ms <= 4000", "task_type = 'DEPLOY' AND service = 'cart' AND wait_ms < 2000")
    created(unit, service="cart")
    (found,) = unit.happens(TICKETS, completed(unit, 5_000))
    assert (found.counts[0].good, found.counts[0].valid) == (0, 1)
    (found,) = unit.happens(TICKETS, completed(unit, 4_000))
    assert found.counts[0].good == 1


def test_what_nobody_asks_for_is_not_counted(unit: SliUnit) -> None:
    created(unit)
    assert unit.happens(TICKETS, completed(unit)) == []
    assert unit.state(SLI_SUBJECT, "t-1") is not None, "it is noted: somebody may ask yet"
    assert {output.topic for output in unit.log} == {SLI_SUBJECT.topic}
    knows(unit, "status = 'COMPLETED'", "plan_id = 'another'")
    assert unit.happens(TICKETS, completed(unit)) == []


def test_what_began_before_the_slo_is_known_when_it_ends(unit: SliUnit) -> None:
    created(unit, service="cart")
    knows(unit, "status = 'COMPLETED'", "service = 'cart'")
    (found,) = unit.happens(TICKETS, completed(unit))
    assert (found.counts[0].good, found.counts[0].valid) == (1, 1)


def test_a_removed_or_disabled_slo_counts_nothing(unit: SliUnit) -> None:
    unit.slos["shop"] = Slo(msgspec.structs.replace(BASE, enabled=False), 1, 1, 0)
    assert unit.happens(TICKETS, completed(unit)) == []


def test_budgets_are_kept_apart_by_a_field(unit: SliUnit) -> None:
    knows(unit, "status = 'COMPLETED'", group_by="service")
    (found,) = unit.happens(TICKETS, completed(unit))
    assert found.dimension == ""
    created(unit, service="cart")
    (found,) = unit.happens(TICKETS, completed(unit))
    assert found.dimension == "cart"


def test_workflows_count_and_plans_that_were_refused(unit: SliUnit) -> None:
    knows(unit, "status = 'COMPLETED' AND duration_ms < 1000", source=Source.WORKFLOWS)
    (done,) = unit.happens(WORKFLOWS, WorkflowCompleted(WORKFLOW, 1, 999), WORKFLOW)
    (refused,) = unit.happens(WORKFLOWS, PlanRejected("d", "p", ("a cycle",), ""), "d")
    assert (done.counts[0].good, refused.counts[0].good) == (1, 0)
    assert unit.happens(TICKETS, completed(unit)) == []


def test_from_where_it_counts_is_in_the_log_once(unit: SliUnit) -> None:
    created(unit)
    knows(unit, "status = 'COMPLETED'")
    unit.happens(TICKETS, completed(unit))
    unit.happens(TICKETS, completed(unit))
    assert unit.state(SLI_CURSOR, cursor_id_of("shop", 1, TICKETS, 0)).offset == 2
    assert len(unit.log) == 3, "the ticket, the place, and the ticket's end"
