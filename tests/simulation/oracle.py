"""Whether a world's log is what it must be, whatever happened: nothing lost, nothing twice, nothing out of order."""

from collections import Counter
from collections.abc import Iterator
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec

from neural_hive.schemas.catalogue import UnknownSchema
from neural_hive.schemas.codec import BadRecord, decode
from neural_hive.schemas.envelope import NO_HASH, Envelope
from neural_hive.streams.kernel.fold import Fold
from neural_hive.streams.kernel.inbox import DEAD_LETTERS
from neural_hive.streams.kernel.recovery import recover
from tests.simulation.broker import SimulatedLog
from tests.simulation.state import MemoryStore
from tests.simulation.world import PARTITIONS, World


class Written(msgspec.Struct, frozen=True):
    """A committed event."""

    at: int  # append time, µs
    offset: int
    envelope: Envelope
    payload: dict[str, Any]
    hash: bytes


def check(world: World) -> Counter[str]:
    """Raises AssertionError: something was lost, doubled, out of order or not as the log says."""
    kinds: Counter[str] = Counter()
    causes: Counter[tuple[str, str, str]] = Counter()
    letters = _dead_letters(world)
    for number in range(PARTITIONS):
        events = list(_events(world, number))
        _check_sequence(number, events)
        _check_chains(events)
        _check_order(events)
        _check_state(world, number)
        _check_timers(world, number, events)
        for written in events:
            head = written.envelope
            kinds[head.event_type] += 1
            causes[head.aggregate_type, head.aggregate_id, head.causation_id] += 1
    doubled = [cause for cause, count in causes.items() if count > 1]
    assert not doubled, f"answered twice: {doubled[:3]}"
    answered = {cause for _, _, cause in causes} | {message_id for _, message_id in letters}
    lost = world.sent.keys() - answered
    assert not lost, f"{len(lost)} of {len(world.sent)} lost: {sorted(lost)[:3]}"
    places = Counter(place for place, _ in letters)
    assert not [place for place, count in places.items() if count > 1], "two dead letters of one record"
    return kinds


def _events(world: World, number: int) -> Iterator[Written]:
    for topic in world.system.event_topics:
        place = (topic, number)
        for offset, entry in world.broker.committed(place, 0, len(world.broker.logs.get(place, []))):
            decoded = decode(entry.value or b"", "event")
            assert isinstance(decoded.head, Envelope)
            digest = sha256(entry.value or b"").digest()
            yield Written(entry.at, offset, decoded.head, decoded.payload, digest)


def _dead_letters(world: World) -> list[tuple[tuple[str, int, int], str]]:
    """Where each dead letter's record stood, and its message's id, if it has one."""
    found = []
    for number in range(PARTITIONS):
        place = (DEAD_LETTERS, number)
        for _, entry in world.broker.committed(place, 0, len(world.broker.logs.get(place, []))):
            letter = decode(entry.value or b"", "message").payload
            at = letter["source_topic"], letter["source_partition"], letter["source_offset"]
            try:
                head = decode(letter["value"], "message").head
            except (BadRecord, UnknownSchema):
                found.append((at, ""))
            else:
                found.append((at, str(getattr(head, "message_id", ""))))
    return found


def _check_sequence(number: int, events: list[Written]) -> None:
    found = sorted(written.envelope.sequence for written in events)
    assert found == list(range(1, len(found) + 1)), f"the sequence of partition {number} is {found}"


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
    """What one input says of one aggregate is heard in the input's order."""
    last: dict[tuple[str, str, str], int] = {}
    for written in events:
        head = written.envelope
        if head.source_topic:
            key = head.aggregate_type, head.aggregate_id, head.source_topic
            assert head.source_offset >= last.get(key, -1), f"{key} at {head.source_offset}: out of order"
            last[key] = head.source_offset


def _check_state(world: World, number: int) -> None:
    """The owner's state is the fold of the log."""
    partition = world.processes[number].partitions[number]
    log = SimulatedLog(world.broker, "oracle", "oracle", number, lambda step: None)
    fresh = MemoryStore({}, Path("fresh"), lambda step: None)
    fold = Fold(world.system.all_aggregates, fresh)  # type: ignore[arg-type]
    recover(fold, log, partition.place.topic_ids, "state")
    assert list(partition.fold.store.rows()) == list(fresh.rows()), (
        f"the state of partition {number} is not the fold of its log"
    )


def _check_timers(world: World, number: int, events: list[Written]) -> None:
    """What lay in the inputs before a timer was due is handled before it.

    Where the clocks disagree there is no such promise: only the processor knows when it was due.
    """
    if not world.clocks_agree:
        return
    handled: dict[tuple[str, int], int] = {}
    for written in events:
        head = written.envelope
        if head.source_topic:
            handled.setdefault((head.source_topic, head.source_offset), head.sequence)
    for written in events:
        if written.envelope.source_topic:
            continue
        due = next(
            w.payload["due_at"]
            for w in reversed(events)
            if w.envelope.aggregate_id == written.envelope.aggregate_id
            and w.envelope.event_type == "CountdownStarted"
            and w.envelope.version < written.envelope.version
        )
        for topic in world.system.topics:
            late = partial(_late, handled, topic, written.envelope.sequence)
            place = (topic, number)
            waiting = [
                offset
                for offset, entry in world.broker.committed(place, 0, len(world.broker.logs.get(place, [])))
                if entry.at < due and late(offset)
            ]
            assert not waiting, f"a timer overtook {topic}:{number}:{waiting[0]}"


def _late(handled: dict[tuple[str, int], int], topic: str, sequence: int, offset: int) -> bool:
    """Whether an input's first event came after a sequence number."""
    return handled.get((topic, offset), 0) > sequence
