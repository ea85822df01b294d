"""The same with metric windows: a second `sli`, which has known the SLO from the beginning, says what counts."""

from typing import Any

import msgspec

from neural_hive.aggregates.aggregate import Rejected
from neural_hive.aggregates.burn import Counts
from neural_hive.aggregates.metric_window import Bucket, MetricWindow
from neural_hive.aggregates.sla_window import MINUTE
from neural_hive.aggregates.sli_source import Source
from neural_hive.aggregates.slo import Indicator, Slo
from neural_hive.connectors.record import Record
from neural_hive.schemas.codec import encode_message
from neural_hive.schemas.envelope import Header
from neural_hive.streams.sla.messages import CountSli
from neural_hive.streams.sli import system as sli
from tests.sla.sli_unit import TELEMETRY
from tests.sla_history.world import DEFINITION, Counting, World

INDICATOR = Indicator(Source.TELEMETRY, "value <= 250", "service = 'cart' AND value < 5000")


class CountingWindows(Counting):
    """The system `sli`, which refuses some of them."""

    def __init__(self) -> None:
        super().__init__(sli.build())
        self.refused: list[tuple[int, Rejected]] = []

    def take_window(self, offset: int, window: MetricWindow) -> list[CountSli]:
        """The record at its place; what it counts."""
        self._offset, self.next = offset - 1, offset + 1
        try:
            return self.window(window)
        except Rejected as error:
            self.refused.append((offset, error))
            return []


class WindowWorld(World):
    """See World."""

    topic = TELEMETRY
    dimensions = ("", "/pay")

    def __init__(self, indicator: Indicator = INDICATOR) -> None:
        super().__init__(msgspec.structs.replace(DEFINITION, indicator=indicator))
        self.sli.close()
        self.sli = CountingWindows()
        self.from_the_beginning = CountingWindows()
        self.from_the_beginning.slos["shop"] = Slo(self.definition, 1, 1, 0)
        self.windows: list[MetricWindow] = []
        self.known: list[tuple[int, CountSli]] = []  # offset, and what counts

    def window(self, minutes_ago: int, length: int = 1, slow: int = 1, **more: Any) -> MetricWindow:
        """A window has come: nine fast events, some slow ones, and one that takes too long to be valid."""
        end = self.sla.now // MINUTE * MINUTE - minutes_ago * MINUTE
        buckets = (Bucket(100.0, 4), Bucket(250.0, 5), Bucket(1000.0, slow))
        about = {"service": "cart", "metric": "latency_ms", "events": slow + 10, "buckets": buckets} | more
        made = MetricWindow(starts_at=end - length * MINUTE, ends_at=end, **about)
        self.comes(made)
        return made

    def comes(self, window: MetricWindow) -> None:
        """A window has come, perhaps not for the first time."""
        head = Header(
            window.message_id,
            "MetricWindow",
            self.sla.now,
            window.service,
            "c",
            "",
            "0" * 32,
            "0" * 16,
            "test",
        )
        value = encode_message(head, msgspec.to_builtins(window))
        self.records.append(Record(TELEMETRY, 0, len(self.records), 0, window.service.encode(), value, ()))
        self.windows.append(window)

    def taken_by_sli(self, offset: int) -> list[CountSli]:
        """See World."""
        window = self.windows[offset]
        assert isinstance(self.sli, CountingWindows)
        self.known += [(offset, told) for told in self.from_the_beginning.take_window(offset, window)]
        return self.sli.take_window(offset, window)

    def time_passes(self, minutes: int) -> None:
        """`sli` forgets series that were silent for long."""
        self.sli.fire(minutes * 60)
        self.from_the_beginning.fire(minutes * 60)

    def last_word(self) -> None:
        """See World. It is taken, whatever else was remembered."""
        self.counts_on(len(self.records))
        self.time_passes(30 * 24 * 60)
        self.window(0, service="another")

    def expected(self) -> Counts:
        """What counts for an SLO that was always there, of what the log still has."""
        counts = [each.counts for offset, told in self.known if offset >= self.begin for each in told.counts]
        return sum(counts, Counts())

    def close(self) -> None:
        """See World."""
        super().close()
        self.from_the_beginning.close()
