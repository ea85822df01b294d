"""How far the archive and the read models have come, kept beside them in ClickHouse.

A projector first claims an epoch. Of several claims the highest (epoch, owner) holds, and every write asks for it;
so a projector that was taken over writes nothing more. For each batch it writes *pending* with the exact ranges,
then the tables, then *done* with the new positions. A pending batch without its done is done again with the same
ranges, table by table.

Only the last rows count. So a projector that has written many claims a new epoch for itself, as a successor would,
restates what counts in it, and the epochs before the last one go. Whoever reads meanwhile finds one or the other.
"""

import uuid
from collections.abc import Iterable
from typing import Any, Final

import msgspec

from neural_hive.projections.archive import TABLE_SETTINGS
from neural_hive.projections.avro_types import quoted
from neural_hive.projections.ranges import Place, Range
from neural_hive.projections.store import Rows, Store

TAKEN_OVER: Final = "another projector has taken over"

_CLAIMS_DDL: Final = (
    "CREATE TABLE IF NOT EXISTS projector_claims (epoch UInt64, owner String, "
    "claimed_at DateTime64(3, 'UTC') DEFAULT now64(3)) ENGINE = MergeTree ORDER BY (epoch, owner) "
    f"SETTINGS {TABLE_SETTINGS}"
)
_POSITIONS_DDL: Final = (
    "CREATE TABLE IF NOT EXISTS positions (epoch UInt64, owner String, step UInt64, "
    "state Enum8('pending' = 1, 'done' = 2), topic LowCardinality(String), partition UInt32, topic_id String, "
    "first UInt64, last UInt64, records UInt64, next UInt64, archived UInt64, "
    "written_at DateTime64(3, 'UTC') DEFAULT now64(3)) "
    "ENGINE = MergeTree PARTITION BY epoch ORDER BY (owner, topic, partition, step) "
    f"SETTINGS {TABLE_SETTINGS}"
)
_COLUMNS: Final = (
    "epoch, owner, step, state, topic, partition, topic_id, first, last, records, next, archived"
)
_EPOCHS_KEPT: Final = 2
ROWS_MAX = 100_000  # of one epoch
CLAIMS_MAX = 1_000
_CLOCK_STEP_S: Final = 1  # both clocks count whole seconds


class TakenOver(RuntimeError):
    """Another projector follows the log into this database; this one must end."""


class Position(msgspec.Struct, frozen=True):
    """How far one partition is archived."""

    topic: str
    partition: int
    topic_id: str  # Kafka's id of the topic: a topic made anew has another one
    next: int  # offset that is read next
    archived: int  # rows that its archive table holds

    @property
    def place(self) -> Place:
        return self.topic, self.partition


class Standing(msgspec.Struct, frozen=True):
    """What a projector finds when it starts."""

    positions: dict[Place, Position]
    pending: tuple[Range, ...]  # the batch that may be in some tables and not in others


class Positions:
    """The positions under one claim. Raises TakenOver wherever the claim no longer holds."""

    def __init__(self, store: Store) -> None:
        self._store, self._rows_max = store, ROWS_MAX
        self._epoch, self._owner, self._step = 0, uuid.uuid4().hex[:12], 0
        self._rows = 0  # written under this epoch
        self._is_renewing = False  # a renewal has begun, and may have done everything or nothing
        self._server_started_at: int | None = None
        self.server_restarted = False  # since the claim; who looks after it sets it back

    @property
    def fence(self) -> str:
        """A condition for INSERT … SELECT that throws when the claim no longer holds."""
        return (
            "throwIf((SELECT max(tuple(epoch, owner)) FROM projector_claims) != "
            f"tuple({self._epoch}::UInt64, {quoted(self._owner)}), {quoted(TAKEN_OVER)}) = 0"
        )

    def claim(self) -> Standing:
        """Takes over from whoever wrote before, and tells what they left."""
        self._store.command(_CLAIMS_DDL)
        self._store.command(_POSITIONS_DDL)
        while True:
            # Claims may be lost, as all on a disk may: what was written under them must stay below this one.
            written = [int(epoch) for epoch, _ in _newest(self._store)]
            self._claim_after(max([self._highest()[0], *written]))
            if self._holds():
                break
        standing = read_standing(self._store)
        self._copy(standing)
        return standing

    def _claim_after(self, epoch: int) -> None:
        self._epoch = epoch + 1
        self._store.command(
            f"INSERT INTO projector_claims (epoch, owner) VALUES ({self._epoch}, {quoted(self._owner)})"
        )

    def restate(self, standing: Standing) -> None:
        """Goes on under a new epoch from what the tables have, where that is not what the positions say."""
        self._claim_after(self._epoch)
        self.check()
        self._copy(standing)

    def _renew(self) -> None:
        """Goes on under a new epoch, so that the rows of those before may go. May be tried again after any error."""
        self._is_renewing = True
        epoch, owner = self._highest()
        if owner != self._owner:
            raise self._taken_over()
        self._claim_after(epoch)
        self.check()
        self._copy(read_standing(self._store))
        self._is_renewing = False

    def attempt(self) -> str:
        """A text that no other claim has, for an insert that must not be taken for an earlier one."""
        return f"{self._epoch}-{self._owner}-{uuid.uuid4().hex[:8]}"

    def check(self) -> None:
        """Raises TakenOver: the claim no longer holds."""
        if not self._holds():
            raise self._taken_over()

    def _taken_over(self) -> TakenOver:
        return TakenOver(f"{TAKEN_OVER}: this one (epoch {self._epoch}) has ended and wrote nothing more")

    def pend(self, ranges: Iterable[Range], again: bool = False) -> None:
        """Says what is about to be written. `again` says so once more for the same batch."""
        self._make_room()
        self._step += not again
        self._insert(self._pending_row(r) for r in ranges)
        self.check()

    def done(self, positions: Iterable[Position], idle: bool = False) -> None:
        """Moves the positions; with this the batch is in every table. `idle`: there was none, only markers."""
        if idle:
            self._make_room()
        self._step += idle
        self._insert(self._done_row(p) for p in positions)

    def _make_room(self) -> None:
        if self._is_renewing or self._rows >= self._rows_max:
            self._renew()

    def _holds(self) -> bool:
        return self._highest() == (self._epoch, self._owner)

    def _highest(self) -> tuple[int, str]:
        """The claim that holds."""
        found = self._store.rows(
            "SELECT epoch, owner, toUnixTimestamp(now()) - uptime() FROM projector_claims "
            "ORDER BY epoch DESC, owner DESC LIMIT 1"
        )
        if not found:
            return 0, ""
        self._note_start(int(found[0][2]))
        return int(found[0][0]), str(found[0][1])

    def _note_start(self, started_at: int) -> None:
        if self._server_started_at is not None and abs(started_at - self._server_started_at) > _CLOCK_STEP_S:
            self.server_restarted = True
        self._server_started_at = started_at

    def _copy(self, standing: Standing) -> None:
        """Restates what was found under the own claim, in one insert; then older epochs may go."""
        self._step = self._rows = 0
        done = [self._done_row(p) for p in standing.positions.values()]
        self._step = 1
        self._insert([*done, *(self._pending_row(r) for r in standing.pending)])
        self.check()
        for (epoch,) in self._store.rows(
            f"SELECT DISTINCT epoch FROM positions WHERE epoch + {_EPOCHS_KEPT} <= {self._epoch}"
        ):
            self._store.command(f"ALTER TABLE positions DROP PARTITION {int(epoch)}")
        [(claims,)] = self._store.rows("SELECT count() FROM projector_claims")
        if int(claims) > CLAIMS_MAX:
            self._store.command(f"ALTER TABLE projector_claims DELETE WHERE epoch < {self._epoch}")

    def _insert(self, rows: Iterable[str]) -> None:
        values = list(rows)
        if values:
            self._rows += len(values)
            self._store.command(f"INSERT INTO positions ({_COLUMNS}) VALUES {', '.join(values)}")

    def _pending_row(self, r: Range) -> str:
        own = f"{self._epoch}, {quoted(self._owner)}, {self._step}, 'pending'"
        return f"({own}, {quoted(r.topic)}, {r.partition}, '', {r.first}, {r.last}, {r.records}, 0, 0)"

    def _done_row(self, p: Position) -> str:
        own = f"{self._epoch}, {quoted(self._owner)}, {self._step}, 'done'"
        place = f"{quoted(p.topic)}, {p.partition}, {quoted(p.topic_id)}"
        return f"({own}, {place}, 0, 0, 0, {p.next}, {p.archived})"


def _newest(store: Rows) -> list[tuple[Any, ...]]:
    """Epoch and owner of the highest claim that wrote anything; empty: none did."""
    return store.rows("SELECT epoch, owner FROM positions ORDER BY epoch DESC, owner DESC LIMIT 1")


def read_standing(store: Rows) -> Standing:
    """What the highest claim that wrote anything has left."""
    newest = _newest(store)
    if not newest:
        return Standing({}, ())
    claim = f"epoch = {int(newest[0][0])} AND owner = {quoted(newest[0][1])}"
    done = store.rows(
        "SELECT topic, partition, argMax(topic_id, step), argMax(next, step), argMax(archived, step) "
        f"FROM positions WHERE {claim} AND state = 'done' GROUP BY topic, partition"
    )
    pending = store.rows(
        f"SELECT DISTINCT topic, partition, first, last, records FROM positions WHERE {claim} "
        f"AND state = 'pending' AND step > (SELECT max(step) FROM positions WHERE {claim} AND state = 'done') "
        f"AND step = (SELECT max(step) FROM positions WHERE {claim} AND state = 'pending')"
    )
    positions = [Position(str(t), int(p), str(i), int(n), int(a)) for t, p, i, n, a in done]
    return Standing(
        {p.place: p for p in positions},
        tuple(Range(str(t), int(p), int(f), int(last), int(n)) for t, p, f, last, n in pending),
    )
