"""The example servers fit together with the settings; they are read here, not run."""

from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import pytest
import yaml

from neural_hive.connectors.kafka_admin import OFFSETS_RETENTION_MIN
from neural_hive.settings import Settings, load_settings
from tests.docs.pages import ROOT


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    return dict(yaml.safe_load((ROOT / "docker-compose.yaml").read_text())["services"])


@pytest.fixture(scope="module")
def settings() -> Settings:
    return load_settings(ROOT / "deploy" / "servers.toml", running=False, data=Path("unused"))


def published(service: dict[str, Any]) -> int:
    (port,) = service["ports"]
    host, outside, _ = port.split(":")
    assert host == "127.0.0.1"
    return int(outside)


def test_nothing_is_started_here_with_these_settings(settings: Settings) -> None:
    for name in ("kafka_bootstrap", "clickhouse_host", "clickhouse_port", "schema_registry_url"):
        assert settings.is_given(name)


def test_addresses_are_those_of_the_services(services: dict[str, Any], settings: Settings) -> None:
    assert published(services["kafka"]) == int(settings.kafka_bootstrap.rpartition(":")[2])
    assert published(services["clickhouse"]) == settings.clickhouse_port
    assert published(services["schema-registry"]) == urlparse(settings.schema_registry_url).port
    advertised = services["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"]
    assert f"OUTSIDE://{settings.kafka_bootstrap}" in advertised.split(",")


def test_what_the_system_needs_of_the_servers(services: dict[str, Any], settings: Settings) -> None:
    kafka, clickhouse = services["kafka"]["environment"], services["clickhouse"]["environment"]
    assert kafka["KAFKA_OFFSETS_RETENTION_MINUTES"] == OFFSETS_RETENTION_MIN
    assert clickhouse["CLICKHOUSE_USER"] == settings.clickhouse_user
    assert clickhouse["CLICKHOUSE_DB"] == settings.clickhouse_database
    assert not settings.clickhouse_password, "a password does not belong in a file"
