"""Applications of their own on the session's broker: each name is used once."""

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from eventsourcing.utils import Environment

from neural_hive.connectors.kafka_embedded import EmbeddedKafka
from neural_hive.eventsourcing.factory import Factory

MODULE = "neural_hive.eventsourcing"
EnvironmentOf = Callable[..., Environment]
FactoryOf = Callable[..., Factory]


@pytest.fixture
def variables(kafka: EmbeddedKafka, tmp_path: Path) -> dict[str, str]:
    """What a user sets."""
    return {
        "PERSISTENCE_MODULE": MODULE,
        "NEURAL_HIVE_KAFKA_BOOTSTRAP": kafka.bootstrap,
        "NEURAL_HIVE_DATA": str(tmp_path / "data"),
    }


@pytest.fixture
def name() -> str:
    """An application that nobody has had before."""
    return f"App-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def factory_of(variables: dict[str, str], name: str) -> Iterator[FactoryOf]:
    """`factory_of(data=…)`: a factory of the application; another data folder stands for another machine."""
    made: list[Factory] = []

    def make(data: Path | None = None) -> Factory:
        given = variables | ({"NEURAL_HIVE_DATA": str(data)} if data else {})
        made.append(Factory(Environment(name, given)))
        return made[-1]

    yield make
    for factory in made:
        factory.close()
