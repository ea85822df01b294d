"""Schema folders of their own, for tests that change sources."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import settings

from neural_hive.schemas import catalogue, codec

Write = Callable[..., Path]

# A machine that does other things too is slow now and then; that is no fault of the example.
settings.register_profile("shared machine", deadline=None)
settings.load_profile("shared machine")

COLOUR: dict[str, Any] = {
    "type": "enum",
    "name": "Colour",
    "namespace": "neural_hive",
    "symbols": ["UNKNOWN", "RED", "GREEN"],
    "default": "UNKNOWN",
}
PART: dict[str, Any] = {
    "type": "record",
    "name": "Part",
    "namespace": "neural_hive",
    "doc": "A part of a thing.",
    "fields": [{"name": "label", "type": "string"}, {"name": "colour", "type": "neural_hive.Colour"}],
}
THING_FIELDS: list[dict[str, Any]] = [
    {"name": "thing_id", "type": "string"},
    {"name": "colour", "type": "neural_hive.Colour"},
    {"name": "parts", "type": {"type": "array", "items": "neural_hive.Part"}},
    {"name": "texts", "type": {"type": "map", "values": "string"}},
    {"name": "labels", "type": {"type": "array", "items": "string"}},
    {"name": "exit_code", "type": ["null", "int"], "default": None},
    {"name": "big", "type": "long"},
    {"name": "ratio", "type": "double"},
    {"name": "done", "type": "boolean"},
    {"name": "raw", "type": "bytes"},
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty folder of schema sources with the shared types Colour and Part."""
    for name in ("events", "messages", "types"):
        (tmp_path / name).mkdir()
    for shared in (COLOUR, PART):
        (tmp_path / "types" / f"{shared['name']}.avsc").write_bytes(orjson.dumps(shared))
    (tmp_path / "first-id").write_text("900000")
    return tmp_path


@pytest.fixture
def write(folder: Path) -> Write:
    """Writes one source: write(name, fields, kind="event", topics=(…,))."""

    def source(
        name: str, fields: list[dict[str, Any]], kind: str = "event", topics: tuple[str, ...] = ("toy.topic",)
    ) -> Path:
        path = folder / f"{kind}s" / f"{name}.avsc"
        text = {
            "type": "record",
            "name": name,
            "doc": f"What {name} means.",
            "topics": topics,
            "fields": fields,
        }
        path.write_bytes(orjson.dumps(text))
        return path

    return source


@pytest.fixture
def in_force(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes what the folder has registered known to codec and catalogue, as another system's schemas are."""

    def forget() -> None:
        for kept in (
            catalogue._located,
            catalogue.registered,
            catalogue.current,
            catalogue.schema_of,
            catalogue.parsed,
            catalogue.parsed_payload,
            codec._reader,
        ):
            kept.cache_clear()

    def load() -> None:
        monkeypatch.setenv(catalogue.FOLDERS_VARIABLE, str(folder))
        forget()

    yield load
    monkeypatch.undo()
    forget()
