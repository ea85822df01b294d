"""The toy's schemas as the build after the next one has them, and processes that know the one or the other."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest

from neural_hive.projections import source
from neural_hive.schemas import catalogue, codec
from tests.kernel.conftest import make_toy, toy_schemas
from tests.projections.conftest import database
from tests.toy.harness import SCHEMAS

__all__ = ["database", "make_toy", "toy_schemas"]

FIRST_RAISED = 100_002  # CounterRaised as it was at first
OLDEST = max(row["id"] for row in orjson.loads((SCHEMAS / "ids.json").read_bytes()))  # of the build before
SECOND = OLDEST + 1  # the last id of the build between
SIZE = {
    "type": "enum",
    "name": "Size",
    "namespace": "neural_hive",
    "symbols": ["UNKNOWN", "SMALL"],
    "default": "UNKNOWN",
}
Knowing = Callable[[Path], AbstractContextManager[None]]


@pytest.fixture(scope="session")
def newer_schemas(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The toy's schemas two versions later, frozen with the tool that everybody uses."""
    folder = tmp_path_factory.mktemp("newer") / "schemas"
    shutil.copytree(SCHEMAS, folder)
    _write(folder, "CounterRaised", _raised(SIZE))
    freeze(folder)
    _write(folder, "CounterRaised", _raised(SIZE | {"symbols": [*SIZE["symbols"], "LARGE"]}))
    _write(folder, "RaiseNoted", [{"name": "amount", "type": "long"}])
    freeze(folder)
    return folder


def _raised(size: dict[str, Any]) -> list[dict[str, Any]]:
    before = orjson.loads((SCHEMAS / "events" / "CounterRaised.avsc").read_bytes())["fields"]
    origin = {"name": "origin", "type": "string", "default": ""}
    return [*before, origin, {"name": "size", "type": size, "default": "UNKNOWN"}]


def _write(folder: Path, name: str, fields: list[dict[str, Any]]) -> None:
    text = {"type": "record", "name": name, "doc": f"{name}.", "topics": ["toy.counters"], "fields": fields}
    (folder / "events" / f"{name}.avsc").write_bytes(orjson.dumps(text))


def freeze(folder: Path) -> None:
    """Gives what is new in a folder its ids."""
    tool = [sys.executable, "-m", "neural_hive.schemas.freeze", "--folder", str(folder)]
    subprocess.run(tool, check=True, capture_output=True)


@pytest.fixture
def knowing() -> Knowing:
    """`with knowing(folder):` this process knows these schemas of the toy instead of its own."""

    @contextmanager
    def switched(folder: Path) -> Iterator[None]:
        before = os.environ[catalogue.FOLDERS_VARIABLE]
        os.environ[catalogue.FOLDERS_VARIABLE] = str(folder)
        _forget()
        try:
            yield
        finally:
            os.environ[catalogue.FOLDERS_VARIABLE] = before
            _forget()

    return switched


def _forget() -> None:
    for module in (catalogue, codec, source):
        for kept in vars(module).values():
            if hasattr(kept, "cache_clear") and getattr(kept, "__module__", "") == module.__name__:
                kept.cache_clear()
