"""A broadcast view over the simulated log: what was committed, a moment ago."""

import random
from typing import Any

from neural_hive.streams.kernel.broadcast import Snapshot, View
from tests.simulation.broker import Broker, Entry

BEHIND = 0.4  # how often it does not look at what is new


class _Message:
    """An entry as a view's `add` takes it."""

    def __init__(self, entry: Entry) -> None:
        self._entry = entry

    def key(self) -> bytes | None:
        return self._entry.key

    def value(self) -> bytes | None:
        return self._entry.value


class SimulatedView:
    """One process's view. Whoever starts reads to the end first; later it may lag behind."""

    def __init__(self, view: View[Any], broker: Broker, partitions: int, chance: random.Random) -> None:
        self._view, self._broker, self._chance = view, broker, chance
        self._partitions = partitions
        self.forget()

    def forget(self) -> None:
        """Its process has died: the next one begins anew."""
        self._value = self._view.empty
        self._positions = dict.fromkeys(range(self._partitions), 0)
        self._has_begun = False
        self._seen_at_us = 0

    def snapshot(self) -> Snapshot[Any]:
        """See Broadcast.snapshot."""
        if not self._has_begun or self._chance.random() >= BEHIND:
            self._catch_up()
        self._has_begun = True
        age_s = (self._broker.elapsed_us - self._seen_at_us) / 1e6
        return Snapshot(self._value, dict(self._positions), age_s)

    def read_to_end(self, within_s: float) -> None:
        """See Broadcast.read_to_end."""
        self._catch_up()

    def _catch_up(self) -> None:
        self._seen_at_us = self._broker.elapsed_us
        for number, first in self._positions.items():
            place = (self._view.topic, number)
            if len(self._broker.logs.get(place, [])) == first:
                continue
            end = max(self._broker.stable_end(place), first)
            for _, entry in self._broker.committed(place, first, end):
                self._value = self._view.add(self._value, _Message(entry))
            self._positions[number] = end
