"""How much of the event topics committed readers cannot see: what lies behind the first open transaction. And how
far a processor is behind its inputs.

The former is more than nothing for moments, while a transaction is under way. Where it stays, a transaction hangs, and
with it every reader of the partition: recovery, projector, agents.
"""

import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import structlog
from prometheus_client import Gauge

from neural_hive.connectors.kafka_offsets import Offsets, Place

LOOK_EVERY_S: Final = 10.0
ANSWER_TIMEOUT_S: Final = 5.0

_UNSTABLE = Gauge(
    "neural_hive_unstable_records",
    "Records of an event topic that no committed reader sees yet, for an open transaction is before them",
    ("topic", "partition"),
)
_LAG = Gauge(
    "neural_hive_input_lag_records",
    "Records and markers of an input that are committed and not yet processed",
    ("system", "topic", "partition"),
)
log = structlog.get_logger()


class StableEnds:
    """Looks at places again and again, in a thread and on two connections of its own."""

    def __init__(
        self,
        name: str,
        config: Mapping[str, Any],
        places: Callable[[], Iterable[Place]],
        positions: Callable[[], Mapping[Place, int]] = dict,
        then: Callable[[], None] = lambda: None,
    ) -> None:
        """`places`: of event topics. `positions`: of each input the offset that is processed next. `then` is called
        after each look."""
        self._name, self._places, self._positions, self._then = name, places, positions, then
        self._stable = Offsets(config, "read_committed", timeout_s=ANSWER_TIMEOUT_S)
        self._ends = Offsets(config, timeout_s=ANSWER_TIMEOUT_S)
        self._shown: set[Place] = set()
        self._shown_inputs: set[Place] = set()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"{name}-stable-ends", daemon=True)

    def start(self) -> None:
        """Begins to look."""
        self._thread.start()

    def stop(self) -> None:
        """Looks no more. Does not wait for a look that is under way."""
        self._ended.set()

    def _run(self) -> None:
        while not self._ended.wait(LOOK_EVERY_S):
            try:
                self.look()
                self.look_at_inputs()
                self._then()
            except Exception as error:  # it can tell nothing, and must not end
                log.warning("a look at what is not committed yet failed", why=str(error))

    def look(self) -> None:
        """Sets the gauge of each place, and forgets places that are others' now. Raises UnreadableLog."""
        places = sorted(self._places())
        # Stable ends first: what comes between the questions is counted, and nothing is less than nothing.
        stable = self._stable.ends(places)
        ends = self._ends.ends(places)
        for topic, partition in self._shown.difference(places):
            _UNSTABLE.remove(topic, str(partition))
        for place, end in ends.items():
            _UNSTABLE.labels(place[0], str(place[1])).set(end - stable[place])
        self._shown = set(places)

    def look_at_inputs(self) -> None:
        """Sets how far each input's processing is behind its end, and forgets others'. Raises UnreadableLog."""
        positions = self._positions()
        # Positions first: a position that moves on meanwhile would be ahead of the end.
        ends = self._stable.ends(sorted(positions))
        for topic, partition in self._shown_inputs.difference(positions):
            _LAG.remove(self._name, topic, str(partition))
        for place, following in positions.items():
            _LAG.labels(self._name, place[0], str(place[1])).set(max(ends[place] - following, 0))
        self._shown_inputs = set(positions)
