"""Fixtures of the projections' tests: a log of the test's own and a database of its own."""

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from neural_hive.connectors.kafka_embedded import EmbeddedKafka
from neural_hive.projections.http_store import HttpStore
from tests.conftest import TopicFactory
from tests.fixtures_clickhouse import ClickHouseServer
from tests.projections.support import Follower, Log


@pytest.fixture
def log(kafka: EmbeddedKafka, topic_factory: TopicFactory) -> Log:
    return Log(kafka.bootstrap, topic_factory("tickets", 2), topic_factory("inputs", 2))


@contextmanager
def new_database(server: ClickHouseServer) -> Iterator[str]:
    """An empty database of its own, as long as somebody needs it."""
    name = f"db_{uuid.uuid4().hex[:8]}"
    store = HttpStore(server.host, server.port, server.user, server.password, name)
    store.create_database()
    yield name
    store.command(f"DROP DATABASE {name}")


@pytest.fixture
def database(clickhouse: ClickHouseServer) -> Iterator[str]:
    with new_database(clickhouse) as name:
        yield name


@pytest.fixture
def follower(log: Log, clickhouse: ClickHouseServer, database: str) -> Callable[..., Follower]:
    """Makes projectors over the same log and database."""
    return lambda **options: Follower(log, clickhouse, database, **options)


@pytest.fixture
def store(clickhouse: ClickHouseServer, database: str) -> HttpStore:
    """The database, for tests that need no projector."""
    return HttpStore(clickhouse.host, clickhouse.port, clickhouse.user, clickhouse.password, database)
