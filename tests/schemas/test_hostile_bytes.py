"""Whatever bytes arrive, decoding ends soon, in little memory, with a record or with BadRecord."""

import io
import subprocess
import sys
import textwrap
from typing import Any

import fastavro
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from neural_hive.schemas import catalogue, codec, freeze
from neural_hive.schemas.catalogue import Registered, UnknownSchema
from neural_hive.schemas.codec import FRAME_BYTES, BadRecord
from neural_hive.schemas.strict import NotADatum, check, compiled
from tests.schemas import samples
from tests.schemas.conftest import THING_FIELDS, Write

ROWS = sorted(catalogue.registered().values(), key=lambda row: row.id)


def good_bytes(row: Registered) -> bytes:
    out = io.BytesIO()
    fastavro.schemaless_writer(out, catalogue.parsed(row.id), samples.fixed(catalogue.schema_of(row.id)))
    return b"\0" + row.id.to_bytes(4, "big") + out.getvalue()


def read_or_refuse(row: Registered, value: bytes) -> bool:
    """True if the bytes were a record: then it is whole, and can be written and read again as the same."""
    try:
        decoded = codec.decode(value, row.kind)
    except BadRecord as error:
        assert row.name in str(error)
        return False
    out = io.BytesIO()
    head = {name: getattr(decoded.head, name) for name in decoded.head.__struct_fields__}
    name = "envelope" if row.kind == "event" else "header"
    fastavro.schemaless_writer(out, catalogue.parsed(row.id), {name: head, "payload": decoded.payload})
    again = codec.decode(value[:FRAME_BYTES] + out.getvalue(), row.kind)
    assert repr(again) == repr(decoded)
    return True


@settings(max_examples=300)
@given(
    st.sampled_from(ROWS),
    st.lists(st.tuples(st.floats(0, 0.999999), st.integers(0, 7)), min_size=1, max_size=4),
)
def test_flipped_bits(row: Registered, flips: list[tuple[float, int]]) -> None:
    value = bytearray(good_bytes(row))
    for place, bit in flips:
        value[FRAME_BYTES + int(place * (len(value) - FRAME_BYTES))] ^= 1 << bit
    read_or_refuse(row, bytes(value))


@settings(max_examples=300)
@given(st.sampled_from(ROWS), st.floats(0, 0.999999), st.binary(max_size=30))
def test_bytes_put_in_place_of_others(row: Registered, place: float, other: bytes) -> None:
    value = good_bytes(row)
    at = FRAME_BYTES + int(place * (len(value) - FRAME_BYTES))
    read_or_refuse(row, value[:at] + other + value[at + len(other) :])
    read_or_refuse(row, value[:at] + other + value[at:])


@settings(max_examples=300)
@given(st.sampled_from(ROWS), st.binary(max_size=300))
def test_random_bytes(row: Registered, body: bytes) -> None:
    read_or_refuse(row, b"\0" + row.id.to_bytes(4, "big") + body)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.id} {row.name}")
def test_every_cut_and_every_tail_is_refused(row: Registered) -> None:
    value = good_bytes(row)
    assert read_or_refuse(row, value)
    for length in range(FRAME_BYTES, len(value)):
        assert not read_or_refuse(row, value[:length])
    assert not read_or_refuse(row, value + b"\0")


@given(st.binary(max_size=40))
@example(b"")
@example(b"\0\0\0\0")
@example(b"{}")
def test_what_has_no_known_schema_is_refused(value: bytes) -> None:
    assume(value[:4] != b"\0\0\0\0" or len(value) < FRAME_BYTES)
    with pytest.raises((BadRecord, UnknownSchema)):
        codec.decode(value, "message")


def test_an_unknown_id_and_the_other_kind_are_told_apart() -> None:
    with pytest.raises(UnknownSchema, match="4294967295"):
        codec.decode(b"\0\xff\xff\xff\xff", "event")
    event = next(row for row in ROWS if row.kind == "event")
    with pytest.raises(BadRecord, match="expected kind: message"):
        codec.decode(good_bytes(event), "message")


ENUM = {"type": "enum", "name": "E", "symbols": ["UNKNOWN", "A"], "default": "UNKNOWN"}
STRINGS = {"type": "array", "items": "string"}
TEN = b"\xff" * 9


@pytest.mark.parametrize(
    ("schema", "data", "why"),
    [
        ("string", b"\x01abc", "negative length"),
        ("bytes", b"\x03abc", "negative length"),
        ("string", b"\xfe\xff\xff\xff\x0fabc", "bytes are missing"),
        ("string", TEN, "in mid-value"),
        ("long", TEN + b"\x80\x01", "more than ten bytes"),
        ("long", TEN + b"\x02", "more than 64 bits"),
        ("int", b"\x80\x80\x80\x80\x10", "more than 32 bits"),
        ("boolean", b"\x02", "neither 0 nor 1"),
        ("boolean", b"\x80\0", "neither 0 nor 1"),
        ("double", b"\0" * 7, "1 bytes are missing"),
        (ENUM, b"\x01", "enum symbol -1 of 2"),
        (ENUM, b"\x04", "enum symbol 2 of 2"),
        (["null", "string"], b"\x01", "union branch -1 of 2"),
        (["null", "string"], b"\x04", "union branch 2 of 2"),
        (STRINGS, b"\xfe\xff\xff\xff\x0f\0\0", "more than 1000000 values"),
        (STRINGS, b"\xfd\xff\xff\xff\x0f\x02\0\0", "more than 1000000 values"),
        (STRINGS, TEN + b"\x01\x02\0", "more than 1000000 values"),
        (STRINGS, b"\x03\x08\0\0\0", "a block of 2 bytes says it has 4"),
        (STRINGS, b"\x02\0", "in mid-value"),
        ({"type": "map", "values": "string"}, codec.avro_long(500_001) + b"\0\0", "more than 1000000 values"),
        (STRINGS, b"\0\0", "1 bytes too many"),
    ],
)
def test_known_tricks(schema: Any, data: bytes, why: str) -> None:
    with pytest.raises(NotADatum, match=why):
        check(compiled(schema), data, 0)


@given(st.lists(st.lists(st.text(max_size=5), min_size=1, max_size=4), max_size=4), st.booleans())
def test_arrays_in_blocks_are_read(blocks: list[list[str]], sized: bool) -> None:
    """Other languages write an array in several blocks, with or without their sizes."""
    data = b""
    for block in blocks:
        body = b"".join(codec.avro_string(text) for text in block)
        lead = (
            bytes((len(block) * 2 - 1,)) + codec.avro_long(len(body)) if sized else bytes((len(block) * 2,))
        )
        data += lead + body
    data += b"\0"
    check(compiled(STRINGS), data, 0)
    read = fastavro.schemaless_reader(io.BytesIO(data), fastavro.parse_schema(STRINGS), None)
    assert read == [text for block in blocks for text in block]


@given(st.data())
def test_every_datum_passes(data: st.DataObject) -> None:
    schema = catalogue.schema_of(data.draw(st.sampled_from(ROWS)).id)
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(schema), data.draw(samples.values(schema)))
    check(compiled(schema), out.getvalue(), 0)


def test_text_that_is_not_utf8_is_refused(folder: Any, write: Write, in_force: Any) -> None:
    write("ThingMade", THING_FIELDS, kind="message")
    freeze.freeze(folder)
    in_force()
    value = good_bytes(catalogue.current("ThingMade"))
    text = "Grüße".encode()
    for at in range(len(value)):
        if value[at : at + len(text)] == text:
            broken = value[: at + 2] + b"\xff" + value[at + 3 :]
            with pytest.raises(BadRecord, match="UnicodeDecodeError"):
                codec.decode(broken, "message")


def test_the_largest_inputs_stay_small_and_quick() -> None:
    """Eight megabytes of the smallest possible tasks, of empty texts and of map entries, under a limit."""
    done = subprocess.run(
        [sys.executable, "-c", WORST], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.split() == ["refused", "refused", "refused", "read"]


WORST = textwrap.dedent("""
    import io, resource, time

    import fastavro

    from neural_hive.schemas import catalogue, codec
    from tests.schemas import samples

    row = catalogue.current("DecisionConsolidated")
    schema = catalogue.schema_of(row.id)
    tasks = schema["fields"][1]["type"]["fields"][-1]
    assert tasks["name"] == "tasks"
    record = samples.fixed(schema)
    record["payload"]["tasks"] = []
    out = io.BytesIO()
    fastavro.schemaless_writer(out, catalogue.parsed(row.id), record)
    lead = b"\\0" + row.id.to_bytes(4, "big") + out.getvalue()[:-1]
    codec.decode(lead + b"\\0", "message")

    task_bytes = len(tasks["type"]["items"]["fields"])
    room = 8 * 1024 * 1024 - len(lead) - 64
    before_its_first_array = bytes(3)

    def all_of_the_smallest(count):
        return codec.avro_long(count) + bytes(task_bytes * count) + b"\\0"

    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for tail in (
        all_of_the_smallest(room // task_bytes),
        codec.avro_long(1) + before_its_first_array + codec.avro_long(room) + bytes(room),
        codec.avro_long(2**62),
        all_of_the_smallest(900_000 // task_bytes),
    ):
        start = time.process_time()
        try:
            codec.decode(lead + tail, "message")
            print("read")
        except codec.BadRecord:
            print("refused")
        assert time.process_time() - start < 5, time.process_time() - start
    grown_mb = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - used) // 1024
    assert grown_mb < 250, f"{grown_mb} MB"
""")
