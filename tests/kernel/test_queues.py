"""Aggregates stand in queues by their state: the fold agrees with a plain sort after any history, undo and restart."""

import tempfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from neural_hive.aggregates.aggregate import Aggregate, Event
from neural_hive.schemas.codec import EventEncoder, decode
from neural_hive.schemas.envelope import NO_HASH
from neural_hive.streams.kernel.fold import Fold, Route
from neural_hive.streams.kernel.partition import Partition, Place
from neural_hive.streams.kernel.state import Position, Store, row_key
from neural_hive.streams.kernel.system import Committed, Measured, Observed, System
from neural_hive.streams.kernel.unit import Cause, Work
from tests.toy.counter import COUNTER, Raise

POSITION = Position("v", 0, {})
ROUTE = Route("r", "c", "t")
COUNT = 5


class Moved(Event, frozen=True):
    """A guest stands in a queue now; in none if it is empty."""

    queue: str
    place: int


def _queues(guest: Moved) -> Mapping[str, str]:
    return {guest.queue: f"{guest.place:04d}"} if guest.queue else {}


GUEST = Aggregate(
    "guest",
    "t",
    Moved,
    (Moved,),
    lambda state, command: [command],
    lambda state, event: event,
    queues=_queues,
)

moves = st.tuples(
    st.just("move"),
    st.sampled_from([f"guest-{n}" for n in range(8)]),
    st.builds(Moved, st.sampled_from(["", "bar", "bar/2", "door"]), st.integers(0, 3)),
)
steps = st.lists(
    st.one_of(moves, moves, moves, st.sampled_from([("keep",), ("undo",), ("write",), ("open",)]))
)


class Bar:
    """The fold, and beside it what its queues must be."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.standing: dict[str, Moved] = {}
        self.kept: dict[str, Moved] = {}
        self.written: dict[str, Moved] = {}
        self.fold = Fold((GUEST,), Store(folder))

    def step(self, step: tuple[Any, ...]) -> None:
        match step:
            case ("move", name, moved):
                key = row_key("guest", name)
                row = self.fold.row(GUEST, key)
                self.fold.apply(GUEST, name, key, row, moved, 1, 1, NO_HASH, b"c" * 16, ROUTE)
                self.standing[name] = moved
            case ("keep",):
                self.fold.keep()
                self.kept = dict(self.standing)
            case ("undo",):
                self.fold.undo()
                self.standing = dict(self.kept)
            case ("write",):
                self.fold.write(POSITION)
                self.kept = self.written = dict(self.standing)
            case _:
                self.fold.store.close()
                self.fold = Fold((GUEST,), Store(self.folder))
                self.standing, self.kept = dict(self.written), dict(self.written)

    def check(self) -> None:
        for queue in ("bar", "bar/2", "door"):
            here = ((moved.place, name) for name, moved in self.standing.items() if moved.queue == queue)
            assert self.fold.first(queue, COUNT) == [name for _, name in sorted(here)][:COUNT]


@settings(max_examples=25, deadline=None)
@given(steps, st.booleans())
def test_the_first_of_a_queue_are_the_first_by_place(steps: list[tuple[Any, ...]], ask_always: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        bar = Bar(Path(folder))
        for step in steps:
            bar.step(step)
            if ask_always:
                bar.check()
        bar.check()
        bar.fold.store.close()


def _work(fold: Fold, observing: bool) -> Work:
    encoders = {e.__name__: EventEncoder(e.__name__, "counter", "logic", "toy") for e in COUNTER.events}
    return Work(fold, 0, encoders, {}, {}, "toy", 0, observing)


def _cause(message_id: str) -> Cause:
    return Cause(message_id, message_id.encode().ljust(16), ROUTE, 7, "in", 0, 0)


def test_observers_hear_of_what_stands_and_of_nothing_that_was_refused(tmp_path: Path) -> None:
    fold = Fold((COUNTER,), Store(tmp_path))
    work = _work(fold, True)
    for message_id in ("kept", "refused"):
        work.begin(_cause(message_id))
        work.execute(COUNTER, "one", Raise(2))
        work.measure("raise", message_id, 0.5)
    work.refuse()
    [raised] = work.observed
    assert isinstance(raised, Observed)
    assert (raised.aggregate_id, raised.before, raised.after.total, raised.at) == ("one", None, 2, 7)
    assert work.measured == [Measured("raise", "kept", 0.5)]
    silent = _work(fold, False)
    silent.begin(_cause("more"))
    silent.execute(COUNTER, "one", Raise(2))
    silent.measure("raise", "more", 0.5)
    assert (silent.observed, silent.measured) == ([], [])
    fold.store.close()


def test_what_an_observer_raises_changes_nothing(tmp_path: Path) -> None:
    heard: list[Committed] = []
    system = System("toy", (COUNTER,), (), observers=[lambda committed: 1 / 0, heard.append])
    place = Place({}, tmp_path, {}, {}, "logic", "state", 1.0, partial(decode, kind="message"))
    partition = Partition(system, 3, place, {})
    told = Committed(3, (), (Measured("m", "s", 1.0),))
    partition._tell(told)
    assert heard == [told]
