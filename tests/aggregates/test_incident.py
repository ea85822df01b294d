"""Incidents, and who is next when agents are few."""

from typing import Any

import msgspec
from hypothesis import given as for_all
from hypothesis import strategies as st

from neural_hive.aggregates.aggregate import event_of
from neural_hive.aggregates.incident import (
    INCIDENT,
    IncidentCommand,
    IncidentOpened,
    IncidentResolved,
    Kind,
    OpenIncident,
    ResolveIncident,
    Severity,
    incident_id_of,
)
from tests.aggregates.making import NOW
from tests.grammar import given

OPEN = OpenIncident("d-1", Kind.NO_AGENT, Severity.HIGH, "nobody", tuple(map(str, range(30))), NOW)
RESOLVE = ResolveIncident("somebody came", NOW + 5)
ID = incident_id_of("d-1", Kind.NO_AGENT)


def test_an_incident_is_opened_and_resolved_once_and_may_come_back() -> None:
    opened = IncidentOpened(ID, "d-1", Kind.NO_AGENT, Severity.HIGH, "nobody", OPEN.ticket_ids[:20], NOW)
    given(INCIDENT).when(OPEN).then(opened)
    given(INCIDENT, opened).when(OPEN).then_nothing()
    resolved = IncidentResolved(ID, "d-1", "somebody came", NOW + 5)
    given(INCIDENT, opened).when(RESOLVE).then(resolved)
    given(INCIDENT, opened, resolved).when(RESOLVE).then_nothing()
    given(INCIDENT, opened, resolved).when(OPEN).then(opened)
    given(INCIDENT).when(RESOLVE).then_nothing()


def test_each_kind_has_an_incident_of_its_own() -> None:
    assert len({incident_id_of(workflow, kind) for workflow in ("d-1", "d-2") for kind in Kind}) == 2 * len(
        Kind
    )


def test_each_ticket_has_an_incident_of_its_own_if_it_is_about_one() -> None:
    ids = {incident_id_of("d-1", Kind.NOT_UNDONE, ticket_id) for ticket_id in ("", "t-1", "t-2")}
    assert len(ids) == 3
    about = msgspec.structs.replace(OPEN, kind=Kind.NOT_UNDONE, about="t-1")
    (opened,) = given(INCIDENT).when(about).events
    assert opened.incident_id == incident_id_of("d-1", Kind.NOT_UNDONE, "t-1")


@for_all(st.lists(st.sampled_from([OPEN, RESOLVE])))
def test_any_commands_leave_a_history_that_folds(order: list[IncidentCommand]) -> None:
    state: Any = None
    folded: Any = None
    for command in order:
        for event in INCIDENT.decide(state, command):
            state = INCIDENT.evolve(state, event)
            stored = event_of(INCIDENT, type(event).__name__, msgspec.to_builtins(event))
            folded = INCIDENT.evolve(folded, stored)
        assert INCIDENT.decide(state, command) == []
    assert folded == state
