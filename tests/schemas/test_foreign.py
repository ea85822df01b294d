"""Schemas of other producers: what a registry may answer, and whose fault it is that a record cannot be read."""

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import orjson
import pytest

from neural_hive.connectors.foreign_schemas import ForeignSchemas
from neural_hive.connectors.ports import free_port
from neural_hive.connectors.schema_registry import _name_of
from neural_hive.schemas.catalogue import UnknownSchema, current, schema_of
from neural_hive.schemas.codec import encode_message
from neural_hive.schemas.envelope import Header
from neural_hive.schemas.shape import unsafe_problems
from neural_hive.streams.kernel.reading import MessageReader, RegistryAway

PROTOBUF = 'syntax = "proto3";\nmessage Order { string order_id = 1; }\n'
JSON_SCHEMA = '{"type":"object","properties":{"order_id":{"type":"string"}}}'
NO_SUCH_ID = (404, {"error_code": 40403, "message": "Schema 9 not found"})
Answer = tuple[int, Any]
Answering = Callable[[Answer], ForeignSchemas]


@pytest.fixture
def answering() -> Iterator[Answering]:
    """`answering((status, body))`: schemas of a registry that says this of every id, as Confluent's would."""
    servers: list[ThreadingHTTPServer] = []

    def serve(answer: Answer) -> ForeignSchemas:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = orjson.dumps(answer[1])
                self.send_response(answer[0])
                self.send_header("Content-Type", "application/vnd.schemaregistry.v1+json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                return

        servers.append(ThreadingHTTPServer(("127.0.0.1", 0), Handler))
        threading.Thread(target=servers[-1].serve_forever, daemon=True).start()
        return _schemas(servers[-1].server_port)

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


def _schemas(port: int) -> ForeignSchemas:
    return ForeignSchemas(f"http://127.0.0.1:{port}", {"max.retries": 0})


def _value(number: int = 9) -> bytes:
    header = Header("message", "PauseWorkflow", 1, "w", "", "", "", "", "elsewhere")
    known = encode_message(header, {"workflow_id": "w", "reason": "", "requested_by": ""})
    return b"\0" + number.to_bytes(4, "big") + known[5:]


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ((200, {"schema": PROTOBUF, "schemaType": "PROTOBUF"}), "of type PROTOBUF"),
        ((200, {"schema": JSON_SCHEMA, "schemaType": "JSON"}), "of type JSON"),
        ((200, {"schema": PROTOBUF}), "no Avro schema"),
        ((200, {"schema": JSON_SCHEMA}), "cannot be read here"),
        (
            (200, {"schema": '{"type":"record","name":"Order","fields":[{"name":"o","type":"Other"}]}'}),
            "Other",
        ),
        ((200, {"schema": '"string"'}), "is a record"),
        ((200, {"schema": ""}), "no Avro schema"),
        (NO_SUCH_ID, "not in the registry"),
        ((422, {"error_code": 42202, "message": "no id"}), "not in the registry"),
    ],
)
def test_what_cannot_be_read_tomorrow_either_is_the_records_fault(
    answering: Answering, answer: Answer, why: str
) -> None:
    read = MessageReader(answering(answer).schema)
    for _ in range(2):
        with pytest.raises(UnknownSchema, match=why):
            read(_value())


@pytest.mark.parametrize("number", [0, 2**31, 2**32 - 1])
def test_ids_that_no_registry_gives_are_not_asked_for(number: int) -> None:
    with pytest.raises(UnknownSchema, match="none that a registry gives"):
        MessageReader(_schemas(free_port()).schema)(_value(number))


@pytest.mark.parametrize("status", [401, 403, 500, 503])
def test_a_registry_that_does_not_say_is_away(answering: Answering, status: int) -> None:
    schemas = answering((status, {"error_code": status, "message": "not now"}))
    with pytest.raises(RegistryAway):
        MessageReader(schemas.schema)(_value())


def test_a_registry_that_does_not_answer_is_away() -> None:
    with pytest.raises(RegistryAway):
        MessageReader(_schemas(free_port()).schema)(_value())


def test_an_avro_schema_of_another_record_is_the_records_fault(answering: Answering) -> None:
    schema = schema_of(current("TicketReady").id)
    with pytest.raises(UnknownSchema, match="not a message of this system"):
        MessageReader(answering((200, {"schema": orjson.dumps(schema).decode()})).schema)(_value())


_FIELD = {"name": "f", "type": "string"}


@pytest.mark.parametrize("more", [{"symbols": [1.5]}, {"symbols": None}, {"symbols": 5}])
def test_attributes_that_avro_does_not_know_are_judged_too(
    answering: Answering, more: dict[str, Any]
) -> None:
    """The library lets them pass, whatever they hold."""
    schema = {"type": "record", "name": "N", "namespace": "n", "fields": [_FIELD], **more}
    assert unsafe_problems(schema)
    with pytest.raises(UnknownSchema, match="cannot be read here"):
        MessageReader(answering((200, {"schema": orjson.dumps(schema).decode()})).schema)(_value())


def test_an_id_that_a_protobuf_schema_has_taken_is_told_by_its_text() -> None:
    assert _name_of(PROTOBUF) == PROTOBUF
