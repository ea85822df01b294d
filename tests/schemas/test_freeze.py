"""What is registered stays as it is, and what changes stays readable both ways."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from neural_hive.schemas import freeze
from neural_hive.schemas.freeze import BadSource
from tests.schemas.conftest import THING_FIELDS, Write

ID = {"name": "thing_id", "type": "string"}
OPTIONAL = {"name": "note", "type": "string", "default": ""}


def test_a_source_gets_an_id_once(folder: Path, write: Write) -> None:
    write("ThingMade", THING_FIELDS)
    write("MakeThing", [ID], kind="message")
    assert [(row.id, row.name, row.kind) for row in freeze.freeze(folder)] == [
        (900000, "ThingMade", "event"),
        (900001, "MakeThing", "message"),
    ]
    assert freeze.freeze(folder) == []
    assert freeze.kept_problems(folder) == []


def test_an_optional_field_is_a_new_version_under_a_new_id(folder: Path, write: Write) -> None:
    write("ThingMade", [ID])
    freeze.freeze(folder)
    write("ThingMade", [ID, OPTIONAL])
    (row,) = freeze.freeze(folder)
    assert (row.id, row.version) == (900001, 2)
    assert freeze.kept_problems(folder) == []


def test_a_new_topic_keeps_the_id(folder: Path, write: Write) -> None:
    write("ThingMade", [ID])
    freeze.freeze(folder)
    write("ThingMade", [ID], topics=("toy.topic", "other.topic"))
    (row,) = freeze.freeze(folder)
    assert (row.id, row.version, row.topics) == (900000, 1, ("toy.topic", "other.topic"))
    write("ThingMade", [ID])
    with pytest.raises(BadSource, match=r"other\.topic: a topic can be added, not taken away"):
        freeze.freeze(folder)


ENUM = {
    "type": "enum",
    "name": "Size",
    "namespace": "neural_hive",
    "symbols": ["UNKNOWN", "S"],
    "default": "UNKNOWN",
}
LARGER = ENUM | {"symbols": ["UNKNOWN", "S", "L"]}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ([ID, {"name": "size", "type": ENUM}], [ID, {"name": "size", "type": LARGER}]),
        ([ID, OPTIONAL], [ID]),
    ],
    ids=["a symbol added", "an optional field removed"],
)
def test_compatible_changes(folder: Path, write: Write, before: list[Any], after: list[Any]) -> None:
    write("ThingMade", before)
    freeze.freeze(folder)
    write("ThingMade", after)
    assert [row.version for row in freeze.freeze(folder)] == [2]


def _size(kind: Any) -> list[Any]:
    return [ID, {"name": "inner", "type": {"type": "array", "items": _inner(kind)}}]


def _inner(kind: Any) -> dict[str, Any]:
    fields = [{"name": "other", "type": "string"}, {"name": "size", "type": kind}]
    return {"type": "record", "name": "Inner", "namespace": "neural_hive", "doc": "Inner.", "fields": fields}


@pytest.mark.parametrize(
    ("before", "after", "field"),
    [
        ([ID], [ID, {"name": "note", "type": "string"}], "payload.note"),
        ([ID, {"name": "note", "type": "string"}], [ID], "payload.note"),
        ([{"name": "n", "type": "int"}], [{"name": "n", "type": "long"}], "payload.n"),
        ([{"name": "n", "type": "string"}], [{"name": "n", "type": "bytes"}], "payload.n"),
        ([{"name": "n", "type": "long"}], [{"name": "n", "type": ["null", "long"]}], "payload.n"),
        (
            [{"name": "at", "type": "long"}],
            [{"name": "at", "type": {"type": "long", "logicalType": "timestamp-micros"}}],
            "payload.at",
        ),
        (_size("int"), _size("string"), r"payload.inner\[\].size"),
        ([{"name": "s", "type": ENUM}], [{"name": "s", "type": ENUM | {"name": "Extent"}}], "payload.s"),
        ([{"name": "s", "type": ENUM}], [{"name": "s", "type": ENUM | {"namespace": "other"}}], "payload.s"),
    ],
)
def test_a_breaking_change_is_refused_by_field_and_version(
    folder: Path, write: Write, before: list[Any], after: list[Any], field: str
) -> None:
    write("ThingMade", before)
    freeze.freeze(folder)
    kept = {
        path: path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.parent.name != "events"
    }
    write("ThingMade", after)
    with pytest.raises(BadSource, match=rf"ThingMade version 2 .* version 1 \(id 900000\).*field {field}"):
        freeze.freeze(folder)
    assert {path: path.read_bytes() for path in kept} == kept


def test_every_earlier_version_counts(folder: Path, write: Write) -> None:
    """A field that left and comes back with another type fits the last version, and not the first."""
    write("ThingMade", [ID, OPTIONAL])
    freeze.freeze(folder)
    write("ThingMade", [ID])
    freeze.freeze(folder)
    write("ThingMade", [ID, {"name": "note", "type": "long", "default": 0}])
    with pytest.raises(
        BadSource, match=r"version 3 does not fit version 1 \(id 900000\): field payload\.note"
    ):
        freeze.freeze(folder)


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ([{"name": "x", "type": {"type": "array", "items": "null"}}], r"payload\.x\[\]: type null"),
        ([{"name": "x", "type": ["null", "string", "long"]}], "only unions"),
        ([{"name": "x", "type": ["string", "null"]}], "only unions"),
        ([{"name": "x", "type": ENUM | {"default": "S"}}], "needs UNKNOWN as its first symbol"),
        ([{"name": "x", "type": {k: v for k, v in ENUM.items() if k != "default"}}], "needs UNKNOWN"),
        ([{"name": "x", "type": {k: v for k, v in ENUM.items() if k != "namespace"}}], "needs a namespace"),
        ([{"name": "x", "type": "float"}], "type float is not allowed"),
        ([{"name": "x", "type": {"type": "fixed", "name": "F", "namespace": "n", "size": 0}}], "type fixed"),
        (
            [{"name": "x", "type": {"type": "array", "items": _inner("int") | {"fields": []}}}],
            "has no fields",
        ),
        ([{"name": "x", "type": _inner("int") | {"doc": ""}}], "has no doc"),
        ([{"name": "x", "type": _inner(["null", "neural_hive.Inner"])}], "contains itself"),
        ([{"name": "x", "type": "Nowhere"}], "not an Avro schema"),
        ([{"name": "x"}], "not an Avro schema"),
        ([{"name": "x y", "type": "string"}], "'x y' is not a name"),
        ([{"name": "x", "type": ENUM | {"symbols": ["UNKNOWN", "3"]}}], "enum symbol must be a valid"),
        ([{"name": "x", "type": "string", "default": 5}], "the default 5 is not a value"),
        ([{"name": "x", "type": "int", "default": 2**31}], "the default 2147483648 is not"),
        ([{"name": "x", "type": ENUM, "default": "XL"}], "the default 'XL' is not"),
        ([{"name": "x", "type": ["null", "string"], "default": ""}], "the default '' is not"),
        ([{"name": "x", "type": {"type": "array", "items": "long"}, "default": [True]}], r"\[True\] is not"),
        ([{"name": "x", "type": _inner("int"), "default": {"other": "", "size": ""}}], "is not a value"),
        ([{"name": "x", "type": {"type": "string", "logicalType": "uuid"}}], "logical type uuid of string"),
    ],
)
def test_shapes_that_are_not_allowed(folder: Path, write: Write, fields: list[Any], why: str) -> None:
    write("ThingMade", fields)
    with pytest.raises(BadSource, match=why):
        freeze.freeze(folder)
    assert not (folder / "ids.json").exists()


def _check(folder: Path) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "neural_hive.schemas.freeze", "--check", "--folder", str(folder)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def test_check_on_the_command_line(folder: Path, write: Write) -> None:
    write("ThingMade", [ID])
    code, text = _check(folder)
    assert code == 1
    assert "run python -m neural_hive.schemas.freeze" in text
    freeze.freeze(folder)
    assert _check(folder) == (0, "")
    (folder / "events" / "ThingMade.avsc").write_text("{")
    code, text = _check(folder)
    assert code == 1
    assert "not JSON" in text
    assert "Traceback" not in text


def test_edited_lost_and_stray_files_are_found(folder: Path, write: Write) -> None:
    write("ThingMade", [ID])
    freeze.freeze(folder)
    kept = folder / "registered" / "900000.avsc"
    text = kept.read_text()
    kept.write_text(text.replace("What ThingMade", "what ThingMade"))
    assert "was edited" in freeze.kept_problems(folder)[0]
    kept.rename(folder / "registered" / "900009.avsc")
    assert [("is missing" in why, "no row" in why) for why in freeze.kept_problems(folder)] == [
        (True, False),
        (False, True),
    ]


def test_an_id_given_twice_is_found(folder: Path, write: Write) -> None:
    write("ThingMade", [ID])
    write("ThingSold", [ID])
    freeze.freeze(folder)
    ids = folder / "ids.json"
    ids.write_text(ids.read_text().replace("900001", "900000"))
    assert any("given to ThingMade and to ThingSold" in why for why in freeze.kept_problems(folder))
