"""What is read by hand is what check and decoder read, and what they refuse is refused, whatever the bytes."""

import random
from typing import Any

import msgspec
import pytest

from neural_hive.schemas import codec
from neural_hive.schemas.catalogue import registered, schema_of
from neural_hive.schemas.codec import BadRecord, Decoded, decode, encode_event
from neural_hive.schemas.envelope import Envelope
from tests.schemas.samples import fixed

SEED = 17
MUTATIONS = 4_000
EVENTS = [row for row in registered().values() if row.kind == "event"]


def _event(name: str, version: int, **changed: Any) -> bytes:
    newest = codec.current(name)
    payload = fixed(schema_of(newest.id)["fields"][1]["type"])
    head = Envelope(
        name,
        "ticket",
        newest.version,
        "logic",
        "orchestrator",
        "9e0d0d5c-5a7c-5c7b-8f0e-3a1f6d3b9a11",
        "Grüße → 蜂",
        version,
        1_700_000_000_123_456,
        "workflow-1",
        "message-1",
        "0" * 32,
        "1" * 16,
        version,
        "plans.consensus",
        3,
        1 << 40,
        bytes(range(32)),
    )
    return encode_event(msgspec.structs.replace(head, **changed), payload)


def _slowly(value: bytes) -> Decoded:
    """By check and decoder alone."""
    record = codec._read(value, reader := codec._reader(codec.schema_id(value)))
    return Decoded(reader.row, Envelope(**record["envelope"]), record["payload"])


def _outcome(read: Any, value: bytes) -> Any:
    try:
        return read(value)
    except BadRecord:
        return "refused"


@pytest.mark.parametrize("name", sorted({row.name for row in EVENTS}))
def test_the_events_of_every_schema(name: str) -> None:
    values = [_event(name, version) for version in (1, 2, 3, 1 << 40)]
    values += [_event(name, 4, producer="another"), _event(name, 5), _event(name, 6, event_id="x" * 200)]
    assert [decode(value, "event") for value in values] == [_slowly(value) for value in values]
    reader = codec._reader(codec.current(name).id)
    assert reader.envelopes is not None and reader.envelopes.read(values[0]) is not None


def test_numbers_that_are_odd_in_any_way_are_left_to_the_others() -> None:
    decode(_event("TicketReady", 1), "event")
    reader = codec._reader(codec.current("TicketReady").id)
    assert reader.envelopes is not None
    for odd in ({"sequence": -1}, {"occurred_at": -5}, {"source_partition": -1}):
        value = _event("TicketReady", 1, **odd)
        assert reader.envelopes.read(value) is None
        assert decode(value, "event") == _slowly(value)


def test_mutated_bytes() -> None:
    chance = random.Random(SEED)
    good = _event("TicketReady", 1)
    refused = 0
    for _ in range(MUTATIONS):
        decode(good, "event")  # so that how it begins is known
        value = bytearray(good)
        for _ in range(chance.randint(1, 3)):
            value[chance.randrange(5, len(value))] = chance.choice(
                (0, 1, 0x7F, 0x80, 0xFF, chance.randrange(256))
            )
        mutated = bytes(value[: chance.randint(6, len(value))] if chance.random() < 0.2 else value)
        found = _outcome(lambda raw: decode(raw, "event"), mutated)
        assert found == _outcome(_slowly, mutated), mutated.hex()
        refused += found == "refused"
    assert MUTATIONS / 4 < refused < MUTATIONS
