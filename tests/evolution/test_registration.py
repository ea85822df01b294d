"""What breaks readers is refused where it would come in: at the freeze, at the registry, at the start."""

import copy
import json
import shutil
import signal
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from confluent_kafka.schema_registry import Schema, SchemaRegistryClient, SchemaRegistryError

from neural_hive.connectors.kafka_embedded import EmbeddedKafka
from neural_hive.connectors.schema_registry import RegistryConflict
from neural_hive.schemas import catalogue, freeze
from neural_hive.schemas.freeze import BadSource
from neural_hive.settings import Settings
from neural_hive.system import register_schemas
from tests.schemas.test_registry import Server

OURS = Path(catalogue.__file__).parent
NEWEST = {row.name: row for row in freeze.registered_rows(OURS)}  # the last version of each comes last


@pytest.fixture
def server(kafka: EmbeddedKafka) -> Iterator[Server]:
    running = Server(kafka.bootstrap, f"_schemas.{uuid.uuid4().hex[:8]}")
    yield running
    running.stop(signal.SIGKILL)


def _broken(schema: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Changes of one field that some reader could not follow, each alone."""
    fields = schema["fields"][1]["type"]["fields"]
    for at, field in enumerate(fields):
        for what, change in (
            ("another type", lambda f: f | {"type": {"type": "map", "values": "double"}, "default": {}}),
            ("another name", lambda f: f | {"name": f"{f['name']}_x"}),
            ("taken away", lambda f: None),
        ):
            if what != "another type" and "default" in field:
                continue  # who lacks it takes the default
            changed = copy.deepcopy(schema)
            target = changed["fields"][1]["type"]["fields"]
            target[at : at + 1] = [new] if (new := change(dict(field))) else []
            if target:
                yield f"{schema['name']}.{field['name']}: {what}", changed
    needed = copy.deepcopy(schema)
    needed["fields"][1]["type"]["fields"].append({"name": "needed", "type": "string"})
    yield f"{schema['name']}: a field that must be there", needed


def _alone(folder: Path, name: str) -> Path:
    """A folder of schemas with one of our records, and all that was ever registered of it; its source."""
    rows = [row for row in freeze.registered_rows(OURS) if row.name == name]
    for part in ("events", "messages", "registered"):
        (folder / part).mkdir(parents=True)
    shutil.copytree(OURS / "types", folder / "types")
    (folder / "ids.json").write_bytes(msgspec.json.encode(rows))
    for row in rows:
        shutil.copy(OURS / "registered" / f"{row.id}.avsc", folder / "registered")
    return Path(shutil.copy(OURS / f"{rows[0].kind}s" / f"{name}.avsc", folder / f"{rows[0].kind}s"))


@pytest.mark.parametrize("name", NEWEST)
def test_the_freeze_refuses_every_breaking_change_of_every_record(tmp_path: Path, name: str) -> None:
    source = _alone(tmp_path / "schemas", name)
    assert freeze.changes(tmp_path / "schemas") == []
    payload = json.loads(source.read_bytes())
    for what, changed in _broken({"name": name, "fields": [{}, {"type": payload}]}):
        source.write_text(json.dumps(changed["fields"][1]["type"]))
        with pytest.raises(BadSource):
            freeze.changes(tmp_path / "schemas")
            pytest.fail(f"not refused: {what}")


def test_the_registry_refuses_what_breaks_our_readers_and_takes_the_rest(server: Server) -> None:
    settings = Settings(schema_registry_url=server.url)
    register_schemas(settings)
    client = SchemaRegistryClient({"url": server.url})
    for name in ("TicketDispatched", "WorkflowStarted", "ReportResult"):
        row = NEWEST[name]
        schema = catalogue.schema_of(row.id)
        for what, changed in _broken(schema):
            with pytest.raises(SchemaRegistryError, match="incompatible") as refused:
                client.register_schema(row.subjects[0], Schema(json.dumps(changed), "AVRO"))
                pytest.fail(f"not refused: {what}")
            assert refused.value.http_status_code == 409
        longer = copy.deepcopy(schema)
        longer["fields"][1]["type"]["fields"].append({"name": "more", "type": "string", "default": ""})
        assert client.register_schema(row.subjects[0], Schema(json.dumps(longer), "AVRO")) >= 1_000_000
        assert client.get_latest_version(row.subjects[0]).version == row.version + 1
    register_schemas(settings)  # one version behind the registry: that is how a build starts in an upgrade


def test_a_taken_id_stops_the_start(server: Server) -> None:
    row = NEWEST["TicketDispatched"]
    subject = "shop-value"
    assert server.ask("PUT", f"/mode/{subject}", {"mode": "IMPORT"})[0] == 200
    theirs = json.dumps({"type": "record", "name": "Order", "namespace": "shop", "fields": []})
    assert server.ask("POST", f"/subjects/{subject}/versions", {"schema": theirs, "id": row.id})[0] == 200
    with pytest.raises(RegistryConflict, match=rf"schema id {row.id} is taken .* by shop\.Order"):
        register_schemas(Settings(schema_registry_url=server.url))
