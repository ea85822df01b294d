"""SLIs: which events of tickets and workflows are good and valid by which SLO.

    execution.tickets, orchestration.workflows
        → what begins is noted, if any SLO asks for it       → sla.sources
        → from where on an SLO's events are counted          → sla.sources
        → what has ended, for each SLO that it counts for    → sla.measurements, to the SLO's partition

SLOs are read whole by every partition. An event counts in the minute in which it happened, however late it is read.
"""

from functools import lru_cache
from typing import Final

import msgspec

from neural_hive.aggregates.budget import Counted, minute_of
from neural_hive.aggregates.sli_cursor import SLI_CURSOR, Open, cursor_id_of
from neural_hive.aggregates.sli_expression import BadExpression, Expression, parse
from neural_hive.aggregates.sli_source import FIELDS, Source
from neural_hive.aggregates.sli_subject import SLI_SUBJECT
from neural_hive.aggregates.slo import Slo
from neural_hive.streams.kernel.system import Happened, System, Unit
from neural_hive.streams.sla_messages import MEASUREMENTS
from neural_hive.streams.sla_view import SLOS, Slos
from neural_hive.streams.sli_facts import Sample, noted, sampled

NAME: Final = "sli"
TOPICS: Final = {"execution.tickets": Source.TICKETS, "orchestration.workflows": Source.WORKFLOWS}
DIMENSION_CHARS_MAX: Final = 200
_VIEW: Final = "slos"
_COMPILED_MAX: Final = 50_000


class _Indicator(msgspec.Struct, frozen=True):
    good: Expression
    valid: Expression


def build() -> System:
    """The system."""
    sli = System(NAME, (SLI_SUBJECT, SLI_CURSOR), (__name__,), views={_VIEW: SLOS})

    def count(unit: Unit, happened: Happened) -> None:
        source = TOPICS[happened.record.topic]
        known: Slos = unit.view(_VIEW).value
        asking = [known[name] for name in sorted(known) if _asks(known[name], source)]
        if not asking:
            return
        for slo in asking:
            _open(unit, happened, slo)
        if note := noted(happened):
            unit.execute(SLI_SUBJECT, happened.envelope.aggregate_id, note)
        if sample := sampled(unit, happened):
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
    wanted = slo.definition.indicator
    found = _compiled(wanted.source, wanted.good, wanted.valid)
    if found is None or not found.valid.holds(sample.facts):
        return
    dimension = ""
    if wanted.group_by:
        value = sample.facts.get(wanted.group_by)
        dimension = "" if value is None else str(value)[:DIMENSION_CHARS_MAX]
    record, slo_id = happened.record, slo.definition.slo_id
    counted = Counted(minute_of(sample.at), int(found.good.holds(sample.facts)), 1)
    message = {
        "slo_id": slo_id,
        "measure": slo.measure,
        "dimension": dimension,
        "counts": [msgspec.to_builtins(counted)],
        "source": f"{record.topic}:{record.partition}:{record.offset}",
    }
    unit.send(MEASUREMENTS, "CountSli", slo_id, message)


@lru_cache(_COMPILED_MAX)
def _compiled(source: Source, good: str, valid: str) -> _Indicator | None:
    """An indicator's expressions; None: a newer build has defined it, and this one does not understand it."""
    fields = FIELDS[source]
    try:
        return _Indicator(parse(good, fields), parse(valid, fields))
    except BadExpression:
        return None
