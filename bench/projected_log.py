"""A log as the real systems make it, counted: what every contender of the projection benchmark reads."""

from collections import Counter
from heapq import merge
from typing import Final

import msgspec

from bench.orchestration import Bench, Clock, processors
from bench.worker import TICKETS, WORKFLOWS, NoWork
from neural_hive.connectors.kafka_log import CommittedLog, Record
from neural_hive.projections.archive import EVENTS
from neural_hive.projections.catalogue import PROJECTIONS
from neural_hive.settings import Settings

TOPICS: Final = (TICKETS, WORKFLOWS)
TAPE: Final = 100_000
IN_FLIGHT: Final = 500
FIRST_WORKFLOWS: Final = 100  # they tell how many events one makes


class Log(msgspec.Struct, frozen=True):
    """What stands in the topics."""

    types: Counter[str]  # how many events of each type
    tape: list[Record]  # the first of them, as they were appended

    @property
    def events(self) -> int:
        """All of them."""
        return self.types.total()

    def due(self, all_tables: bool) -> dict[str, int]:
        """The rows that each table has in the end; tables without any are left out."""
        found = {EVENTS.table: self.events}
        if all_tables:
            models = [model for model in PROJECTIONS if model.source is EVENTS]
            found |= {model.table: sum(self.types[name] for name in model.types) for model in models}
        return {table: rows for table, rows in found.items() if rows}


def made_log(settings: Settings, events: int) -> Log:
    """Lets orchestrator and registry make about so many events of workflows of five tasks."""
    clock, kafka = Clock(), settings.kafka_config()
    with processors(settings), NoWork(kafka, settings.partitions, clock.told):
        bench = Bench(kafka, clock)
        bench.rate(IN_FLIGHT, FIRST_WORKFLOWS)
        workflows = events * FIRST_WORKFLOWS // _read(settings).events
        if workflows > FIRST_WORKFLOWS + 1:
            bench.rate(IN_FLIGHT, workflows - FIRST_WORKFLOWS)
    if clock.failed:
        raise RuntimeError(f"{len(clock.failed)} workflows did not complete: {clock.failed[:5]}")
    return _read(settings)


def _read(settings: Settings) -> Log:
    places = [(topic, number) for topic in TOPICS for number in range(settings.partitions)]
    logs = [CommittedLog(settings.kafka_config(), *place, 0) for place in places]
    found = Log(Counter(), [])
    for record in merge(*logs, key=lambda record: record.timestamp_ms):
        found.types[event_type(record)] += 1
        if len(found.tape) < TAPE:
            found.tape.append(record)
    return found


def event_type(record: Record) -> str:
    """What its header says."""
    return (dict(record.headers)["event_type"] or b"").decode()
