"""What a partition shows of its state to those who follow it: see system.Standing."""

from collections.abc import Iterator
from typing import TypeVar

from neural_hive.aggregates.aggregate import Aggregate
from neural_hive.streams.kernel.fold import Fold, row_key

S = TypeVar("S")


class StateView:
    """The state between two transactions, to be read only."""

    def __init__(self, fold: Fold) -> None:
        self._fold = fold

    def load(self, aggregate: Aggregate[S], aggregate_id: str) -> S | None:
        """See Standing.load."""
        row = self._fold.row(aggregate, row_key(aggregate.name, aggregate_id))
        return row.state if row is not None else None

    def timers(self) -> Iterator[tuple[str, str, str]]:
        """See Standing.timers."""
        for _, timer in self._fold.store.timers():
            yield timer.aggregate, timer.aggregate_id, timer.name

    def ids(self, aggregate: str) -> Iterator[str]:
        """See Standing.ids."""
        return self._fold.store.ids(aggregate)

    def first(self, queue: str, count: int) -> list[str]:
        """See Unit.first."""
        return self._fold.first(queue, count)
