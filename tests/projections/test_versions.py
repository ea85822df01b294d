"""Two versions of one event's schema in one range, and a record of a third that comes later."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from neural_hive.projections import source
from neural_hive.projections.archive import EVENTS, TABLE_SETTINGS
from neural_hive.projections.http_store import HttpStore
from neural_hive.projections.projection import Column, Projection
from neural_hive.projections.read_models import prepare
from neural_hive.schemas import catalogue, codec
from neural_hive.schemas.codec import encode_event
from tests.fixtures_clickhouse import ClickHouseServer
from tests.projections.grammar import given
from tests.projections.support import envelope

FIRST_ID = 300_000
PLAIN = [{"name": "crate_id", "type": "string"}, {"name": "place", "type": "string"}]
WEIGHT = {"name": "weight_g", "type": "long", "default": 0, "doc": "x"}
SEAL = {
    "name": "seals",
    "type": {
        "type": "array",
        "items": {
            "type": "record",
            "name": "Seal",
            "namespace": "neural_hive",
            "doc": "x",
            "fields": [
                {"name": "mark", "type": "bytes"},
                {"name": "note", "type": ["null", "string"], "default": None},
            ],
        },
    },
    "default": [],
    "doc": "x",
}

CRATES = Projection(
    name="crates",
    source=EVENTS,
    types=("CrateMoved",),
    key=(Column("crate_id"),),
    columns=(
        Column("place"),
        Column("weight_g", "Int64"),
        Column("seals", "Array(Tuple(mark String, note String))"),
    ),
)


@pytest.fixture
def register(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Registers one more version of CrateMoved, with the tool that everybody uses."""
    folder = tmp_path / "schemas"
    for name in ("events", "messages", "types"):
        (folder / name).mkdir(parents=True)
    (folder / "first-id").write_text(str(FIRST_ID))

    def add(*fields: dict[str, Any]) -> None:
        text = {
            "type": "record",
            "name": "CrateMoved",
            "doc": "x",
            "topics": ["toy.crates"],
            "fields": list(fields),
        }
        (folder / "events" / "CrateMoved.avsc").write_bytes(orjson.dumps(text))
        tool = [sys.executable, "-m", "neural_hive.schemas.freeze", "--folder", str(folder)]
        subprocess.run(tool, check=True, capture_output=True)
        more = os.environ.get(catalogue.FOLDERS_VARIABLE, "")
        if str(folder) not in more:
            monkeypatch.setenv(catalogue.FOLDERS_VARIABLE, os.pathsep.join(filter(None, (more, str(folder)))))
        _forget()

    yield add
    monkeypatch.undo()
    _forget()


def _forget() -> None:
    for module in (catalogue, codec, source):
        for kept in vars(module).values():
            if hasattr(kept, "cache_clear") and getattr(kept, "__module__", "") == module.__name__:
                kept.cache_clear()


def _moved(crate: str, version: int, **payload: Any) -> bytes:
    return encode_event(
        envelope("CrateMoved", crate, version), {"crate_id": crate, "place": "dock", **payload}
    )


def test_versions_of_a_schema_stand_side_by_side_in_one_range(
    register: Callable[..., None], clickhouse: ClickHouseServer, database: str
) -> None:
    store = HttpStore(clickhouse.host, clickhouse.port, clickhouse.user, clickhouse.password, database)
    register(*PLAIN)
    old = _moved("a", 1)
    register(*PLAIN, WEIGHT)
    newer = _moved("a", 2, weight_g=70)
    register(*PLAIN, WEIGHT, SEAL)
    newest = _moved("a", 3, weight_g=80, seals=[{"mark": b"\xff", "note": None}])
    assert len({int.from_bytes(value[1:5], "big") for value in (old, newer, newest)}) == 3

    archive = given(store, old, newer, newest, old)
    prepare(store, (CRATES,))
    archive.then_rows(
        CRATES,
        {"version": 1, "place": "dock", "weight_g": None, "seals": []},
        {"version": 2, "place": "dock", "weight_g": 70, "seals": []},
        {"version": 3, "place": "dock", "weight_g": 80, "seals": [{"mark": "/w==", "note": ""}]},
        {"version": 1, "place": "dock", "weight_g": None, "seals": []},
    )
    assert store.rows("SELECT place, weight_g, version FROM crates") == [("dock", 80, 3)]


def test_an_archive_that_another_build_made_gets_the_settings_of_this_one(
    clickhouse: ClickHouseServer, database: str
) -> None:
    store = HttpStore(clickhouse.host, clickhouse.port, clickhouse.user, clickhouse.password, database)
    store.command(EVENTS.ddl.replace(TABLE_SETTINGS, "fsync_after_insert = 1"))

    prepare(store, ())
    settings = _settings(store)
    assert all(wanted in settings for wanted in TABLE_SETTINGS.split(", ")), settings
    prepare(store, ())
    assert _settings(store) == settings


def _settings(store: HttpStore) -> list[str]:
    [(engine,)] = store.rows(
        "SELECT engine_full FROM system.tables WHERE database = currentDatabase() AND name = 'events'"
    )
    return str(engine).partition("SETTINGS ")[2].split(", ")
