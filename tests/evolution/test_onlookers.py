"""A command one build behind the system that it watches reads newer events with the schemas that it knows."""

import copy
import io
import signal
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fastavro
import msgspec
import orjson
import pytest
from confluent_kafka.schema_registry import Schema, SchemaRegistryClient

from neural_hive.connectors.kafka_embedded import EmbeddedKafka
from neural_hive.connectors.schema_registry import register_all
from neural_hive.schemas import catalogue
from neural_hive.schemas.envelope import NO_HASH, Envelope
from tests.plans.test_publish import Hive, answering, hive, written
from tests.schemas import samples
from tests.schemas.test_registry import Server

__all__ = ["hive"]


@pytest.fixture(scope="module")
def registry(kafka: EmbeddedKafka) -> Iterator[Server]:
    running = Server(kafka.bootstrap, f"_schemas.{uuid.uuid4().hex[:8]}")
    register_all(running.url)
    yield running
    running.stop(signal.SIGKILL)


def _newer(registry: Server, event_type: str) -> tuple[int, Any]:
    """The event's schema with one more field, and the id that the registry gave it."""
    row = catalogue.current(event_type)
    schema = copy.deepcopy(catalogue.schema_of(row.id))
    schema["fields"][1]["type"]["fields"].append({"name": "mood", "type": "string", "default": ""})
    text = orjson.dumps(schema).decode()
    number = SchemaRegistryClient({"url": registry.url}).register_schema(
        row.subjects[0], Schema(text, "AVRO")
    )
    return number, fastavro.parse_schema(catalogue.without_logical_types(schema))


def _event(number: int, schema: Any, event_type: str, workflow_id: str, payload: dict[str, Any]) -> bytes:
    envelope = Envelope(
        event_type, "workflow", 9, "logic", "test", str(uuid.uuid4()), workflow_id, 1, 1, workflow_id, "",
        "0" * 31 + "1", "0" * 15 + "1", 1, "plans.consensus", 0, 0, NO_HASH,
    )  # fmt: skip
    out = io.BytesIO()
    record = {"envelope": msgspec.structs.asdict(envelope), "payload": {**payload, "mood": "glad"}}
    fastavro.schemaless_writer(out, schema, record)
    return b"\0" + number.to_bytes(4, "big") + out.getvalue()


def test_a_plan_is_watched_to_its_end_through_newer_events(
    hive: Hive, registry: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEURAL_HIVE_SCHEMA_REGISTRY_URL", registry.url)
    workflow = str(uuid.uuid4())
    number, schema = _newer(registry, "PlanRejected")
    assert number >= 1_000_000
    payload = samples.fixed(catalogue.schema_of(catalogue.current("PlanRejected").id)["fields"][1]["type"])
    payload |= {"workflow_id": workflow, "reasons": ["out of paper"]}

    def answer() -> None:
        value = _event(number, schema, "PlanRejected", workflow, payload)
        hive._write("orchestration.workflows", value, workflow)

    thread = answering(hive, workflow, answer)
    file = written(tmp_path, workflow, "[{task_id: a, command: [x]}]")
    done = hive.run("publish", "plan", file, "--wait", "--json", "--timeout", "60")
    thread.join()
    document = orjson.loads(done.stdout)
    assert (document["status"], document["reasons"]) == ("REJECTED", ["out of paper"]), done.output
