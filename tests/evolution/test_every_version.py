"""Every schema version that was ever registered is folded and projected by today's code, and read by all others."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fastavro
import pytest
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer
from confluent_kafka.serialization import MessageField, SerializationContext

from neural_hive.aggregates.aggregate import Aggregate, event_of
from neural_hive.connectors.kafka_embedded import EmbeddedKafka
from neural_hive.connectors.schema_registry import register_all
from neural_hive.projections.archive import EVENTS
from neural_hive.projections.catalogue import PROJECTIONS
from neural_hive.projections.http_store import HttpStore
from neural_hive.schemas import catalogue, codec, freeze
from neural_hive.schemas.catalogue import Registered
from neural_hive.settings import Settings
from neural_hive.streams.systems import SYSTEMS
from tests.fixtures_clickhouse import ClickHouseServer
from tests.projections.grammar import Given
from tests.schemas.keep_bytes import FOLDER
from tests.schemas.test_registry import Server

OWN = freeze.registered_rows(Path(catalogue.__file__).parent)
PAIRS = [
    (reader, writer)
    for reader in OWN
    for writer in OWN
    if reader.name == writer.name and reader.id != writer.id
]
AGGREGATES: dict[str, Aggregate[Any]] = {
    event.__name__: aggregate
    for build in SYSTEMS.values()
    for aggregate in build(Settings()).all_aggregates
    for event in aggregate.events
}


def _bytes(row: Registered) -> bytes:
    return (FOLDER / f"{row.id}.bin").read_bytes()


def _written(row: Registered) -> bytes:
    """The kept record under its real name: it was kept with a text that is none."""
    schema = catalogue.parsed(row.id)
    record: Any = fastavro.schemaless_reader(io.BytesIO(_bytes(row)[codec.FRAME_BYTES :]), schema, None)
    record["envelope"] |= {"event_type": row.name, "schema_version": row.version}
    out = io.BytesIO()
    fastavro.schemaless_writer(out, schema, record)
    return _bytes(row)[: codec.FRAME_BYTES] + out.getvalue()


FOLDED = [row for row in OWN if row.name in AGGREGATES]


def test_what_no_system_folds_is_of_the_library_eventsourcing() -> None:
    others = {row.name for row in OWN if row.kind == "event" and row not in FOLDED}
    assert others == {"EventStored", "NotificationTracked"}


@pytest.mark.parametrize("row", FOLDED, ids=lambda row: str(row.id))
def test_an_event_of_any_version_can_be_folded(row: Registered) -> None:
    """What the version says is not passed over; what it does not say is told by the event's own defaults."""
    payload = codec.decode(_bytes(row), "event").payload
    event = event_of(AGGREGATES[row.name], row.name, payload)
    assert not [name for name in payload if not hasattr(event, name)]


def test_events_of_all_versions_become_rows(clickhouse: ClickHouseServer, database: str) -> None:
    """All of them in one range of the log, in the real engine: each is a row of every read model that it concerns."""
    store = HttpStore(clickhouse.host, clickhouse.port, clickhouse.user, clickhouse.password, database)
    rows = [row for row in OWN if row.kind == "event"]
    Given(store, tuple(_written(row) for row in rows))
    assert store.rows("SELECT schema_id FROM events ORDER BY schema_id") == [(row.id,) for row in rows]
    for projection in (p for p in PROJECTIONS if p.source is EVENTS):
        concerned = sorted(row.id for row in rows if row.name in projection.types)
        found = store.rows(
            f"SELECT schema_id FROM ({projection.rows_sql('1')}) AS r JOIN events AS e USING (offset) "
            "ORDER BY schema_id"
        )
        assert [number for (number,) in found] == concerned, projection.name
        assert concerned


@pytest.fixture(scope="module")
def registry(kafka: EmbeddedKafka) -> Iterator[SchemaRegistryClient]:
    """The registry of the project with all schemas, and the client that others use."""
    server = Server(kafka.bootstrap, "_schemas.every-version")
    register_all(server.url)
    with SchemaRegistryClient({"url": server.url}) as client:
        yield client
    server.stop()


def test_an_outside_consumer_reads_newer_and_older_events_with_its_own_version(
    registry: SchemaRegistryClient,
) -> None:
    """Confluent's deserialiser with a reader's schema: fields that it does not know go, new ones take their default."""
    assert len(PAIRS) >= 10
    for reader, writer in PAIRS:
        deserialize = AvroDeserializer(registry, registry.get_schema(reader.id).schema_str)
        read = deserialize(_bytes(writer), SerializationContext(writer.topics[0], MessageField.VALUE))
        assert read == _resolved(writer, reader), (reader, writer)
        own = codec.decode(_bytes(reader), reader.kind)
        assert read["payload"].keys() == own.payload.keys()


def _resolved(writer: Registered, reader: Registered) -> Any:
    """What Avro's rules say, by another implementation's word: only where both have a field is its value kept."""
    plain: Any = [fastavro.parse_schema(catalogue.schema_of(row.id)) for row in (writer, reader)]
    return fastavro.schemaless_reader(io.BytesIO(_bytes(writer)[codec.FRAME_BYTES :]), *plain)
