"""SLIs: which events of tickets and workflows are good and valid by which SLO.

    execution.tickets, orchestration.workflows
        → what begins is noted, and what has ended for good  → sla.sources
        → from where on an SLO's events are counted          → sla.sources
        → what has ended, for each SLO that it counts for:
          added up, and told at the transaction's end        → sla.measurements, to the SLO's partition
    telemetry.aggregated → metric windows: see telemetry.py

SLOs are read whole by every partition, and by its new owner before it goes on: else an SLO that the old one had begun
to count would miss what comes until the new one knows it. An event counts in the minute in which it happened, however
late it is read.
What begins is noted though no SLO asks for it yet: one that is defined before it ends will. What has ended before an
SLO's place in a source is counted from the log (sli_history). What was noted is forgotten by a timer (sli_subject).
"""

from typing import Final

from neural_hive.aggregates.metric_series import METRIC_SERIES
from neural_hive.aggregates.sli_cursor import SLI_CURSOR
from neural_hive.aggregates.sli_source import Source
from neural_hive.aggregates.sli_subject import FORGET_TIMER, SLI_SUBJECT, Forget
from neural_hive.streams.kernel.system import Happened, System, Unit
from neural_hive.streams.sla.view import SLOS
from neural_hive.streams.sli import telemetry as sli_telemetry
from neural_hive.streams.sli.cursors import open_cursors
from neural_hive.streams.sli.facts import ended, noted, sampled
from neural_hive.streams.sli.index import Indexes
from neural_hive.streams.sli.sums import count as count_for

NAME: Final = "sli"
TOPICS: Final = {"execution.tickets": Source.TICKETS, "orchestration.workflows": Source.WORKFLOWS}
GATHER_S: Final = 8.0  # less than a minute's events have until it is looked at: see budget.LATENESS_US
_VIEW: Final = "slos"


def build() -> System:
    """The system."""
    aggregates = SLI_SUBJECT, SLI_CURSOR, METRIC_SERIES
    sli = System(NAME, aggregates, (__name__,), views={_VIEW: SLOS}, awaited=(_VIEW,), gather_s=GATHER_S)
    indexes = Indexes()

    def count(unit: Unit, happened: Happened) -> None:
        if news := noted(happened) or ended(happened, unit.now):
            unit.execute(SLI_SUBJECT, news.subject_id, news)
        index = indexes.of(unit.view(_VIEW).value, TOPICS[happened.record.topic])
        if not index.meters:
            return
        open_cursors(unit, happened.record, index)
        if sample := sampled(unit, happened):
            for meter in index.valid(sample.facts):
                is_good = meter.good.holds(sample.facts)
                count_for(unit, happened.record, meter, sample.facts, sample.at, int(is_good), 1)

    @sli.on_timer(SLI_SUBJECT, FORGET_TIMER)
    def forget(unit: Unit, subject_id: str) -> None:
        unit.execute(SLI_SUBJECT, subject_id, Forget(subject_id, unit.now))

    for topic in TOPICS:
        sli.on_events(topic)(count)
    sli_telemetry.declare(sli, indexes)
    return sli
