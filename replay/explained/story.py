"""The story of one aggregate in words, from its own events and those of what it belongs to: one text for one log."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from neural_hive.aggregates.agent import Agent
from neural_hive.aggregates.aggregate import Aggregate, Event
from neural_hive.aggregates.incident import Incident, IncidentOpened, IncidentResolved
from neural_hive.aggregates.slot import SlotRequested
from neural_hive.aggregates.ticket import Ticket, TicketCompleted, TicketCreated
from neural_hive.aggregates.workflow import (
    Workflow,
    WorkflowCancelled,
    WorkflowCompleted,
    WorkflowFailed,
    WorkflowWaiting,
)
from neural_hive.replay.explained.exceptions import concerns_exception, exceptions_of
from neural_hive.replay.explained.others import explain_agent, explain_any, explain_incident
from neural_hive.replay.explained.sentence import Fact, Sentence, facts
from neural_hive.replay.explained.ticket import explain_ticket
from neural_hive.replay.explained.workflow import TOLD_OF_TICKETS, explain_workflow
from neural_hive.replay.history import Folder, Happening, NoBeginning, happening_of, history
from neural_hive.replay.moment import NOW, Cut, Moment, cut_of
from neural_hive.replay.reader import LogSource
from neural_hive.replay.scan import records

_WORKFLOW_ENDS = (WorkflowCompleted, WorkflowFailed, WorkflowCancelled)


def story(
    source: LogSource,
    aggregates: Iterable[Aggregate[Any]],
    aggregate_id: str,
    aggregate_type: str = "",
    moment: Moment = NOW,
) -> list[Sentence]:
    """Why an aggregate ended, or stands, as it does; each sentence with the places of the events that say so.

    Raises NoSuchAggregate, SeveralAggregates, NewerEvent, NoBeginning, BadMoment; and what the source raises.
    """
    aggregates = list(aggregates)
    topics, folder = sorted({a.topic for a in aggregates}), Folder(aggregates)
    found = history(source, topics, aggregate_id, moment, aggregate_type)
    if found[0].envelope.version != 1:
        raise NoBeginning(found[0])
    states = _states(found, folder)
    until = Cut(found[-1].appended_at) if moment.version is not None else cut_of(source, topics, moment)
    own, state, kind = facts(found, folder), states[-1], found[-1].envelope.aggregate_type

    def related(workflow_id: str, wanted: Callable[[Happening], bool]) -> list[Fact]:
        held = (happening_of(r) for r in records(source, topics, until, [workflow_id]))
        chosen = [h for h in held if h is not None and wanted(h)]
        chosen.sort(key=lambda h: (h.envelope.occurred_at, h.envelope.sequence, h.place))
        return facts(chosen, folder)

    match state:
        case Ticket():
            near = {aggregate_id, *state.created.dependencies}
            with_it = related(state.created.workflow_id, lambda h: _concerns_ticket(h, state, near))
            for exception_id in exceptions_of(own):
                with_it += related(exception_id, partial(concerns_exception, exception_id))
            return list(explain_ticket(state, own, with_it))
        case Workflow():
            with_it = related(state.workflow_id, lambda h: _concerns_workflow(h, state.workflow_id))
            return list(explain_workflow(state, own, with_it))
        case Agent():
            return list(explain_agent(state, own))
        case Incident():
            return list(explain_incident(state, own))
        case _:
            return list(explain_any(kind, aggregate_id, states, own))


def _states(found: list[Happening], folder: Folder) -> list[Any]:
    states: list[Any] = []
    for happening in found:
        states.append(folder.after(states[-1] if states else None, happening))
    return states


def _concerns_ticket(happening: Happening, ticket: Ticket, near: set[str]) -> bool:
    head, payload = happening.envelope, happening.payload
    if _is(happening, TicketCreated, TicketCompleted):
        return head.aggregate_id in near
    if _is(happening, SlotRequested):
        return bool(payload.get("ticket_id") == ticket.created.ticket_id)
    return (
        _is(happening, *_WORKFLOW_ENDS, WorkflowWaiting) and head.aggregate_id == ticket.created.workflow_id
    )


def _concerns_workflow(happening: Happening, workflow_id: str) -> bool:
    told = (*TOLD_OF_TICKETS, IncidentOpened, IncidentResolved)
    return _is(happening, *told) and bool(happening.payload.get("workflow_id") == workflow_id)


def _is(happening: Happening, *types: type[Event]) -> bool:
    return happening.envelope.event_type in {kind.__name__ for kind in types}
