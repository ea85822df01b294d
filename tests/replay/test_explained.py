"""Stories in words: every aggregate has one, each sentence stands on events, and the same log gives the same words."""

from typing import Any

import msgspec
import pytest

from neural_hive.aggregates.freeze_exception import FREEZE_EXCEPTION
from neural_hive.aggregates.incident import Incident
from neural_hive.aggregates.ticket import Ticket, TicketAllocated, TicketReleased
from neural_hive.aggregates.workflow import Workflow
from neural_hive.replay.explained.sentence import Fact, facts
from neural_hive.replay.explained.story import story
from neural_hive.replay.history import Folder, NoBeginning, NoSuchAggregate, SeveralAggregates, happening_of
from neural_hive.replay.moment import Moment
from neural_hive.replay.whole import Standing, whole
from neural_hive.schemas.codec import decode
from tests.replay.memory_source import MemorySource, Simulated, simulated

SEEDS = (2, 4, 10)


@pytest.fixture(params=SEEDS)
def world(request: pytest.FixtureRequest) -> Simulated:
    return simulated(request.param)


def told(world: Simulated, kind: str, aggregate_id: str) -> str:
    return " ".join(s.text for s in story(world.source, world.aggregates, aggregate_id, kind))


def test_every_aggregate_has_a_story_that_stands_on_events(world: Simulated) -> None:
    places = {f"{r.topic}:{r.partition}:{r.offset}" for r in world.events}
    for (kind, aggregate_id), standing in whole(world.source, world.aggregates).items():
        sentences = story(world.source, world.aggregates, aggregate_id, kind)
        assert sentences == story(world.source, world.aggregates, aggregate_id, kind)
        assert {place for sentence in sentences for place in sentence.places} <= places
        assert sentences[0].places
        assert all(s.text.endswith(".") and "None" not in s.text and "\n" not in s.text for s in sentences)
        assert word_of(standing) in sentences[0].text, sentences[0].text


def word_of(standing: Standing) -> str:
    """How an aggregate stands, as its first sentence must say."""
    match standing.state:
        case Ticket() | Workflow():
            return str(standing.state.status)
        case Incident():
            return "open" if standing.state.is_open else "resolved"
        case state:
            return str(getattr(state, "presence", ""))


def test_a_ticket_that_was_tried_again_is_told_attempt_by_attempt() -> None:
    for seed in SEEDS:
        world = simulated(seed)
        for (kind, aggregate_id), standing in whole(world.source, world.aggregates, types=["ticket"]).items():
            text = told(world, kind, aggregate_id)
            for attempt in range(1, standing.state.attempt + 1):
                assert (
                    f"Attempt {attempt} was given to agent" in text
                    or f"Attempt {attempt} was given to be" in text
                )


def test_a_deployment_that_was_held_is_told_with_its_policies() -> None:
    held = 0
    for seed in SEEDS:
        world = simulated(seed)
        for (kind, aggregate_id), standing in whole(world.source, world.aggregates, types=["ticket"]).items():
            events = [r for r in world.events if dict(r.headers).get("event_type") == b"TicketHeld"]
            if any(aggregate_id in str(decode(r.value or b"", "event").payload) for r in events):
                held += 1
                text = told(world, kind, aggregate_id)
                assert "it was held back: deployments" in text
                assert " are frozen by " in text
                assert standing.state.held or "it was not held back any more" in text or "cancelled" in text
    assert held


def test_a_failed_workflow_names_the_tasks_that_failed_it() -> None:
    names = 0
    for seed in SEEDS:
        world = simulated(seed)
        states = whole(world.source, world.aggregates)
        for (kind, aggregate_id), standing in states.items():
            if kind != "workflow" or standing.state.status != "FAILED":
                continue
            failed: list[Any] = [
                s.state
                for (k, _), s in states.items()
                if k == "ticket"
                and s.state.created.workflow_id == aggregate_id
                and s.state.status in ("FAILED", "TIMED_OUT")
            ]
            text = told(world, kind, aggregate_id)
            assert all(f"Task {ticket.created.task.task_id} " in text for ticket in failed)
            names += len(failed)
    assert names > 2


def test_it_can_be_told_as_of_a_moment() -> None:
    world = simulated(2)
    kind, aggregate_id = next(
        key for key, s in whole(world.source, world.aggregates, types=["ticket"]).items() if s.state.attempt
    )
    at_first = story(world.source, world.aggregates, aggregate_id, kind, Moment(version=1))
    assert "is PENDING" in at_first[0].text


def test_an_unknown_id_and_an_id_of_two_are_said() -> None:
    world = simulated(1)
    with pytest.raises(NoSuchAggregate, match="no event of nobody"):
        story(world.source, world.aggregates, "nobody")
    with pytest.raises(SeveralAggregates, match="say which one with --type"):
        story(_twice(world), world.aggregates, "agent-1")


def _twice(world: Simulated) -> MemorySource:
    """A log in which a workflow is called as an agent is."""
    from neural_hive.replay.history import happening_of
    from neural_hive.schemas.codec import encode_event

    records = dict(world.source.records)
    place, found = next((p, r) for p, r in records.items() if p[0] == "orchestration.workflows" and r)
    happening = happening_of(found[0])
    assert happening is not None
    head = msgspec.structs.replace(happening.envelope, aggregate_id="agent-1")
    value = encode_event(head, happening.payload)
    records[place] = [msgspec.structs.replace(found[0], value=value), *found[1:]]
    return MemorySource(records, world.source._ends)


def test_a_story_without_its_beginning_is_not_told() -> None:
    world = simulated(1)
    kind, aggregate_id = next(
        key for key, s in whole(world.source, world.aggregates, types=["ticket"]).items() if s.version > 1
    )
    records = {
        place: [r for r in found if not _begins(r, aggregate_id)]
        for place, found in world.source.records.items()
    }
    with pytest.raises(NoBeginning, match="replay verify"):
        story(MemorySource(records, world.source._ends), world.aggregates, aggregate_id, kind)


def _begins(record: Any, aggregate_id: str) -> bool:
    from neural_hive.replay.history import happening_of

    if record.topic != "execution.tickets":
        return False
    happening = happening_of(record)
    return happening is not None and (happening.envelope.aggregate_id, happening.envelope.version) == (
        aggregate_id,
        1,
    )


def test_a_deployment_that_went_by_an_exception_names_it_and_who_allowed_it() -> None:
    told_of = 0
    for seed in range(20):
        world = simulated(seed)
        for aggregate_id in {e.event.ticket_id for e in _by_exceptions(world)}:
            text = told_with_exceptions(world, aggregate_id)
            went = [e for e in _by_exceptions(world) if e.event.ticket_id == aggregate_id]
            for fact in went:
                name = fact.event.exception_id
                if isinstance(fact.event, TicketReleased):
                    assert f"it was let go although it is frozen, by exception {name}" in text
                assert f"Exception {name} is for " in text and "asked for it at" in text
                assert "allowed it at" in text and "(“y”)" in text
                told_of += 1
    assert told_of > 3


def _by_exceptions(world: Simulated) -> list[Fact]:
    folder = Folder(world.aggregates)
    happenings = [h for r in world.events if (h := happening_of(r)) is not None]
    named = [h for h in happenings if h.payload.get("exception_id")]
    return [f for f in facts(named, folder) if isinstance(f.event, TicketReleased | TicketAllocated)]


def told_with_exceptions(world: Simulated, ticket_id: str) -> str:
    """A story in which the calculator's events are known too."""
    aggregates = [*world.aggregates, FREEZE_EXCEPTION]
    source = world.source_with(FREEZE_EXCEPTION.topic)
    return " ".join(s.text for s in story(source, aggregates, ticket_id, "ticket"))
