"""SLIs: which events of tickets and workflows are good and valid by which SLO.

    execution.tickets, orchestration.workflows
        → what begins is noted                               → sla.sources
        → from where on an SLO's events are counted          → sla.sources
        → what has ended, for each SLO that it counts for    → sla.measurements, to the SLO's partition

SLOs are read whole by every partition. An event counts in the minute in which it happened, however late it is read.
What begins is noted though no SLO asks for it yet: one that is defined before it ends will. What has ended before an
SLO's place in a source is counted from the log (sli_history).
"""

from typing import Final

import msgspec

from neural_hive.aggregates.sli_cursor import SLI_CURSOR, Open, cursor_id_of
from neural_hive.aggregates.sli_source import Source
from neural_hive.aggregates.sli_subject import SLI_SUBJECT
from neural_hive.aggregates.slo import Slo
from neural_hive.streams.kernel.system import Happened, System, Unit
from neural_hive.streams.sla_messages import MEASUREMENTS
from neural_hive.streams.sla_view import SLOS, Slos
from neural_hive.streams.sli_facts import Sample, noted, sampled
from neural_hive.streams.sli_indicator import counted

NAME: Final = "sli"
TOPICS: Final = {"execution.tickets": Source.TICKETS, "orchestration.workflows": Source.WORKFLOWS}
_VIEW: Final = "slos"


def build() -> System:
    """The system."""
    sli = System(NAME, (SLI_SUBJECT, SLI_CURSOR), (__name__,), views={_VIEW: SLOS})

    def count(unit: Unit, happened: Happened) -> None:
        if note := noted(happened):
            unit.execute(SLI_SUBJECT, happened.envelope.aggregate_id, note)
        source = TOPICS[happened.record.topic]
        known: Slos = unit.view(_VIEW).value
        asking = [known[name] for name in sorted(known) if _asks(known[name], source)]
        for slo in asking:
            _open(unit, happened, slo)
        if asking and (sample := sampled(unit, happened)):
            for slo in asking:
                _count(unit, happened, slo, sample)

    for topic in TOPICS:
        sli.on_events(topic)(count)
    return sli


def _asks(slo: Slo, source: Source) -> bool:
    return slo.is_measured and slo.definition.indicator.source is source


def _open(unit: Unit, happened: Happened, slo: Slo) -> None:
    record, slo_id = happened.record, slo.definition.slo_id
    cursor_id = cursor_id_of(slo_id, slo.measure, record.topic, record.partition)
    if unit.load(SLI_CURSOR, cursor_id) is None:
        place = record.topic, record.partition, record.offset
        unit.execute(SLI_CURSOR, cursor_id, Open(slo_id, slo.measure, *place, unit.now))


def _count(unit: Unit, happened: Happened, slo: Slo, sample: Sample) -> None:
    found = counted(slo.definition.indicator, sample)
    if found is None:
        return
    record, slo_id = happened.record, slo.definition.slo_id
    message = {
        "slo_id": slo_id,
        "measure": slo.measure,
        "dimension": found[0],
        "counts": [msgspec.to_builtins(found[1])],
        "source": f"{record.topic}:{record.partition}:{record.offset}",
    }
    unit.send(MEASUREMENTS, "CountSli", slo_id, message)
