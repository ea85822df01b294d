"""When the writer cannot go on, the projector ends, also while more waits to be written."""

import threading
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest

from neural_hive.projections import projector
from neural_hive.projections.projector import Projector
from neural_hive.projections.ranges import Batch
from neural_hive.projections.sink import DamagedTable

END_TIMEOUT_S = 90.0


class EndlessSource:
    """A log in which there is always more, read as the real one is: until the batch is wanted."""

    stopped: ClassVar[dict[Any, str]] = {}

    def __init__(self, *_: Any) -> None:
        self.closed = threading.Event()

    def batch(self, linger_s: float, wanted: Callable[[], bool]) -> Batch:
        while not wanted() and not self.closed.is_set():
            time.sleep(0.005)
        return Batch((), {("tickets", 0): 1})

    def lags(self) -> dict[Any, int]:
        return {}

    def close(self) -> None:
        self.closed.set()


class FailingSink:
    """A table that turns out damaged while the next batches are read already."""

    standing: ClassVar[dict[Any, Any]] = {}
    positions = SimpleNamespace(fence="1")

    def write(self, batch: Batch, again: bool = False) -> None:
        time.sleep(0.3)
        raise DamagedTable("tickets has some of its rows")


def test_the_projector_ends_with_the_writers_error(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[EndlessSource] = []
    monkeypatch.setattr(projector, "Source", lambda *given: made.append(EndlessSource()) or made[-1])
    monkeypatch.setattr(projector, "set_aside_damaged", lambda *given: [])
    monkeypatch.setattr(projector, "swap_filled", lambda *given: None)
    following = Projector(None, {}, {}, threading.Event())  # type: ignore[arg-type]
    ended: list[BaseException] = []

    def follow() -> None:
        try:
            following._follow(FailingSink())  # type: ignore[arg-type]
        except DamagedTable as error:
            ended.append(error)

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    thread.join(END_TIMEOUT_S)
    for source in made:
        source.close()
    assert [str(error) for error in ended] == ["tickets has some of its rows"]
