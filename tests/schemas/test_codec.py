"""Events and messages as bytes: what is written is read again, by hand or by library alike."""

import io
import struct
from pathlib import Path
from typing import Any

import fastavro
import msgspec
import pytest
from aiokafka.partitioner import DefaultPartitioner
from aiokafka.partitioner import murmur2 as aiokafka_murmur2
from hypothesis import example, given
from hypothesis import strategies as st

from neural_hive.schemas import catalogue, codec, shape
from neural_hive.schemas.catalogue import UnknownSchema
from neural_hive.schemas.codec import BadRecord, EventEncoder
from neural_hive.schemas.envelope import Envelope, Header
from neural_hive.schemas.topics import MESSAGE_BYTES_MAX, murmur2, partition_of
from neural_hive.schemas.varint import avro_long
from tests.schemas import samples

EVENTS = sorted(row.name for row in catalogue.registered().values() if row.kind == "event")
MESSAGES = sorted(row.name for row in catalogue.registered().values() if row.kind == "message")
COUNT = st.integers(0, 2**62)
SMALL = st.integers(0, 2**31 - 1)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)


def payload_of(name: str) -> Any:
    return catalogue.schema_of(catalogue.current(name).id)["fields"][1]["type"]


@st.composite
def envelopes(draw: st.DrawFn, name: str) -> Envelope:
    return Envelope(
        event_type=name,
        aggregate_type=draw(TEXT),
        schema_version=catalogue.current(name).version,
        logic_version=draw(TEXT),
        producer=draw(TEXT),
        event_id=str(draw(st.uuids())),
        aggregate_id=draw(TEXT),
        version=draw(COUNT),
        occurred_at=draw(COUNT),
        correlation_id=draw(TEXT),
        causation_id=draw(TEXT),
        trace_id=draw(TEXT),
        span_id=f"{draw(COUNT):016x}",
        sequence=draw(COUNT),
        source_topic=draw(TEXT),
        source_partition=draw(SMALL),
        source_offset=draw(COUNT),
        prev_hash=draw(st.binary(min_size=32, max_size=32)),
    )


def by_hand(head: Envelope, payload: dict[str, Any]) -> bytes:
    encoder = EventEncoder(head.event_type, head.aggregate_type, head.logic_version, head.producer)
    return encoder.encode(
        head.event_id.encode(),
        codec.avro_string(head.aggregate_id),
        head.version,
        avro_long(head.occurred_at),
        codec.event_context(head.correlation_id, head.causation_id, head.trace_id),
        head.span_id.encode(),
        head.sequence,
        codec.event_source(head.source_topic, head.source_partition) + avro_long(head.source_offset),
        head.prev_hash,
        payload,
    )


def by_library(head: Envelope, payload: dict[str, Any]) -> bytes:
    return _by_library(head.event_type, "envelope", head, payload)


def message_by_library(head: Header, payload: dict[str, Any]) -> bytes:
    return _by_library(head.message_type, "header", head, payload)


def _by_library(name: str, field: str, head: Envelope | Header, payload: dict[str, Any]) -> bytes:
    number = catalogue.current(name).id
    out = io.BytesIO()
    record = {field: msgspec.structs.asdict(head), "payload": payload}
    fastavro.schemaless_writer(out, catalogue.parsed(number), record)
    return b"\0" + struct.pack(">I", number) + out.getvalue()


@given(st.data())
def test_the_hand_written_envelope_equals_the_library(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(EVENTS))
    head = data.draw(envelopes(name))
    payload = data.draw(samples.values(payload_of(name)))
    value = by_hand(head, payload)
    assert value == by_library(head, payload)
    assert codec.encode_event(head, payload) == value
    decoded = codec.decode(value, "event")
    assert (decoded.head, decoded.payload, decoded.schema.name) == (head, payload, name)


@given(st.data())
def test_a_message_is_read_as_it_was_written(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(MESSAGES))
    texts = [data.draw(TEXT) for _ in range(7)]
    occurred_at = data.draw(st.integers(-(2**63), 2**63 - 1))
    head = Header(texts[0], name, occurred_at, *texts[1:])
    payload = data.draw(samples.values(payload_of(name)))
    value = codec.encode_message(head, payload)
    assert value == message_by_library(head, payload)
    decoded = codec.decode(value, "message")
    assert (decoded.head, decoded.payload) == (head, payload)


@pytest.mark.parametrize("wrong", [{"occurred_at": 2**63}, {"occurred_at": -(2**63) - 1}, {"trace_id": None}])
def test_a_header_that_does_not_fit_is_not_written(wrong: dict[str, Any]) -> None:
    head, payload = _message()
    with pytest.raises(BadRecord, match="ReportStart does not fit its schema"):
        codec.encode_message(msgspec.structs.replace(head, **wrong), payload)


@given(COUNT | st.integers(2**40, 2**58))
@example(2**48 - 1)
@example(2**48)
@example(2**55 - 1)
@example(2**55)
def test_a_long_is_zig_zag(number: int) -> None:
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema({"type": "long"}), number)
    assert avro_long(number) == out.getvalue()


def _message(**payload: Any) -> tuple[Header, dict[str, Any]]:
    name = "ReportStart"
    head = Header("m", name, 1, "r", "c", "", "0" * 32, "0" * 16, "test")
    return head, samples.fixed(payload_of(name)) | payload


@pytest.mark.parametrize(
    "wrong",
    [
        {"attempt": 2**31},
        {"attempt": -(2**31) - 1},
        {"attempt": "1"},
        {"agent_id": None},
        {"agent_id": "\ud800"},
    ],
)
def test_a_payload_that_does_not_fit_is_not_written(wrong: dict[str, Any]) -> None:
    with pytest.raises(BadRecord, match="ReportStart does not fit its schema"):
        codec.encode_message(*_message(**wrong))


def test_a_payload_without_a_field_is_not_written() -> None:
    head, payload = _message()
    del payload["agent_id"]
    with pytest.raises(BadRecord, match="agent_id"):
        codec.encode_message(head, payload)


def test_an_event_with_a_number_too_large_is_not_written() -> None:
    head = Envelope(
        "TicketStarted", "t", 1, "l", "p", "e" * 36, "a", 1, 1, "", "", "", "0" * 16, 1, "", 0, 0, bytes(32)
    )
    payload = samples.fixed(payload_of("TicketStarted")) | {"attempt": 2**40}
    with pytest.raises(
        BadRecord, match="TicketStarted does not fit its schema: attempt is an int of more than 32 bits"
    ):
        by_hand(head, payload)


def test_a_record_too_large_is_neither_written_nor_read() -> None:
    head, payload = _message(agent_id="x" * MESSAGE_BYTES_MAX)
    with pytest.raises(BadRecord, match=f"more than the {MESSAGE_BYTES_MAX} allowed"):
        codec.encode_message(head, payload)
    fits = codec.encode_message(*_message(agent_id="x" * (MESSAGE_BYTES_MAX - 1000)))
    codec.decode(fits, "message")
    with pytest.raises(BadRecord, match=f"more than the {MESSAGE_BYTES_MAX} allowed"):
        codec.decode(fits + bytes(2000), "message")


@given(st.binary(max_size=64), st.integers(1, 50))
def test_a_key_goes_where_other_clients_send_it(key: bytes, partitions: int) -> None:
    everyone = list(range(partitions))
    assert partition_of(key, partitions) == DefaultPartitioner()(key, everyone, everyone)
    assert murmur2(key) == aiokafka_murmur2(key) & 0xFFFFFFFF


@pytest.mark.parametrize(
    ("key", "digest"),
    [
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_murmur2_gives_the_digests_of_kafkas_own_tests(key: bytes, digest: int) -> None:
    """Source: org.apache.kafka.common.utils.UtilsTest.testMurmur2."""
    assert murmur2(key) == digest & 0xFFFFFFFF


def test_a_message_under_a_schema_of_others_is_read_as_ours() -> None:
    """Another producer's build: no docs, no defaults, a field and an enum symbol more."""
    own = catalogue.schema_of(catalogue.current("ReportResult").id)
    text = msgspec.json.encode(own).decode().replace('"COMPLETED"', '"PAUSED","COMPLETED"')
    foreign = _undocumented(msgspec.json.decode(text))
    foreign["fields"][1]["type"]["fields"].insert(1, {"name": "mood", "type": "string"})
    assert shape.unsafe_problems(foreign) == []
    record = samples.fixed(own)
    record["payload"] |= {"mood": "fine", "outcome": "PAUSED"}
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(catalogue.without_logical_types(foreign)), record)
    reader = codec.ForeignReader(foreign)
    decoded = reader.decode(b"\0\0\x0f\xff\xff" + out.getvalue())
    assert decoded.payload == samples.fixed(own)["payload"] | {"outcome": "UNKNOWN"}
    with pytest.raises(BadRecord, match="bytes are missing"):
        reader.decode(b"\0\0\x0f\xff\xff" + out.getvalue()[:-1])


def test_events_and_unknown_names_of_others_are_not_read() -> None:
    with pytest.raises(UnknownSchema, match="not a message"):
        codec.ForeignReader(catalogue.schema_of(catalogue.current("TicketReady").id))
    with pytest.raises(UnknownSchema, match=r"shop\.Order"):
        codec.ForeignReader({"type": "record", "name": "Order", "namespace": "shop", "fields": []})


def _undocumented(node: Any) -> Any:
    if isinstance(node, dict):
        return {k: _undocumented(v) for k, v in node.items() if k not in ("doc", "default")}
    return [_undocumented(item) for item in node] if isinstance(node, list) else node


def test_a_folder_without_registered_schemas_says_what_to_do(folder: Path, in_force: Any) -> None:
    in_force()
    with pytest.raises(
        ValueError, match=r"has no ids\.json; run python -m neural_hive\.schemas\.freeze --folder"
    ):
        catalogue.registered()
