"""A toy system with an archive of its own."""

from collections.abc import Callable

import pytest

from tests.fixtures_clickhouse import ClickHouseServer
from tests.kernel.conftest import ToyFactory, make_toy, toy_schemas
from tests.projections.conftest import database
from tests.retention.archived_toy import PARTITIONS, ArchivedToy

__all__ = ["database", "make_toy", "toy_schemas"]

Make = Callable[[], ArchivedToy]


@pytest.fixture
def archived_toy(make_toy: ToyFactory, clickhouse: ClickHouseServer, database: str) -> ArchivedToy:
    return ArchivedToy(make_toy(PARTITIONS), clickhouse, database)
