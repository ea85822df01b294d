"""When a batch ends: what comes while the one before is written goes together, and is wrapped before it is due."""

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest

from neural_hive.connectors.kafka_log import Record
from neural_hive.projections import projector
from neural_hive.projections.archive import EVENTS
from neural_hive.projections.catalogue import PROJECTIONS
from neural_hive.projections.positions import Position
from neural_hive.projections.projector import Projector
from neural_hive.projections.ranges import Batch, Range
from neural_hive.projections.sink import Sink
from neural_hive.projections.source import looked_at, part_of
from tests.projections.support import ready

WRITE_S = 0.05
BATCHES = 5
END_TIMEOUT_S = 30.0


class Trickle:
    """A log in which something has always arrived, and that notes whether a batch was cut while one was written."""

    stopped: ClassVar[dict[Any, str]] = {}

    def __init__(self, table: "SlowSink", stopping: threading.Event) -> None:
        self._table, self._stopping, self.cut_while_writing = table, stopping, 0

    def batch(self, linger_s: float, wanted: Callable[[], bool]) -> Batch:
        while not wanted():
            time.sleep(0.001)
        if not self._stopping.is_set():
            self.cut_while_writing += self._table.is_writing
        return Batch((), {("tickets", 0): 1})

    def lags(self) -> dict[Any, int]:
        return {}

    def passed(self) -> dict[Any, Any]:
        return {}

    def close(self) -> None:
        pass


class SlowSink:
    """A table that takes its time for a batch; after some of them the projector is told to stop."""

    standing: ClassVar[dict[Any, Any]] = {}
    positions = SimpleNamespace(fence="1", server_restarted=False)

    def __init__(self, stopping: threading.Event) -> None:
        self._stopping, self.is_writing, self.written = stopping, False, 0

    def write(self, batch: Batch, again: bool = False) -> None:
        self.is_writing = True
        time.sleep(WRITE_S)
        self.written += 1
        if self.written == BATCHES:
            self._stopping.set()
        self.is_writing = False


class Noting:
    """A server that takes all, and notes into which table."""

    def __init__(self) -> None:
        self.took: list[str] = []

    def insert(self, sql: str, body: Sequence[bytes], settings: Mapping[str, Any]) -> None:
        self.took.append(sql.split()[2])

    def command(self, sql: str, settings: Mapping[str, Any] | None = None) -> None:
        self.took.append(sql.split()[2])


class Claim:
    """Positions that nobody contests."""

    fence = "1"

    def pend(self, ranges: Iterable[Range], again: bool = False) -> None:
        pass

    def done(self, positions: Iterable[Position], idle: bool = False) -> None:
        pass


def test_a_batch_is_made_ready_while_the_last_third_of_the_one_before_is_filled() -> None:
    place = ("tickets", 0)
    record = Record(*place, 7, 0, b"workflow-1", ready("t1"), ())
    part = part_of(place, EVENTS, [looked_at(record, EVENTS)])
    store = Noting()
    standing = {place: Position(*place, "id", 7, 0)}
    sink = Sink(
        store,  # type: ignore[arg-type]
        Claim(),  # type: ignore[arg-type]
        standing,
        PROJECTIONS,
        nearly_done=lambda: store.took.append("nearly done"),
    )
    sink.write(Batch((part,), {place: 8}))
    tables = [name for name in store.took if name != "nearly done"]
    assert tables == ["events", *(one.table for one in PROJECTIONS if "TicketReady" in one.types)]
    models = len(tables) - 1
    assert models > 1
    assert store.took.index("nearly done") == 1 + models * 2 // 3
    assert len(store.took) == len(tables) + 1


def test_a_batch_grows_until_the_writer_is_nearly_done_with_the_one_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stopping = threading.Event()
    sink = SlowSink(stopping)
    source = Trickle(sink, stopping)
    monkeypatch.setattr(projector, "Source", lambda *given: source)
    monkeypatch.setattr(projector, "set_aside_damaged", lambda *given: [])
    monkeypatch.setattr(projector, "swap_filled", lambda *given: None)
    following = Projector(None, {}, {}, stopping)  # type: ignore[arg-type]
    thread = threading.Thread(target=following._follow, args=(sink,), daemon=True)
    thread.start()
    thread.join(END_TIMEOUT_S)
    assert not thread.is_alive()
    assert sink.written >= BATCHES
    assert source.cut_while_writing == 0
