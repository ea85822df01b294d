"""Whether a world's log is what it must be, whatever happened: nothing lost, nothing twice, nothing out of order.

What holds of every system is here; what holds of one, its scenario checks.
"""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from neural_hive.aggregates.identity import derived_id
from neural_hive.schemas.envelope import NO_HASH
from neural_hive.streams.kernel.fold import Fold
from neural_hive.streams.kernel.recovery import recover
from tests.simulation.broker import SimulatedLog
from tests.simulation.history import History, Written, history_of
from tests.simulation.state import MemoryStore
from tests.simulation.world import Seat, World


def check(world: World) -> Counter[str]:
    """How many events of each type there are. Raises AssertionError: something was lost, doubled, out of order or is
    not as the log says.
    """
    history = history_of(world)
    for seat, events in history.by_seat.items():
        _check_sequence(seat, events)
        _check_chains(events)
        _check_order(events)
        _check_state(world, seat)
        _check_timers(world, seat, events)
    _check_causes(history)
    places = Counter(letter.place for letter in history.letters)
    assert not [place for place, count in places.items() if count > 1], "two dead letters of one record"
    world.scenario.check(history)
    return Counter(written.kind for written in history.events)


def _check_sequence(seat: Seat, events: list[Written]) -> None:
    found = [written.envelope.sequence for written in events]
    assert found == list(range(1, len(found) + 1)), f"the sequence of {seat} is {found}"


def _check_chains(events: list[Written]) -> None:
    last: dict[tuple[str, str], tuple[int, bytes, int]] = {}
    for written in events:
        head = written.envelope
        key = head.aggregate_type, head.aggregate_id
        version, digest, at = last.get(key, (0, NO_HASH, 0))
        assert head.version == version + 1, f"{key}: version {version} is followed by {head.version}"
        assert head.prev_hash == digest, f"{key} version {head.version}: the chain is broken"
        assert head.occurred_at >= at, f"{key} version {head.version}: time runs backwards"
        last[key] = (head.version, written.hash, head.occurred_at)


def _check_order(events: list[Written]) -> None:
    """What one input says is heard in the input's order."""
    last: dict[str, int] = {}
    for written in events:
        head = written.envelope
        if head.source_topic:
            at = last.get(head.source_topic, -1)
            assert head.source_offset >= at, f"{head.source_topic} at {head.source_offset}: out of order"
            last[head.source_topic] = head.source_offset


def _check_causes(history: History) -> None:
    """No event twice; and what one message means to an aggregate came from one of its records, however many it has."""
    ids = Counter(written.envelope.event_id for written in history.events)
    assert not [event_id for event_id, count in ids.items() if count > 1], "an event is there twice"
    sources: dict[tuple[str, str, str], tuple[str, int, int]] = {}
    for written in history.events:
        head = written.envelope
        cause = head.aggregate_type, head.aggregate_id, head.causation_id
        source = head.source_topic, head.source_partition, head.source_offset
        assert sources.setdefault(cause, source) == source, f"answered twice: {cause}"


def _check_state(world: World, seat: Seat) -> None:
    """The owner's state is the fold of the log."""
    partition = world.owner(seat).partitions[seat]
    log = SimulatedLog(world.broker, "oracle", "oracle", seat[1], lambda step: None)
    fresh = MemoryStore({}, Path("fresh"), lambda step: None)
    fold = Fold(world.systems[seat[0]].all_aggregates, fresh)  # type: ignore[arg-type]
    recover(fold, log, partition.place.topic_ids, "state")
    assert list(partition.fold.store.rows()) == list(fresh.rows()), (
        f"the state of {seat} is not the fold of its log"
    )
    assert not list(partition._failed_timers), f"timers of {seat} failed: {list(partition._failed_timers)}"


def _check_timers(world: World, seat: Seat, events: list[Written]) -> None:
    """None fires before it is due, and what lay in the inputs before that is handled before it.

    Whatever the processes' clocks say: the broker's counts. Where that one was set back there is no such promise.
    """
    if world.broker_was_set_back:
        return
    system = world.systems[seat[0]]
    handled: dict[tuple[str, int], int] = {}
    for written in events:
        head = written.envelope
        if head.source_topic:
            handled.setdefault((head.source_topic, head.source_offset), head.sequence)
    appended = {
        (topic, offset): entry.at
        for topic in system.topics
        for offset, entry in world.broker.committed(
            (topic, seat[1]), 0, len(world.broker.logs.get((topic, seat[1]), []))
        )
    }
    answers = [(appended[at], sequence, at) for at, sequence in handled.items()]
    written_at = {written.envelope.sequence: written.at for written in events}
    for due, sequence in _fired(system.timers, events):
        assert written_at[sequence] >= due, f"a timer of {seat} fired early"
        late = [at for appended_at, handled_at, at in answers if appended_at < due and handled_at > sequence]
        assert not late, f"a timer of {seat} overtook {late[0]}"


def _fired(names: Iterable[tuple[str, str]], events: list[Written]) -> list[tuple[int, int]]:
    """When each timer that made events was due, and the sequence of its first one. Its message id says which it was;
    one whose due time no event tells is left out.
    """
    groups: dict[str, list[Written]] = {}
    times: dict[str, set[int]] = {}
    for written in events:
        head = written.envelope
        told = times.setdefault(head.aggregate_id, set())
        told.add(head.occurred_at)
        told.update(at for name, at in written.payload.items() if name.endswith("_at") and at)
        if not head.source_topic:
            groups.setdefault(head.causation_id, []).append(written)
    found = []
    for message_id, group in groups.items():
        about = {written.envelope.aggregate_id for written in group}
        due = (
            at
            for aggregate_id in about
            for at in times[aggregate_id]
            for _, name in names
            if derived_id(aggregate_id, name, str(at), str(_before(group, aggregate_id))) == message_id
        )
        found += [(at, group[0].envelope.sequence) for at in list(due)[:1]]
    return found


def _before(group: list[Written], aggregate_id: str) -> int:
    """The version that an aggregate had when what made these events began."""
    return min(w.envelope.version for w in group if w.envelope.aggregate_id == aggregate_id) - 1
