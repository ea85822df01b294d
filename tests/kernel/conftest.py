"""The toy system for each test, on the session's broker."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from neural_hive.connectors.kafka_embedded import EmbeddedKafka
from neural_hive.schemas import catalogue
from tests.toy import harness

ToyFactory = Callable[..., "harness.Toy"]


@pytest.fixture(scope="session", autouse=True)
def toy_schemas() -> Iterator[None]:
    """The toy's schemas beside the project's own."""
    before = os.environ.get(catalogue.FOLDERS_VARIABLE)
    os.environ[catalogue.FOLDERS_VARIABLE] = str(harness.SCHEMAS)
    _forget()
    yield
    if before is None:
        del os.environ[catalogue.FOLDERS_VARIABLE]
    else:
        os.environ[catalogue.FOLDERS_VARIABLE] = before
    _forget()


def _forget() -> None:
    for cached in vars(catalogue).values():
        if hasattr(cached, "cache_clear"):
            cached.cache_clear()


@pytest.fixture
def make_toy(kafka: EmbeddedKafka, tmp_path: Path) -> Iterator[ToyFactory]:
    """`make_toy(partitions=4, bootstrap=…)`: a toy system whose workers end with the test."""
    made: list[harness.Toy] = []

    def make(
        partitions: int = 4, bootstrap: str | None = None, results_partitions: int | None = None
    ) -> harness.Toy:
        toy = harness.Toy(bootstrap or kafka.bootstrap, tmp_path, partitions, results_partitions)
        made.append(toy)
        return toy

    yield make
    for toy in made:
        toy.stop()
