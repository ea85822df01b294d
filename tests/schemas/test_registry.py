"""The registry's API, as Confluent's own client uses it, over a real broker."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fastavro
import pytest
from confluent_kafka.schema_registry import (
    Schema,
    SchemaRegistryClient,
    SchemaRegistryError,
    topic_record_subject_name_strategy,
)
from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer
from confluent_kafka.serialization import MessageField, SerializationContext

from neural_hive.connectors.foreign_schemas import ForeignSchemas
from neural_hive.connectors.kafka_embedded import EmbeddedKafka
from neural_hive.connectors.kafka_log import read_committed
from neural_hive.connectors.ports import free_port
from neural_hive.connectors.schema_registry import RegistryConflict, register_all
from neural_hive.schemas import catalogue, codec, freeze
from neural_hive.schemas.catalogue import UnknownSchema
from tests.conftest import TopicFactory
from tests.schemas import samples
from tests.schemas.conftest import Write

START = """
import sys
from neural_hive.connectors.schema_registry_process import run
run(sys.argv[1], int(sys.argv[2]), topic=sys.argv[3], fill=sys.argv[4:] == ["fill"])
"""


class Server:
    """A registry process of its own, on a topic of its own."""

    def __init__(self, bootstrap: str, topic: str, *more: str) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.process = subprocess.Popen(
            [sys.executable, "-c", START, bootstrap, str(self.port), topic, *more],
            stderr=subprocess.PIPE,
            text=True,
        )
        deadline = time.monotonic() + 60
        while True:
            assert self.process.poll() is None, self.process.stderr and self.process.stderr.read()
            assert time.monotonic() < deadline
            with contextlib.suppress(OSError):
                urllib.request.urlopen(self.url + "/ready", timeout=5).close()
                return
            time.sleep(0.05)

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Status and answer; for an error, status and the registry's error code."""
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, method=method)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read())["error_code"]

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        if self.process.poll() is None:
            self.process.send_signal(how)
        code = self.process.wait(90)
        if self.process.stderr:
            self.process.stderr.close()
        return code


@pytest.fixture
def topic() -> str:
    return f"_schemas.{uuid.uuid4().hex[:8]}"


@pytest.fixture
def server(kafka: EmbeddedKafka, topic: str) -> Iterator[Server]:
    running = Server(kafka.bootstrap, topic)
    yield running
    running.stop(signal.SIGKILL)


def record(*fields: dict[str, Any], name: str = "Order") -> str:
    return json.dumps({"type": "record", "name": name, "namespace": "shop", "fields": list(fields)})


ID = {"name": "order_id", "type": "string"}
NOTE = {"name": "note", "type": "string", "default": ""}
PRICE = {"name": "price", "type": "long"}
ONE, TWO, BAD = (Schema(record(*fields), "AVRO") for fields in ((ID,), (ID, NOTE), (ID, PRICE)))


def test_the_whole_catalogue_under_its_ids(server: Server) -> None:
    changed = register_all(server.url)
    rows = catalogue.registered().values()
    assert set(changed) == {subject for row in rows for subject in row.subjects}
    client = SchemaRegistryClient({"url": server.url})
    for row in rows:
        assert json.loads(client.get_schema(row.id).schema_str) == catalogue.schema_of(row.id)
        for subject in row.subjects:
            assert client.get_compatibility(subject) == "FULL_TRANSITIVE"
            with pytest.raises(SchemaRegistryError) as refused:
                client.get_mode(subject)
            assert refused.value.error_code == 40409
    start = time.monotonic()
    assert register_all(server.url) == []
    assert time.monotonic() - start < 30


def test_one_that_is_filled_is_as_if_all_had_been_registered(
    kafka: EmbeddedKafka, server: Server, topic_factory: TopicFactory
) -> None:
    register_all(server.url)
    filled = Server(
        kafka.bootstrap, topic_factory("_schemas.filled", 1, **{"cleanup.policy": "compact"}), "fill"
    )
    try:
        assert register_all(filled.url) == []
        for path in ("/subjects", "/schemas"):
            assert filled.ask("GET", path) == server.ask("GET", path)
        for subject in server.ask("GET", "/subjects")[1]:
            assert filled.ask("GET", f"/config/{subject}") == server.ask("GET", f"/config/{subject}")
    finally:
        filled.stop(signal.SIGKILL)


def test_any_client_reads_our_records_and_we_read_theirs(server: Server) -> None:
    register_all(server.url)
    client = SchemaRegistryClient({"url": server.url})
    row = catalogue.current("ReportResult")
    whole = samples.fixed(catalogue.schema_of(row.id))
    head = codec.Header(**whole["header"] | {"message_type": "ReportResult"})
    value = codec.encode_message(head, whole["payload"])
    context = SerializationContext("execution.results", MessageField.VALUE)
    theirs = AvroDeserializer(client)(value, context)
    assert theirs["payload"]["artifacts"] == whole["payload"]["artifacts"]
    settings = {"auto.register.schemas": False, "subject.name.strategy": topic_record_subject_name_strategy}
    written = AvroSerializer(client, client.get_schema(row.id), conf=settings)(theirs, context)
    assert written == value
    assert codec.decode(written, "message").payload == whole["payload"]


def test_a_taken_id_is_refused_by_both_names(server: Server) -> None:
    first, row = next(iter(catalogue.registered().items()))
    assert server.ask("PUT", "/mode/shop-value", {"mode": "IMPORT"}) == (200, {"mode": "IMPORT"})
    taken = {"schema": ONE.schema_str, "id": first}
    assert server.ask("POST", "/subjects/shop-value/versions", taken) == (200, {"id": first})
    with pytest.raises(
        RegistryConflict, match=rf"schema id {first} is taken .* by shop\.Order; .*{row.name} version 1"
    ):
        register_all(server.url)


def test_the_same_schema_under_another_id_is_refused(server: Server) -> None:
    first, row = next(iter(catalogue.registered().items()))
    text = json.dumps(catalogue.schema_of(first))
    _, answer = server.ask("POST", f"/subjects/{row.subjects[0]}/versions", {"schema": text})
    with pytest.raises(
        RegistryConflict, match=rf"{row.name} version 1 under schema id {answer['id']}; .* under id {first}"
    ):
        register_all(server.url)


def test_a_start_that_was_killed_leaves_no_import_mode(server: Server) -> None:
    register_all(server.url)
    subject = next(iter(catalogue.registered().values())).subjects[0]
    server.ask("PUT", f"/mode/{subject}?force=true", {"mode": "IMPORT"})
    assert register_all(server.url) == []
    assert server.ask("GET", f"/mode/{subject}") == (404, 40409)


def test_versions_and_lookups(server: Server) -> None:
    client = SchemaRegistryClient({"url": server.url})
    first = client.register_schema("shop-value", ONE)
    assert client.register_schema("other-value", ONE) == first
    second = client.register_schema("shop-value", TWO)
    assert second > first >= 1_000_000
    assert client.get_subjects() == ["other-value", "shop-value"]
    assert client.get_versions("shop-value") == [1, 2]
    latest = client.get_latest_version("shop-value")
    assert (latest.version, latest.schema_id) == (2, second)
    assert client.get_version("shop-value", 1).schema_id == first
    assert client.lookup_schema("shop-value", ONE).version == 1
    assert {(use.subject, use.version) for use in client.get_schema_versions(first)} == {
        ("other-value", 1),
        ("shop-value", 1),
    }
    assert [v["id"] for v in server.ask("GET", "/schemas?subjectPrefix=shop")[1]] == [first, second]
    assert server.ask("GET", f"/schemas/ids/{first}/schema") == (200, json.loads(ONE.schema_str))


def test_compatibility_is_kept(server: Server) -> None:
    client = SchemaRegistryClient({"url": server.url})
    client.register_schema("shop-value", ONE)
    assert client.test_compatibility("shop-value", TWO, "latest")
    assert not client.test_compatibility_all_versions("shop-value", BAD)
    with pytest.raises(SchemaRegistryError, match=r"incompatible.*price") as refused:
        client.register_schema("shop-value", BAD)
    assert refused.value.http_status_code == 409
    client.set_compatibility("shop-value", "NONE")
    client.register_schema("shop-value", BAD)
    client.set_compatibility("shop-value", "FORWARD")
    assert client.test_compatibility_all_versions("shop-value", ONE) is False
    assert server.ask("DELETE", "/config/shop-value") == (200, {"compatibilityLevel": "FORWARD"})
    assert client.get_compatibility() == "FULL_TRANSITIVE"


@pytest.mark.parametrize(
    ("method", "path", "body", "answer"),
    [
        ("GET", "/subjects/none/versions", None, (404, 40401)),
        ("GET", "/subjects/shop-value/versions/9", None, (404, 40402)),
        ("GET", "/subjects/shop-value/versions/x", None, (422, 42202)),
        ("GET", "/subjects/shop-value/versions/0", None, (422, 42202)),
        ("GET", "/schemas/ids/77", None, (404, 40403)),
        ("GET", "/schemas/ids/x", None, (404, 40403)),
        ("POST", "/subjects/shop-value", {"schema": BAD.schema_str}, (404, 40403)),
        ("POST", "/subjects/none", {"schema": BAD.schema_str}, (404, 40401)),
        ("POST", "/subjects/s/versions", {"schema": "{}"}, (422, 42201)),
        ("POST", "/subjects/s/versions", {"schema": "[" * 5000}, (422, 42201)),
        ("POST", "/subjects/s/versions", {"schema": 5}, (422, 42201)),
        ("POST", "/subjects/s/versions", {"schema": '"string"', "schemaType": "JSON"}, (422, 42201)),
        ("POST", "/subjects/s/versions", {"schema": ONE.schema_str, "references": [{}]}, (422, 42201)),
        ("POST", "/subjects/s/versions", {"schema": ONE.schema_str, "id": 5}, (422, 42205)),
        ("POST", "/subjects/s/versions", b"no json", (400, 400)),
        ("POST", "/subjects/s/versions", b" " * 3_000_000, (413, 413)),
        ("PUT", "/config", {"compatibility": "SOME"}, (422, 42203)),
        ("PUT", "/mode", {"mode": "SOME"}, (422, 42204)),
        ("PUT", "/mode/shop-value", {"mode": "IMPORT"}, (422, 42205)),
        ("GET", "/config/shop-value", None, (404, 40408)),
        ("DELETE", "/subjects/shop-value?permanent=true", None, (422, 42205)),
        ("GET", "/nowhere", None, (404, 404)),
        ("DELETE", "/schemas/types", None, (405, 405)),
    ],
)
def test_error_codes(shared: Server, method: str, path: str, body: Any, answer: tuple[int, int]) -> None:
    assert shared.ask(method, path, body) == answer


@pytest.fixture(scope="module")
def shared(kafka: EmbeddedKafka) -> Iterator[Server]:
    running = Server(kafka.bootstrap, f"_schemas.{uuid.uuid4().hex[:8]}")
    assert running.ask("POST", "/subjects/shop-value/versions", {"schema": ONE.schema_str})[0] == 200
    yield running
    assert running.stop() == 0


def test_modes(server: Server) -> None:
    server.ask("PUT", "/mode", {"mode": "READONLY"})
    assert server.ask("POST", "/subjects/s/versions", {"schema": ONE.schema_str}) == (422, 42205)
    server.ask("PUT", "/mode", {"mode": "IMPORT"})
    assert server.ask("POST", "/subjects/s/versions", {"schema": ONE.schema_str}) == (422, 42205)
    both = {"schema": ONE.schema_str, "id": 41, "version": 3}
    assert server.ask("POST", "/subjects/s/versions", both) == (200, {"id": 41})
    assert server.ask("POST", "/subjects/s/versions", both | {"schema": BAD.schema_str}) == (422, 42205)
    taken = {"schema": BAD.schema_str, "id": 42, "version": 3}
    assert server.ask("POST", "/subjects/s/versions", taken) == (422, 42205)
    assert server.ask("GET", "/subjects/s/versions/latest")[1]["version"] == 3


def test_soft_deletes(server: Server) -> None:
    client = SchemaRegistryClient({"url": server.url})
    number = client.register_schema("shop-value", ONE)
    client.register_schema("shop-value", TWO)
    assert client.delete_version("shop-value", 2) == 2
    assert client.get_versions("shop-value") == [1]
    assert client.delete_subject("shop-value") == [1]
    assert server.ask("GET", "/subjects/shop-value/versions") == (404, 40404)
    assert server.ask("GET", "/subjects?deleted=true") == (200, ["shop-value"])
    assert server.ask("GET", f"/schemas/ids/{number}")[0] == 200
    assert SchemaRegistryClient({"url": server.url}).register_schema("shop-value", ONE) == number
    assert server.ask("GET", "/subjects/shop-value/versions") == (200, [3])


def test_the_topic_has_confluents_form_and_is_the_only_state(
    kafka: EmbeddedKafka, server: Server, topic: str
) -> None:
    server.ask("PUT", "/config/shop-value", {"compatibility": "FULL"})
    number = SchemaRegistryClient({"url": server.url}).register_schema("shop-value", ONE)
    everything = [server.ask("GET", path) for path in ("/schemas", "/config/shop-value", "/mode", "/config")]
    records = list(read_committed({"bootstrap.servers": kafka.bootstrap}, topic, 0, 0, None))
    assert [(record.key, record.value) for record in records] == [
        (b'{"keytype":"CONFIG","subject":"shop-value","magic":0}', b'{"compatibilityLevel":"FULL"}'),
        (
            b'{"keytype":"SCHEMA","subject":"shop-value","version":1,"magic":1}',
            json.dumps(
                {
                    "subject": "shop-value",
                    "version": 1,
                    "id": number,
                    "schema": ONE.schema_str.replace(" ", ""),
                    "deleted": False,
                },
                separators=(",", ":"),
            ).encode(),
        ),
    ]
    server.stop(signal.SIGKILL)
    again = Server(kafka.bootstrap, topic)
    try:
        paths = ("/schemas", "/config/shop-value", "/mode", "/config")
        assert [again.ask("GET", path) for path in paths] == everything
    finally:
        assert again.stop() == 0


def test_a_second_registry_ends_the_first(kafka: EmbeddedKafka, server: Server, topic: str) -> None:
    second = Server(kafka.bootstrap, topic)
    try:
        assert second.ask("POST", "/subjects/s/versions", {"schema": ONE.schema_str}) == (
            200,
            {"id": 1_000_000},
        )
        assert server.ask("POST", "/subjects/s/versions", {"schema": BAD.schema_str}) == (500, 50003)
        assert server.process.wait(90) != 0
        assert second.ask("GET", "/subjects/s/versions") == (200, [1])
    finally:
        second.stop()


def test_schemas_of_others(server: Server, folder: Path, write: Write, in_force: Any) -> None:
    foreign = ForeignSchemas(server.url)
    with pytest.raises(UnknownSchema, match="not in the registry either"):
        foreign.schema(5)
    client = SchemaRegistryClient({"url": server.url})
    nulls = {"name": "x", "type": {"type": "array", "items": "null"}}
    unsafe = client.register_schema("evil-value", Schema(record(nulls), "AVRO"))
    with pytest.raises(UnknownSchema, match=r"cannot be read here: x\[\]: type null"):
        foreign.schema(unsafe)
    known = client.register_schema("shop-value", ONE)
    assert foreign.schema(known) == json.loads(ONE.schema_str)
    fastavro.parse_schema(foreign.schema(known))
    write("ThingMade", [ID])
    freeze.freeze(folder)
    in_force()
    assert "toy.topic-neural_hive.ThingMade" in register_all(server.url)


def test_a_topic_that_would_lose_schemas_is_refused(kafka: EmbeddedKafka, topic_factory: Any) -> None:
    for partitions, why in ((2, "has 2 partitions"), (1, "cleanup.policy=delete")):
        name = topic_factory("_schemas", partitions)
        done = subprocess.run(
            [sys.executable, "-c", START, kafka.bootstrap, str(free_port()), name],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env=os.environ,
        )
        assert done.returncode != 0
        assert why in done.stderr
