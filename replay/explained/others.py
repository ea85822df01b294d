"""Why an agent, an incident or anything else stands as it does."""

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from neural_hive.aggregates.agent import (
    Agent,
    AgentDeregistered,
    AgentHealthChanged,
    AgentRegistered,
    AgentRemoved,
    AgentSeen,
)
from neural_hive.aggregates.incident import Incident, IncidentOpened, IncidentResolved
from neural_hive.replay.changes import changes as differences
from neural_hive.replay.changes import plain, time_text, told_briefly, value_text
from neural_hive.replay.explained.sentence import (
    SHOWN_MAX,
    Fact,
    Sentence,
    between,
    counted,
    last_of,
    listed,
    of,
    quoted,
    tell,
)


def explain_agent(agent: Agent, own: Sequence[Fact]) -> Iterator[Sentence]:
    """By its registrations, its silences, and how it left."""
    seen = time_text(agent.seen_at)
    health = f" and {agent.health}" if agent.presence.value == "REGISTERED" else ""
    last = last_of(own, AgentRegistered, AgentHealthChanged, AgentDeregistered, AgentRemoved)
    yield tell(
        f"Agent {agent.agent_id} is {agent.presence}{health}; it was last heard at {seen}.", last, own[-1]
    )
    for fact in of(own, AgentRegistered, AgentHealthChanged, AgentDeregistered, AgentRemoved):
        event = fact.event
        match event:
            case AgentRegistered():
                who = f" by {event.requested_by}" if event.requested_by else ""
                does = listed([str(kind) for kind in event.task_types])
                room = counted(event.capacity, "ticket")
                yield tell(f"At {fact.when} it was registered{who}, for {does}, {room} at once.", fact)
            case AgentHealthChanged():
                change = f"from {event.from_health} to {event.to_health}"
                yield tell(f"At {fact.when} it went {change}: {event.reason}.", fact)
            case AgentDeregistered():
                who = event.requested_by or "somebody"
                yield tell(f"At {fact.when} {who} took it away: {quoted(event.reason)}.", fact)
            case AgentRemoved():
                yield tell(f"At {fact.when} it was removed: {event.reason}.", fact)
    beats = of(own, AgentSeen)
    if beats:
        load, rate = beats[-1].event.load, beats[-1].event.success_rate
        noted = counted(len(beats), "heartbeat was", "heartbeats were")
        yield tell(f"{noted} noted; the last one told of load {load:g} and success rate {rate:g}.", beats[-1])


def explain_incident(incident: Incident, own: Sequence[Fact]) -> Iterator[Sentence]:
    """What it was opened for, each time, and what ended it."""
    last = own[-1]
    stands = "is open" if incident.is_open else "is resolved"
    name = f"Incident {incident.kind} of workflow {incident.workflow_id}"
    yield tell(f"{name} {stands} since {last.when}.", last)
    opened: Fact | None = None
    for fact in own:
        match fact.event:
            case IncidentOpened():
                opened = fact
                tickets = fact.event.ticket_ids
                about = f", about {counted(len(tickets), 'ticket')}: {listed(tickets)}" if tickets else ""
                yield tell(
                    f"It was opened at {fact.when} as {fact.event.severity}: {quoted(fact.event.summary)}{about}.",
                    fact,
                )
            case IncidentResolved():
                after = f", after {between(opened.at, fact.at)}" if opened else ""
                yield tell(f"It was resolved at {fact.when}{after}: {fact.event.reason}.", fact, opened)


def explain_any(
    kind: str, aggregate_id: str, states: Sequence[Any], own: Sequence[Fact]
) -> Iterator[Sentence]:
    """By its last events and what they changed; `states` are those after each of its events."""
    first, last = own[0], own[-1]
    name = f"{kind.capitalize()} {aggregate_id}"
    yield tell(f"{name} stands as it does since {last.when}, by {type(last.event).__name__}.", last)
    yield tell(f"It began at {first.when}, by {type(first.event).__name__}.", first)
    left_out = max(len(own) - SHOWN_MAX, 0)
    if left_out:
        yield tell(f"Of its {counted(len(own), 'event')}, these are the last {SHOWN_MAX}.")
    for fact, before, after in list(zip(own, (None, *states), states, strict=False))[left_out:]:
        changed = told_briefly(differences(plain(before), plain(after))) if before is not None else ""
        words = changed or _own_words(fact.event)
        yield tell(f"At {fact.when} {type(fact.event).__name__}{f': {words}' if words else ''}.", fact)


def _own_words(event: msgspec.Struct) -> str:
    fields = {name: getattr(event, name) for name in event.__struct_fields__}
    shown = {name: value for name, value in fields.items() if not name.endswith(("_id", "_at"))}
    return ", ".join(f"{name} {value_text(msgspec.to_builtins(value))}" for name, value in shown.items())
