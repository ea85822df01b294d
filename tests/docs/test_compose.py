"""The example servers fit together with the settings; they are read here, not run."""

import hashlib
import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import pytest
import yaml
from pydantic import SecretStr

from neural_hive.api.services import Services
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


def mounted(service: dict[str, Any]) -> dict[str, Path]:
    """What of the repository a service sees, by its own path for it."""
    parts = [volume.split(":") for volume in service.get("volumes", [])]
    return {inside: ROOT / outside for outside, inside, *_ in parts if outside.startswith("./")}


def test_the_file_is_one(services: dict[str, Any]) -> None:
    whole = yaml.safe_load((ROOT / "docker-compose.yaml").read_text())
    assert set(services) == {"kafka", "clickhouse", "schema-registry", "prometheus", "grafana"}
    named = set()
    for name, service in services.items():
        assert re.fullmatch(r"[\w./-]+:v?\d+(\.\d+)+", service["image"]), f"{name}: an image with its version"
        assert set(service.get("depends_on", {})) <= set(services)
        named |= {v.split(":")[0] for v in service.get("volumes", []) if not v.startswith("./")}
        assert all(path.exists() for path in mounted(service).values()), name
        for waited, how in service.get("depends_on", {}).items():
            assert how == {"condition": "service_healthy"} and services[waited]["healthcheck"]
    assert named == set(whole["volumes"])


def test_ports_are_taken_once(services: dict[str, Any], settings: Settings) -> None:
    ours = [settings.api_port, *(settings.metrics_port + number for number in range(len(targets())))]
    theirs = [published(service) for service in services.values() if "ports" in service]
    listening = [prometheus_port(services), services["grafana"]["environment"]["GF_SERVER_HTTP_PORT"]]
    assert len({*ours, *theirs, *listening}) == len(ours + theirs + listening)


def test_a_password_is_asked_for_and_never_written(services: dict[str, Any]) -> None:
    secret = {
        name: value
        for service in services.values()
        for name, value in service.get("environment", {}).items()
        if "PASSWORD" in name
    }
    assert secret.keys() == {"CLICKHOUSE_PASSWORD", "CLICKHOUSE_API_PASSWORD", "GF_SECURITY_ADMIN_PASSWORD"}
    head = (ROOT / "docker-compose.yaml").read_text().partition("services:")[0]
    for value in secret.values():
        found = re.fullmatch(r"\$\{(\w+):\?[^}]+\}", value)
        assert found and found[1] in head, "who starts it is told of it"
    given = re.findall(r"NEURAL_HIVE_(\w+)=", head)
    assert given and {name.lower() for name in given} <= Settings.model_fields.keys()


def test_the_api_reads_as_a_user_that_is_made(
    services: dict[str, Any], settings: Settings, tmp_path: Path
) -> None:
    files = mounted(services["clickhouse"])
    script = files["/docker-entrypoint-initdb.d/make-readers.sh"]
    assert os.access(script, os.X_OK)
    assert (
        f"CREATE USER IF NOT EXISTS {settings.clickhouse_api_user}\n"
        in files["/etc/neural-hive/readers.sql"].read_text()
    )
    client = tmp_path / "clickhouse-client"
    client.write_text('#!/bin/sh\nprintf "%s\\n" "$*" >> "$ASKED"\n')
    client.chmod(0o700)
    password = "it's $secret"
    given = {
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "ASKED": str(tmp_path / "asked"),
        "CLICKHOUSE_USER": settings.clickhouse_user,
        "CLICKHOUSE_PASSWORD": "of ingest",
        "CLICKHOUSE_API_PASSWORD": password,
    }
    subprocess.run([script], env=given, check=True, timeout=30)
    readers, user = (tmp_path / "asked").read_text().splitlines()
    assert readers.endswith("--queries-file /etc/neural-hive/readers.sql") and "--user ingest" in readers
    digest = hashlib.sha256(password.encode()).hexdigest()
    assert user.endswith(
        f"ALTER USER {settings.clickhouse_api_user} IDENTIFIED WITH sha256_hash BY '{digest}'"
    )
    api = settings.model_copy(update={"clickhouse_api_password": SecretStr(password), "data": tmp_path})
    Services(api).close()  # it would say so if it could not read


def targets() -> list[str]:
    scraped = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yaml").read_text())["scrape_configs"]
    return [t for job in scraped for of in job["static_configs"] for t in of["targets"]]


def prometheus_port(services: dict[str, Any]) -> int:
    [address] = [a for a in services["prometheus"]["command"] if a.startswith("--web.listen-address=")]
    host, _, port = address.partition("=")[2].partition(":")
    assert host == "127.0.0.1"
    return int(port)


def test_prometheus_finds_its_settings_and_our_metrics(services: dict[str, Any], settings: Settings) -> None:
    service = services["prometheus"]
    [config] = [a.partition("=")[2] for a in service["command"] if a.startswith("--config.file=")]
    [(inside, outside)] = mounted(service).items()
    file = outside / Path(config).relative_to(inside)
    rules = yaml.safe_load(file.read_text())["rule_files"]
    assert all(list(file.parent.glob(pattern)) for pattern in rules)
    assert targets()[0] == f"127.0.0.1:{settings.metrics_port}" and len(set(targets())) == len(targets())
    assert service["network_mode"] == "host", "it could not see what listens on 127.0.0.1 of the machine"


def test_grafana_finds_prometheus_and_the_dashboards(services: dict[str, Any]) -> None:
    service = services["grafana"]
    files = mounted(service)
    provisioning = files["/etc/grafana/provisioning"]
    [source] = yaml.safe_load((provisioning / "datasources/prometheus.yaml").read_text())["datasources"]
    assert source["url"] == f"http://127.0.0.1:{prometheus_port(services)}"
    assert service["network_mode"] == "host"
    [provider] = yaml.safe_load((provisioning / "dashboards/neural-hive.yaml").read_text())["providers"]
    dashboards = list(files[provider["options"]["path"]].glob("*.json"))
    assert len(dashboards) > 3
    models = [json.loads(file.read_text()) for file in dashboards]
    chosen = {
        v["query"] for model in models for v in model["templating"]["list"] if v["type"] == "datasource"
    }
    assert chosen == {source["type"]} and source["isDefault"]
