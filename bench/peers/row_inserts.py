"""The usual way into ClickHouse: confluent-kafka in, fastavro, rows out in batches by clickhouse-connect.

python row_inserts.py BOOTSTRAP HOST PORT USER DATABASE GROUP TABLES TOPIC [TOPIC ...]

TABLES is `archive` (`events` alone) or `all`; BENCH_PASSWORD is the user's. Run in Neural Hive's own environment, from
which it has what the work is: the schemas, and the tables with their columns. Offsets are committed behind each batch,
so a kill doubles rows; the tables are not flushed to the disk with each insert, as Neural Hive's are.
"""

import io
import os
import sys
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from functools import cache
from typing import Any

import clickhouse_connect
import fastavro
import orjson
from confluent_kafka import Consumer

from neural_hive.projections.allocations import ALLOCATIONS
from neural_hive.projections.archive import EVENTS, TABLE_SETTINGS
from neural_hive.projections.projection import Column, Projection
from neural_hive.projections.results import OUTCOME_OF, RESULTS
from neural_hive.projections.ticket_history import TICKET_HISTORY
from neural_hive.projections.tickets import STATUS_AFTER as TICKET_STATUS
from neural_hive.projections.tickets import TICKETS
from neural_hive.projections.workflows import STATUS_AFTER as WORKFLOW_STATUS
from neural_hive.projections.workflows import WORKFLOWS
from neural_hive.schemas.catalogue import schema_of

BATCH = 10_000
POLL_S = 0.2
FRAME_BYTES = 5
_ENDS = ("PlanRejected", "WorkflowCompleted", "WorkflowFailed", "WorkflowCancelled")
_EMPTY = {"Array(": (), "Map(": {}}
Event = dict[str, Any]  # envelope and payload, as fastavro gives them
Row = tuple[Any, ...]
Value = Callable[[Event], Any]


def _of_envelope(name: str) -> Value:
    return lambda event: event["envelope"][name]


def _of_type(names: dict[str, str]) -> Value:
    return lambda event: names.get(event["envelope"]["event_type"])


def _reason(is_waiting: bool) -> Value:
    def value(event: Event) -> Any:
        found = event["envelope"]["event_type"] == "WorkflowWaiting"
        return event["payload"].get("reason") if found == is_waiting else None

    return value


def _finished(event: Event) -> Any:
    envelope = event["envelope"]
    return envelope["occurred_at"] if envelope["event_type"] in _ENDS else None


_COMPUTED: dict[tuple[str, str], Value] = {
    ("workflows", "workflow_id"): _of_envelope("aggregate_id"),
    ("workflows", "status"): _of_type(WORKFLOW_STATUS),
    ("workflows", "finished_at"): _finished,
    ("workflows", "reason"): _reason(False),
    ("workflows", "waiting_reason"): _reason(True),
    ("tickets", "status"): _of_type(TICKET_STATUS),
    ("ticket_history", "status"): _of_type(TICKET_STATUS),
    **{("ticket_history", name): _of_envelope(name) for name in ("occurred_at", "event_id")},
    **{("ticket_history", name): _of_envelope(name) for name in ("causation_id", "trace_id")},
    ("results", "outcome"): _of_type(OUTCOME_OF),
}


def _of_payload(column: Column) -> Value:
    """The first of its fields that the payload has."""
    paths = [path.split(".") for path in column.fields]
    empty = next((value for kind, value in _EMPTY.items() if column.type.startswith(kind)), None)

    def value(event: Event) -> Any:
        for path in paths:
            found = event["payload"]
            for part in path:
                found = found.get(part) if found is not None else None
            if found is not None:
                return found
        return empty

    return value


class Table:
    """One table, and the rows that wait for it."""

    def __init__(self, client: Any, name: str, ddl: str, columns: Iterable[str]) -> None:
        client.command(ddl.replace(f" SETTINGS {TABLE_SETTINGS}", ""))
        self._client, self.rows = client, list[Row]()
        self._context = client.create_insert_context(name, list(columns))

    def insert(self) -> None:
        """Sends what waits."""
        if self.rows:
            self._context.data = self.rows
            self._client.insert(context=self._context)
            self.rows = []


class Events(Table):
    """All events: the record, the envelope, and the payload as JSON."""

    def __init__(self, client: Any) -> None:
        self._heads = [name for name, _ in EVENTS.head_columns]
        raw = ("topic", "partition", "offset", "timestamp", "key", "headers", "value", "schema_id")
        super().__init__(client, EVENTS.table, EVENTS.ddl, (*raw, *self._heads, "payload"))

    def add(self, record: Any, number: int, event: Event) -> None:
        """A row of it."""
        envelope = event["envelope"]
        headers = [(name, value.decode()) for name, value in record.headers() or ()]
        place = (record.topic(), record.partition(), record.offset(), _time(record))
        raw = (record.key().decode(), headers, record.value(), number)
        payload = orjson.dumps(event["payload"]).decode()
        self.rows.append((*place, *raw, *(envelope[name] for name in self._heads), payload))


class ReadModel(Table):
    """One of the others: what an event says of a thing."""

    def __init__(self, client: Any, projection: Projection) -> None:
        columns = (*projection.key, *projection.columns)
        self._values = [
            _COMPUTED[projection.name, column.name] if column.sql else _of_payload(column)
            for column in columns
        ]
        self._types = frozenset(projection.types)
        place = ("topic", "partition", "offset", "valid_from", "version", "event_type")
        names = (*(column.name for column in columns), *place)
        super().__init__(client, projection.table, projection.ddl(), names)

    def add(self, record: Any, number: int, event: Event) -> None:
        """A row, if the event concerns it."""
        envelope = event["envelope"]
        if envelope["event_type"] in self._types:
            place = (record.topic(), record.partition(), record.offset(), _time(record))
            values = (value(event) for value in self._values)
            self.rows.append((*values, *place, envelope["version"], envelope["event_type"]))


def _time(record: Any) -> datetime:
    return datetime.fromtimestamp(record.timestamp()[1] / 1000, UTC)


@cache
def _schema(number: int) -> Any:
    return fastavro.parse_schema(schema_of(number))


def main(
    bootstrap: str, host: str, port: str, user: str, database: str, group: str, tables: str, *topics: str
) -> None:
    """Runs until it is killed."""
    login = {"host": host, "port": int(port), "username": user, "password": os.environ["BENCH_PASSWORD"]}
    clickhouse_connect.get_client(**login).command(f"CREATE DATABASE IF NOT EXISTS {database}")
    client = clickhouse_connect.get_client(**login, database=database)
    found: list[Events | ReadModel] = [Events(client)]
    if tables == "all":
        models = (WORKFLOWS, TICKETS, TICKET_HISTORY, RESULTS, ALLOCATIONS)
        found += [ReadModel(client, projection) for projection in models]
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": group,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
        }
    )
    consumer.subscribe(list(topics))
    while True:
        for record in (records := consumer.consume(BATCH, POLL_S)):
            value = record.value()
            number = int.from_bytes(value[1:FRAME_BYTES], "big")
            event = fastavro.schemaless_reader(io.BytesIO(value[FRAME_BYTES:]), _schema(number))
            for table in found:
                table.add(record, number, event)
        if records:
            for table in found:
                table.insert()
            consumer.commit(asynchronous=False)


if __name__ == "__main__":
    main(*sys.argv[1:])
