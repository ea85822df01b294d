"""A message may change the aggregates of others in its partition: their events carry their own routing id."""

from pathlib import Path

from neural_hive.schemas.codec import EventEncoder, decode
from neural_hive.streams.kernel.fold import Fold, Route
from neural_hive.streams.kernel.state import Store
from neural_hive.streams.kernel.unit import Cause, Work
from tests.kernel.test_queues import GUEST, Moved
from tests.toy.counter import COUNTER, Raise

OWN = Route("own", "a conversation", "0" * 32)


def _work(fold: Fold) -> Work:
    encoders = {e.__name__: EventEncoder(e.__name__, "counter", "logic", "toy") for e in COUNTER.events}
    return Work(fold, 0, encoders, {}, {}, "toy", 0)


def test_events_about_another_ones_aggregates_carry_its_routing_id(tmp_path: Path) -> None:
    work = _work(Fold((COUNTER,), Store(tmp_path)))
    work.begin(Cause("m", b"m" * 16, OWN, 7, "in", 0, 0))
    for routing_id in ("own", "other", "other", "own"):
        work.turn_to(routing_id)
        work.execute(COUNTER, routing_id, Raise(2))
    assert [output.key for output in work.outputs] == [b"own", b"other", b"other", b"own"]
    heads = [decode(output.value, "event").head for output in work.outputs]
    correlated = [head.correlation_id for head in heads]
    assert correlated == ["a conversation", "other", "other", "a conversation"]
    assert {(head.causation_id, head.trace_id) for head in heads} == {("m", OWN.trace_id)}
    work.turn_to("other")
    work.begin(Cause("n", b"n" * 16, OWN, 8, "in", 0, 1))
    work.execute(COUNTER, "own", Raise(2))
    assert work.outputs[-1].key == b"own"


def test_a_queue_is_read_from_a_place_on(tmp_path: Path) -> None:
    fold = Fold((GUEST,), Store(tmp_path))
    for name, place in (("a", 1), ("b", 3), ("c", 3), ("d", 7)):
        fold.apply(GUEST, name, b"a" + name.encode(), None, Moved("bar", place), 1, 1, b"", b"0" * 16, OWN)
    assert fold.first("bar", 9) == ["a", "b", "c", "d"]
    assert fold.first("bar", 1, "0002") == ["b"]
    assert fold.first("bar", 9, "0003") == ["b", "c", "d"]
    assert fold.first("bar", 9, "0008") == []
