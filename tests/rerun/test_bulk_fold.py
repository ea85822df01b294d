"""Events that are folded at once leave the same state as events folded one by one, wherever it is looked at."""

import random

import pytest

from neural_hive.aggregates.aggregate import event_of
from neural_hive.replay.checks.chain import Event
from neural_hive.replay.checks.events import EventStream
from neural_hive.replay.report import Findings
from neural_hive.replay.rerun.recording import Recording
from neural_hive.replay.rerun.then.memory_store import MemoryStore
from neural_hive.schemas.codec import payload_of
from neural_hive.streams.kernel import bulk_fold
from neural_hive.streams.kernel.bulk_fold import BulkFold
from neural_hive.streams.kernel.fold import Fold, Route
from neural_hive.streams.kernel.state import Position, row_key
from neural_hive.streams.kernel.system import System
from neural_hive.streams.kernel.unit import cause_digest
from tests.rerun.worlds import hive_world, recording_of
from tests.simulation.world import PARTITIONS

NOWHERE = Position("", 0, {})


def fold_of(system: System) -> Fold:
    """An empty one."""
    return Fold(system.all_aggregates, MemoryStore())  # type: ignore[arg-type]


def one(fold: Fold, event: Event) -> None:
    """Folds one event as live."""
    aggregate, rest = fold.aggregates[event.lead.aggregate_type], event.rest
    payload = payload_of(event.record.value or b"", event.lead.schema.id, event.payload_at)
    key = row_key(aggregate.name, rest["aggregate_id"])
    fold.apply(
        aggregate,
        rest["aggregate_id"],
        key,
        fold.row(aggregate, key),
        event_of(aggregate, event.lead.event_type, payload),
        rest["version"],
        rest["occurred_at"],
        event.digest,
        cause_digest(rest["causation_id"]),
        Route((event.record.key or b"").decode(), rest["correlation_id"], rest["trace_id"]),
    )
    fold.keep()


def many(bulk: BulkFold, event: Event) -> None:
    """Gives one event to a fold of many."""
    aggregate, rest = bulk.fold.aggregates[event.lead.aggregate_type], event.rest
    payload = payload_of(event.record.value or b"", event.lead.schema.id, event.payload_at)
    bulk.take(
        bulk.open(aggregate, rest["aggregate_id"]),
        event_of(aggregate, event.lead.event_type, payload),
        rest["version"],
        rest["occurred_at"],
        event.digest,
        rest["causation_id"],
        event.record.key or b"",
        rest["correlation_id"],
        rest["trace_id"],
    )


@pytest.mark.parametrize("seed", range(8))
def test_the_state_is_the_same_wherever_it_is_looked_at(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk_fold, "ROWS_MAX", 5)
    world, chance = hive_world(seed), random.Random(seed)
    recording: Recording = recording_of(world)
    looked_at = timers = 0
    for system in world.systems.values():
        ranges = {topic: recording.ranges(topic) for topic in system.event_topics}
        for partition in range(PARTITIONS):
            bounds = {topic: ranges[topic][partition] for topic in ranges}
            single, bulk = fold_of(system), BulkFold(fold_of(system))
            for event in EventStream(recording, Findings()).events(partition, bounds):
                one(single, event)
                many(bulk, event)
                if chance.random() < 0.1:
                    bulk.settle()
                    single.write(NOWHERE)
                    bulk.fold.write(NOWHERE)
                    looked_at += 1
                    assert list(bulk.fold.store.rows()) == list(single.store.rows())
                    timers += sum(1 for _ in single.store.timers())
            bulk.settle()
            single.write(NOWHERE)
            bulk.fold.write(NOWHERE)
            assert list(bulk.fold.store.rows()) == list(single.store.rows())
            assert bulk.fold.next_due >= single.next_due
            single.rescan_timers()
            assert bulk.fold.next_due <= single.next_due
    assert looked_at > 5 and timers > 0
