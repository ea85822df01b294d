"""When a batch ends: what comes while the one before is written goes together."""

import threading
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest

from neural_hive.projections import projector
from neural_hive.projections.projector import Projector
from neural_hive.projections.ranges import Batch

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


def test_a_batch_grows_until_the_one_before_is_in_all_tables(monkeypatch: pytest.MonkeyPatch) -> None:
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
