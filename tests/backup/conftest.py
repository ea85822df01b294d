"""Two clusters, and a log on the first one that is saved and restored on the second."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from neural_hive.connectors.kafka_embedded import EmbeddedKafka
from neural_hive.projections.http_store import HttpStore
from tests.backup.two_clusters import TwoClusters
from tests.conftest import TopicFactory
from tests.fixtures_clickhouse import ClickHouseServer
from tests.kernel.conftest import make_toy, toy_schemas
from tests.projections.conftest import database

__all__ = ["database", "make_toy", "toy_schemas"]


@pytest.fixture(scope="session")
def other_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedKafka]:
    """A second running broker."""
    with EmbeddedKafka(tmp_path_factory.mktemp("other-kafka")) as broker:
        yield broker


@pytest.fixture
def store(clickhouse: ClickHouseServer, database: str) -> HttpStore:
    """An empty database."""
    return HttpStore(clickhouse.host, clickhouse.port, clickhouse.user, clickhouse.password, database)


@pytest.fixture
def clusters(
    kafka: EmbeddedKafka,
    other_kafka: EmbeddedKafka,
    topic_factory: TopicFactory,
    store: HttpStore,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> TwoClusters:
    monkeypatch.setattr("neural_hive.projections.source._IDLE_MOVE_S", 0.2)  # or each restore waits for it
    return TwoClusters(kafka.bootstrap, other_kafka.bootstrap, topic_factory, store, tmp_path)
