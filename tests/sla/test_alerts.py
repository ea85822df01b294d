"""Alerts of others: each beginning and each end once, and the budget that they are about is looked at."""

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neural_hive.aggregates.aggregate import Rejected
from neural_hive.aggregates.alert import (
    ALERT,
    Alert,
    AlertFired,
    AlertResolved,
    Note,
    Signal,
    Told,
    alert_id_of,
    decide,
    evolve,
)
from neural_hive.aggregates.budget import BudgetEvaluated, Counted, minute_of
from neural_hive.aggregates.freeze import FreezeActivated
from neural_hive.aggregates.freeze_policy import Action, Policy, Scope
from neural_hive.aggregates.sla_window import MINUTE
from neural_hive.aggregates.sli_source import Source
from neural_hive.aggregates.slo import Definition, Indicator, SloType
from neural_hive.aggregates.violation import ViolationOpened
from neural_hive.streams.sla.messages import CountSli, DefineFreezePolicy, DefineSlo, NoteAlert, RemoveSlo
from neural_hive.streams.sla.system import build
from tests.sla.kernel_unit import SlaUnit

INDICATOR = Indicator(Source.TICKETS, "status = 'COMPLETED'")
DEFINITION = Definition("shop", "Shop", SloType.AVAILABILITY, "shop", 0.9, INDICATOR, window_days=7)
POLICY = Policy("careful", "Careful", Scope.SERVICE, "shop", (Action.BLOCK_DEPLOY,), 20, 50)
TOLD = Told(
    "shop", "0f3a", {"alertname": "Burns", "slo": "shop"}, {"summary": "s"}, "hive", "http://p/", 1_000
)


@pytest.fixture
def unit() -> Iterator[SlaUnit]:
    made = SlaUnit(build())
    made.handle(DefineSlo("shop", DEFINITION))
    yield made
    assert made.rows() == made.refolded_rows(), "the state is the fold of the log"
    made.close()


def noted(signal: Signal = Signal.FIRING, starts_at: int = 1_000, **more: Any) -> NoteAlert:
    told = msgspec.structs.asdict(TOLD) | {"starts_at": starts_at} | more
    return NoteAlert(**told, signal=signal, ends_at=5_000 if signal is Signal.RESOLVED else 0)


def types(events: list[Any]) -> list[str]:
    return [type(event).__name__ for event in events]


def test_an_alert_begins_and_ends_once(unit: SlaUnit) -> None:
    (fired,) = unit.handle(noted())
    assert isinstance(fired, AlertFired)
    assert (fired.slo_id, fired.starts_at, fired.labels["alertname"]) == ("shop", 1_000, "Burns")
    assert unit.handle(noted()) == []
    (resolved,) = unit.handle(noted(Signal.RESOLVED))
    assert isinstance(resolved, AlertResolved) and resolved.ends_at == 5_000
    assert unit.handle(noted(Signal.RESOLVED)) == []
    assert unit.handle(noted()) == [], "what comes late says nothing new"
    assert types(unit.handle(noted(starts_at=9_000))) == ["AlertFired"]
    assert unit.handle(noted(Signal.RESOLVED)) == [], "nor of the one before"
    assert unit.state(ALERT, alert_id_of("shop", "0f3a")).is_firing


def test_an_end_alone_says_that_it_had_begun(unit: SlaUnit) -> None:
    assert types(unit.handle(noted(Signal.RESOLVED))) == ["AlertFired", "AlertResolved"]


def test_the_budget_is_looked_at_and_policies_are_asked(unit: SlaUnit) -> None:
    unit.handle(DefineFreezePolicy("careful", POLICY))
    unit.handle(CountSli("shop", 1, (Counted(minute_of(unit.now) - 2 * MINUTE, 0, 100),), "t:0:1-2"))
    events = unit.handle(noted())  # sooner than the timer
    assert {AlertFired, BudgetEvaluated, ViolationOpened, FreezeActivated} <= set(map(type, events))
    assert BudgetEvaluated not in set(map(type, unit.handle(noted()))), "a repeat looks at nothing"


def test_a_budget_of_its_own_is_named_by_the_label_that_groups_it(unit: SlaUnit) -> None:
    by_task = msgspec.structs.replace(
        DEFINITION, slo_id="tasks", indicator=msgspec.structs.replace(INDICATOR, group_by="task_id")
    )
    unit.handle(DefineSlo("tasks", by_task))
    counts = (Counted(minute_of(unit.now) - 2 * MINUTE, 1, 1),)
    unit.handle(CountSli("tasks", 1, counts, "t:0:1-2", dimension="deploy"))
    assert types(unit.handle(noted(slo_id="tasks", fingerprint="aa"))) == ["AlertFired"]
    labels = {"slo": "tasks", "task_id": "deploy"}
    looked = unit.handle(noted(slo_id="tasks", fingerprint="bb", labels=labels))
    assert types(looked) == ["AlertFired", "BudgetEvaluated"] and looked[1].dimension == "deploy"


def test_what_makes_no_sense_is_refused(unit: SlaUnit) -> None:
    with pytest.raises(Rejected, match="no SLO nobody"):
        unit.handle(noted(slo_id="nobody"))
    for wrong, why in (
        ({"fingerprint": "xyz"}, "fingerprint"),
        ({"starts_at": 0}, "starts_at"),
        ({"labels": {str(n): "" for n in range(65)}}, "labels"),
        ({"annotations": {"summary": "x" * 10_001}}, "annotations"),
        ({"receiver": "x" * 10_001}, "receiver"),
        ({"signal": Signal.UNKNOWN}, "FIRING or RESOLVED"),
    ):
        with pytest.raises(Rejected, match=why):
            unit.handle(noted(**wrong))


def test_an_slo_that_was_removed_is_told_of_still(unit: SlaUnit) -> None:
    unit.handle(RemoveSlo("shop"))
    assert types(unit.handle(noted())) == ["AlertFired"]


NOTES = st.builds(
    lambda signal, at: Note(msgspec.structs.replace(TOLD, starts_at=at), signal, at + 1, "", 7),
    st.sampled_from([Signal.FIRING, Signal.RESOLVED]),
    st.integers(1, 4),
)


@given(st.lists(NOTES, max_size=12))
def test_a_repeat_says_nothing_new_and_time_goes_on(notes: list[Note]) -> None:
    state: Alert | None = None
    told: list[Any] = []
    for note in notes:
        for event in (events := decide(state, note)):
            state = evolve(state, event)
        told += events
        assert decide(state, note) == []
    begun = [event.starts_at for event in told if isinstance(event, AlertFired)]
    assert begun == sorted(set(begun))
    ended = [event.starts_at for event in told if isinstance(event, AlertResolved)]
    assert ended == sorted(set(ended)) and set(ended) <= set(begun)
