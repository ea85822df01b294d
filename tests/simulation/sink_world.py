"""One run of the real sink over a simulated log and ClickHouse: projectors are killed, replaced and left unanswered."""

import contextlib
import json
import random
from collections import Counter
from typing import Any, Final

from neural_hive.connectors.kafka_log import Record
from neural_hive.projections.archive import EVENTS
from neural_hive.projections.container import Container
from neural_hive.projections.groups import Raw
from neural_hive.projections.positions import Position, Positions, Standing, TakenOver
from neural_hive.projections.projection import Column, Projection
from neural_hive.projections.ranges import Batch, Place
from neural_hive.projections.sink import Sink
from neural_hive.projections.source import part_of
from neural_hive.projections.store import StoreUnavailable
from neural_hive.schemas.catalogue import current
from tests.simulation.tables import Connection, Tables
from tests.simulation.world import Crash

PLACES: Final[tuple[Place, ...]] = (("one", 0), ("one", 1), ("two", 0))
EVENT_TYPE: Final = "TicketReady"
READ_MODELS: Final = tuple(
    Projection(name, EVENTS, (EVENT_TYPE,), (Column("id"),), ()) for name in ("first_model", "second_model")
)
FIRST_FAULT_MAX: Final = 60
SCHEMA_ID: Final = current(EVENT_TYPE).id


class Projector:
    """What one process knows: its sink, and how far it has read."""

    def __init__(self, world: "SinkWorld") -> None:
        positions = Positions(Connection(world.tables, world.reached))
        positions._owner = f"{world.chance.getrandbits(48):012x}"  # or a seed would not give the same again
        positions._rows_max = world.chance.choice((8, 30, 100_000))  # so that epochs are renewed
        standing = positions.claim()
        found = {place: Position(*place, "id", 0, 0) for place in PLACES} | standing.positions
        sink = world.sink_of(Connection(world.tables, world.reached), positions, found, READ_MODELS)
        self.nexts = {place: position.next for place, position in found.items()}
        self.sink = sink
        self._world = world
        self._waiting: Batch | None = None
        self._tried = False
        self._begin(standing)

    def _begin(self, standing: Standing) -> None:
        if standing.pending and self._world.finishes_pending:
            ranges = {r.place: (r.first, r.last + 1) for r in standing.pending}
            self._waiting, self._tried = self._world.batch(ranges), True
            self.step()

    def step(self) -> None:
        """Writes the batch that it has, or the next one. Raises TakenOver."""
        if self._waiting is None:
            self._waiting, self._tried = self._world.next_batch(self.nexts), False
        batch, again = self._waiting, self._tried
        self._tried = True
        try:
            self.sink.write(batch, again)
        except StoreUnavailable:
            return  # tried again at the next step, as the projector does
        self._waiting = None
        self.nexts |= batch.nexts


class SinkWorld:
    """See above. `sink_of`, `finishes_pending`: a test breaks the projector on purpose."""

    def __init__(self, seed: int, sink_of: type[Sink] = Sink, finishes_pending: bool = True) -> None:
        self.chance = random.Random(seed)
        self.tables = Tables()
        self.sink_of, self.finishes_pending = sink_of, finishes_pending
        self._log: dict[Place, list[bool]] = {place: [] for place in PLACES}  # False: a marker, or aborted
        self._armed: tuple[int, str] | None = None
        self._projectors: list[Projector] = []

    def run(self, steps: int) -> None:
        """Lets things happen, then one projector follows to the end."""
        acts = (self._append, self._step, self._arm, self._start, self._kill)
        for act in self.chance.choices(acts, (20, 60, 8, 3, 2), k=steps):
            act()
        self._armed = None
        for projector in list(self._projectors):  # zombies find out; one of them may be the owner
            self._guarded(projector)
        last = Projector(self)
        for _ in range(sum(map(len, self._log.values())) + 2):
            if last.nexts == self._ends():
                break
            last.step()
        self._check(last)

    def _append(self) -> None:
        for _ in range(self.chance.randint(1, 12)):
            self._log[self.chance.choice(PLACES)].append(self.chance.random() < 0.9)

    def _arm(self) -> None:
        faults = ("crash", "crash", "unanswered", "unanswered", "replaced")
        self._armed = (self.chance.randrange(FIRST_FAULT_MAX), self.chance.choice(faults))

    def _kill(self) -> None:
        if self._projectors:
            self._projectors.remove(self.chance.choice(self._projectors))

    def _start(self) -> None:
        """Another projector takes over; the one before does not know yet."""
        with contextlib.suppress(Crash, TakenOver, StoreUnavailable):
            self._projectors.append(Projector(self))

    def _step(self) -> None:
        if not self._projectors:
            self._start()
        else:
            self._guarded(self.chance.choice(self._projectors))

    def _guarded(self, projector: Projector) -> None:
        try:
            projector.step()
        except (Crash, TakenOver):
            if projector in self._projectors:
                self._projectors.remove(projector)

    def reached(self, step: str) -> None:
        """Called at every statement: here it goes wrong."""
        if self._armed is None:
            return
        left, fault = self._armed
        self._armed = (left - 1, fault) if left else None
        if left:
            return
        match fault:
            case "unanswered":
                raise StoreUnavailable(f"no answer: {step}")
            case "replaced":
                self._start()
            case _:
                raise Crash(step)

    def next_batch(self, nexts: dict[Place, int]) -> Batch:
        """Some of what follows; with other bounds every time."""
        chosen = self.chance.sample(PLACES, self.chance.randint(1, len(PLACES)))
        ends = {p: min(nexts[p] + self.chance.randint(1, 9), len(self._log[p])) for p in chosen}
        return self.batch({place: (nexts[place], end) for place, end in ends.items() if end > nexts[place]})

    def batch(self, ranges: dict[Place, tuple[int, int]]) -> Batch:
        """The records of ranges, wrapped as a list of their places."""
        parts = []
        for place, (first, end) in ranges.items():
            offsets = [offset for offset in range(first, end) if self._log[place][offset]]
            rows = tuple(Raw(Record(*place, offset, 0, None, b"", ()), SCHEMA_ID) for offset in offsets)
            if rows:
                parts.append(part_of(place, EVENTS, rows))
        places = [(*part.range.place, row.record.offset) for part in parts for row in part.rows]
        wrapped = {EVENTS.table: Container((json.dumps(places).encode(),), (), b"guard")}
        return Batch(tuple(parts), {place: end for place, (_, end) in ranges.items()}, wrapped)

    def _ends(self) -> dict[Place, int]:
        return {place: len(log) for place, log in self._log.items()}

    def _check(self, last: Projector) -> None:
        assert last.nexts == self._ends(), "not followed to the end"
        expected = Counter(
            (*place, offset) for place, log in self._log.items() for offset, kept in enumerate(log) if kept
        )
        for table in (EVENTS.table, *(model.table for model in READ_MODELS)):
            found = self.tables.rows.get(table, Counter())
            assert not (lost := expected - found), f"{table}: {len(lost)} records lost, e.g. {min(lost)}"
            assert not (more := found - expected), f"{table}: {len(more)} records doubled, e.g. {min(more)}"


class PositionFirst(Sink):
    """Moves the position before the tables have the rows."""

    def write(self, batch: Batch, again: bool = False) -> None:
        """The order is wrong."""
        self.positions.done([self._moved(batch, place) for place in batch.nexts])
        super().write(batch, again)


class _NoTokens(Connection):
    def _add(self, table: str, rows: list[Any], token: str) -> None:
        self._tables.tokens.pop(table, None)
        super()._add(table, rows, token)


class NeverLooks(Sink):
    """Inserts again without looking whether an earlier attempt has done so, into a server that forgets tokens."""

    def __init__(self, store: Any, *more: Any) -> None:
        super().__init__(_NoTokens(store._tables, store._reached), *more)

    def write(self, batch: Batch, again: bool = False) -> None:
        """As if it were the first time."""
        super().write(batch, again=False)


class NoClaim(Sink):
    """Writes on after it was taken over."""

    def __init__(self, store: Any, positions: Positions, *more: Any) -> None:
        super().__init__(store, _Unfenced(positions), *more)  # type: ignore[arg-type]


class _Unfenced:
    def __init__(self, positions: Positions) -> None:
        self._positions = positions

    def __getattr__(self, name: str) -> Any:
        return getattr(self._positions, name)

    @property
    def fence(self) -> str:
        """A condition that always holds."""
        epoch, owner = self._positions._store._tables.held()  # type: ignore[attr-defined]
        return f"max(tuple(epoch, owner)) FROM projector_claims) != tuple({epoch}::UInt64, '{owner}')"

    def pend(self, ranges: Any, again: bool = False) -> None:
        """Does not look whether the claim holds."""
        try:
            self._positions.pend(ranges, again)
        except TakenOver:
            return


SINK_MUTANTS: Final[dict[str, dict[str, Any]]] = {
    "position before the rows": {"sink_of": PositionFirst},
    "no look before a repeat": {"sink_of": NeverLooks},
    "no claim": {"sink_of": NoClaim},
    "what was pending is cut anew": {"finishes_pending": False},
}
