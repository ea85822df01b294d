"""Inputs of another partition count, topics that every worker reads whole, and schemas of other producers."""

import io
import time
from typing import Any

import fastavro
import pytest

from neural_hive.schemas.catalogue import UnknownSchema, current, schema_of
from neural_hive.streams.kernel.reading import MessageReader, RegistryAway
from neural_hive.streams.kernel.router import router_of
from tests.hostile.memory_kernel import MemoryKernel
from tests.kernel.conftest import ToyFactory
from tests.toy import system as toy_system


def test_an_input_of_another_partition_count_comes_through_a_router(make_toy: ToyFactory) -> None:
    toy = make_toy(4, results_partitions=3)
    toy.start(2)
    toy.add(3_000)
    toy.wait_until_done()
    toy.kill(0)
    toy.keep_alive(2)
    toy.producer.produce(toy.results, b"garbage", b"counter-1")
    toy.add(3_000)
    toy.wait_until_done()
    time.sleep(1)
    toy.wait_until_done()  # what the router wrote last
    toy.stop()
    assert toy.check()["CounterRaised"] == len(toy.sent)
    sources = {e.source_topic for _, e, _ in toy.events(toy.event_topics[0])}
    assert sources == {toy.commands, f"toy.repartition{toy.suffix}"}
    (letter,) = toy.dead_letters()
    assert letter["value"] == b"garbage"
    toy.check_state()


def test_a_broadcast_is_read_to_its_end_before_the_first_decision(make_toy: ToyFactory) -> None:
    toy = make_toy()
    toy.producer.produce(toy.blocks, b"", b"counter-9")
    early = toy.send(toy.commands, "AddToCounter", "counter-9", {"amount": 1})
    toy.producer.flush()
    toy.start()
    toy.wait_until_done()
    toy.producer.produce(toy.blocks, b"", b"counter-8")
    toy.producer.flush()
    time.sleep(2)
    late = toy.send(toy.commands, "AddToCounter", "counter-8", {"amount": 1})
    free = toy.send(toy.commands, "AddToCounter", "counter-7", {"amount": 1})
    toy.producer.flush()
    toy.wait_until_done()
    toy.stop()
    toy.check()
    assert {e.causation_id for _, e, _ in toy.events(toy.event_topics[0])} == {free}
    reasons = [letter["reason"] for letter in toy.dead_letters()]
    assert sorted(reasons) == ["counter-8 is blocked", "counter-9 is blocked"]
    assert {early, late} <= toy.sent


def _foreign_bytes(number: int, schema: dict[str, Any]) -> bytes:
    """AddToCounter as somebody else writes it: with a field of their own."""
    out = io.BytesIO()
    out.write(b"\0" + number.to_bytes(4, "big"))
    header = {
        "message_id": "from-elsewhere", "message_type": "AddToCounter", "occurred_at": 1, "routing_id": "counter-3",
        "correlation_id": "", "causation_id": "", "trace_id": "", "span_id": "", "producer": "elsewhere",
    }  # fmt: skip
    payload = {"counter_id": "counter-3", "amount": 5, "colour": "red"}
    fastavro.schemaless_writer(out, fastavro.parse_schema(schema), {"header": header, "payload": payload})
    return out.getvalue()


def _foreign_schema() -> dict[str, Any]:
    schema: dict[str, Any] = schema_of(current("AddToCounter").id)
    schema = {**schema, "fields": [dict(field) for field in schema["fields"]]}
    payload = dict(schema["fields"][1]["type"])
    payload["fields"] = [*payload["fields"], {"name": "colour", "type": "string", "default": ""}]
    schema["fields"][1]["type"] = payload
    return schema


def test_a_foreign_schema_is_looked_up_in_the_registry() -> None:
    schema = _foreign_schema()
    decoded = MessageReader(lambda number: schema)(_foreign_bytes(1_000_001, schema))
    assert decoded.payload == {"counter_id": "counter-3", "amount": 5}


def test_a_registry_that_is_away_is_not_the_records_fault() -> None:
    def away(number: int) -> dict[str, Any]:
        raise ConnectionError("no answer")

    with pytest.raises(RegistryAway):
        MessageReader(away)(_foreign_bytes(1_000_001, _foreign_schema()))


def test_a_router_reads_what_its_system_reads() -> None:
    """Or the same record would be taken where partition counts agree, and refused where they differ."""
    schema, toy = _foreign_schema(), toy_system.build()
    asked: list[int] = []

    def away_at_first(number: int) -> dict[str, Any]:
        asked.append(number)
        if len(asked) == 1:
            raise ConnectionError("no answer")
        return schema

    value = _foreign_bytes(1_000_001, schema)
    router = MemoryKernel(router_of(toy, "toy.results"), {}, read=MessageReader(away_at_first))
    router.partition.place.partitions_of["toy.repartition"] = 1
    outcome = router.take("toy.results", value)
    assert outcome.letters == ()
    (forwarded,) = outcome.sent
    assert (forwarded.topic, forwarded.key, forwarded.value) == ("toy.repartition", b"counter-3", value)
    assert len(asked) == 2

    system = MemoryKernel(toy, {"blocks": frozenset}, 1, MessageReader(lambda number: schema))
    assert system.take("toy.repartition", forwarded.value, forwarded.key, forwarded.headers).events == 1


def test_a_router_refuses_what_nobody_can_read() -> None:
    def unknown(number: int) -> dict[str, Any]:
        raise UnknownSchema(f"schema id {number} is nowhere")

    router = MemoryKernel(router_of(toy_system.build(), "toy.results"), {}, read=MessageReader(unknown))
    (letter,) = router.take("toy.results", _foreign_bytes(1_000_001, _foreign_schema())).letters
    assert (letter["error_type"], letter["processor"]) == ("UnknownSchema", "toy.router.toy.results.0")
