"""A hive without a worker, and the API in front of it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from neural_hive.settings import Settings
from tests.api.making import PLENTY, Api, away
from tests.sdk.conftest import Hive, hive

__all__ = ["hive"]


@pytest.fixture(scope="package")
def api(hive: Hive) -> Iterator[Api]:
    """The API of the hive."""
    made = Api(hive.settings.model_copy(update=PLENTY))
    yield made
    made.services.close()


@pytest.fixture
def caller(api: Api) -> TestClient:
    """Somebody who may do everything."""
    return api.caller()


@pytest.fixture
def lonely(tmp_path: Path) -> Iterator[Api]:
    """An API whose servers are away."""
    made = Api(away(tmp_path))
    yield made
    made.services.close()


@pytest.fixture
def lonely_settings(tmp_path: Path) -> Settings:
    """Settings of servers that are not there."""
    return away(tmp_path)
