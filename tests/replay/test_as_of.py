"""The state at a moment, of one aggregate and of the whole system, is what the live systems held; also between two."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neural_hive.connectors.kafka_log import Record
from neural_hive.replay.changes import Change, applied, plain
from neural_hive.replay.difference import Difference, difference, difference_of_all
from neural_hive.replay.history import NoSuchAggregate, gaps, happening_of, history, state, steps
from neural_hive.replay.moment import BadMoment, Moment, Place
from neural_hive.replay.whole import Key, Standing, whole
from tests.replay.memory_source import Simulated, simulated

SEEDS = (1, 2, 5, 9)
a_seed = st.sampled_from(SEEDS)


@pytest.fixture(params=SEEDS)
def world(request: pytest.FixtureRequest) -> Simulated:
    return simulated(request.param)


def expected(world: Simulated, is_before: Callable[[Record], bool]) -> dict[Key, Any]:
    """The states that the first records of each partition make, folded plainly."""
    by_name = {a.name: a for a in world.aggregates}
    states: dict[Key, Any] = {}
    for place in sorted(p for p in world.source.records if p[0] in world.topics.events):
        for record in world.source.records[place]:
            if not is_before(record):
                break
            happening = happening_of(record)
            assert happening is not None
            aggregate = by_name[happening.envelope.aggregate_type]
            types = {event.__name__: event for event in aggregate.events}
            event = msgspec.convert(happening.payload, types[happening.envelope.event_type])
            key = aggregate.name, happening.envelope.aggregate_id
            states[key] = aggregate.evolve(states.get(key), event)
    return states


def states_of(found: dict[Key, Standing]) -> dict[Key, Any]:
    return {key: standing.state for key, standing in found.items()}


def test_the_whole_system_now_is_what_its_processors_hold(world: Simulated) -> None:
    found = whole(world.source, world.aggregates)
    assert len(found) == world.count_rows() > 20
    by_name = {a.name: a for a in world.aggregates}
    for (kind, aggregate_id), standing in found.items():
        row = world.row(by_name[kind], aggregate_id)
        assert (row.version, row.occurred_at, row.hash.hex()) == (
            standing.version,
            standing.occurred_at,
            standing.hash,
        )
        assert row.state == standing.state


@settings(max_examples=40, deadline=None)
@given(a_seed, st.data())
def test_the_whole_system_at_a_time_is_the_fold_of_all_before_the_first_record_after_it(
    seed: int, data: st.DataObject
) -> None:
    world = simulated(seed)
    at = data.draw(st.sampled_from(world.events)).timestamp_ms * 1_000 + data.draw(
        st.sampled_from((-1, 0, 500))
    )
    assert states_of(whole(world.source, world.aggregates, Moment(at))) == expected(
        world, lambda record: record.timestamp_ms * 1_000 <= at
    )


@settings(max_examples=40, deadline=None)
@given(a_seed, st.data())
def test_the_whole_system_at_a_record_has_its_writers_partition_up_to_it(
    seed: int, data: st.DataObject
) -> None:
    world = simulated(seed)
    chosen = data.draw(st.sampled_from(world.events))
    place = Place(chosen.topic, chosen.partition, chosen.offset)
    last = happening_of(chosen)
    assert last is not None

    def is_before(record: Record) -> bool:
        happening = happening_of(record)
        assert happening is not None
        head, own = happening.envelope, last.envelope
        if (head.producer, record.partition) == (own.producer, chosen.partition):
            return head.sequence <= own.sequence
        return record.timestamp_ms <= chosen.timestamp_ms

    found = whole(world.source, world.aggregates, Moment(place=place))
    assert states_of(found) == expected(world, is_before)
    assert found[last.envelope.aggregate_type, last.envelope.aggregate_id].hash == last.hash


@settings(max_examples=30, deadline=None)
@given(a_seed, st.data())
def test_one_aggregate_at_a_version_is_the_fold_of_its_first_events(seed: int, data: st.DataObject) -> None:
    world = simulated(seed)
    kind, aggregate_id = data.draw(st.sampled_from(list(whole(world.source, world.aggregates))))
    all_of_it = history(world.source, world.topics.events, aggregate_id, aggregate_type=kind)
    version = data.draw(st.integers(1, len(all_of_it)))
    found = history(world.source, world.topics.events, aggregate_id, Moment(version=version), kind)
    assert found == all_of_it[:version]
    last = list(steps(all_of_it, world.aggregates))[version - 1]
    assert state(found, world.aggregates) == last.after
    assert applied(plain(last.before), last.changes) == plain(last.after)


@settings(max_examples=20, deadline=None)
@given(a_seed, st.data())
def test_one_aggregate_and_the_whole_system_agree_at_any_moment(seed: int, data: st.DataObject) -> None:
    world = simulated(seed)
    moment = data.draw(moments(world))
    found = whole(world.source, world.aggregates, moment)
    kind, aggregate_id = data.draw(st.sampled_from(list(whole(world.source, world.aggregates))))
    try:
        alone = history(world.source, world.topics.events, aggregate_id, moment, kind)
    except NoSuchAggregate:
        assert (kind, aggregate_id) not in found
        return
    assert found[kind, aggregate_id].version == alone[-1].envelope.version
    assert found[kind, aggregate_id].state == state(alone, world.aggregates)


@settings(max_examples=30, deadline=None)
@given(a_seed, st.data())
def test_what_changed_between_two_moments_makes_the_second_of_the_first(
    seed: int, data: st.DataObject
) -> None:
    world = simulated(seed)
    since, until = data.draw(moments(world)), data.draw(st.one_of(st.just(Moment()), moments(world)))
    before = whole(world.source, world.aggregates, since)
    after = whole(world.source, world.aggregates, until)
    try:
        found = difference_of_all(world.source, world.aggregates, since, until)
    except BadMoment:
        grown = [
            key for key, standing in after.items() if key in before and standing.version > before[key].version
        ]
        gone = [k for k, s in before.items() if k not in after or after[k].version < s.version]
        assert gone or not grown
        return
    changed = {(one.aggregate_type, one.aggregate_id): one for one in found}
    assert changed.keys() == {
        key for key in after if key not in before or before[key].version < after[key].version
    }
    for key, one in changed.items():
        was = plain(before[key].state) if key in before else {}
        assert applied(was, _changes(one)) == plain(after[key].state)
        assert [doer.version for doer in one.events] == list(
            range(one.version_before + 1, one.version_after + 1)
        )
        assert all(change.by for change in one.changes)
    if found:
        one = data.draw(st.sampled_from(found))
        alone = difference(world.source, world.aggregates, one.aggregate_id, since, until, one.aggregate_type)
        assert alone == one


def _changes(one: Difference) -> list[Change]:
    return [Change(change.path, change.before, change.after) for change in one.changes]


def moments(world: Simulated) -> st.SearchStrategy[Moment]:
    """Times and records of a world."""
    some = st.sampled_from(world.events)
    return st.one_of(
        some.map(lambda record: Moment(record.timestamp_ms * 1_000)),
        some.map(lambda record: Moment(place=Place(record.topic, record.partition, record.offset))),
    )


def test_some_types_alone_are_the_same(world: Simulated) -> None:
    everything = whole(world.source, world.aggregates)
    some = whole(world.source, world.aggregates, types=["ticket", "slot"])
    assert some == {key: standing for key, standing in everything.items() if key[0] in ("ticket", "slot")}


def test_moments_that_are_not_in_the_log_are_named(world: Simulated) -> None:
    def at(text: str) -> None:
        topic, partition, offset = text.split(":")
        whole(world.source, world.aggregates, Moment(place=Place(topic, int(partition), int(offset))))

    with pytest.raises(BadMoment, match="events stand in execution"):
        at("plans.consensus:0:0")
    with pytest.raises(BadMoment, match="has partitions 0 to 1"):
        at("execution.tickets:7:0")
    with pytest.raises(BadMoment, match="holds offsets 0 to"):
        at("execution.tickets:0:99999")
    with pytest.raises(BadMoment, match="a version of one aggregate"):
        whole(world.source, world.aggregates, Moment(version=3))


def test_a_marker_is_no_record(world: Simulated) -> None:
    ranges = world.source.ranges("execution.tickets")
    there = {(r.partition, r.offset) for r in world.events if r.topic == "execution.tickets"}
    partition, offset = next(
        (p, o) for p, (_, end) in ranges.items() for o in range(end) if (p, o) not in there
    )
    with pytest.raises(BadMoment, match="marker of a transaction"):
        whole(world.source, world.aggregates, Moment(place=Place("execution.tickets", partition, offset)))


def test_a_later_moment_is_not_the_first(world: Simulated) -> None:
    first, *_, last = [r for r in world.events if r.topic == "execution.tickets" and r.partition == 0]
    with pytest.raises(BadMoment, match="not before"):
        difference_of_all(
            world.source,
            world.aggregates,
            Moment(place=Place(last.topic, 0, last.offset)),
            Moment(place=Place(first.topic, 0, first.offset)),
        )


def test_missing_versions_are_told(world: Simulated) -> None:
    kind, aggregate_id = max(
        whole(world.source, world.aggregates).items(), key=lambda found: found[1].version
    )[0]
    found = history(world.source, world.topics.events, aggregate_id, aggregate_type=kind)
    assert gaps(found) == []
    assert gaps([*found[2:4], *found[5:]]) == [(1, 2), (5, 5)]
