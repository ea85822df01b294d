"""Servers that do not answer: the client says so, and after a few times says so at once."""

import time
from typing import Any

import pytest

from neural_hive.connectors.clickhouse import ClickHouseAway
from neural_hive.connectors.ports import free_ports
from neural_hive.following import Unreachable
from neural_hive.sdk import sender
from neural_hive.sdk.breaker import FAILURES_MAX, CircuitOpen
from neural_hive.sdk.client import HiveClient
from neural_hive.settings import Settings


@pytest.fixture
def client() -> HiveClient:
    kafka, clickhouse = free_ports(2)
    given: dict[str, Any] = {"clickhouse_host": "127.0.0.1", "clickhouse_port": clickhouse}
    return HiveClient(Settings(kafka_bootstrap=f"127.0.0.1:{kafka}", **given))


def test_kafka_is_away(client: HiveClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sender, "_CALL_TIMEOUT_S", 0.3)
    for _ in range(FAILURES_MAX):
        with pytest.raises(Unreachable, match="neural-hive up"):
            client.cancel("w", "enough")
    started = time.monotonic()
    with pytest.raises(CircuitOpen, match=r"Kafka at 127\.0\.0\.1:\d+ has failed repeatedly"):
        client.cancel("w", "enough")
    assert time.monotonic() - started < 0.2
    client.close()


def test_clickhouse_is_away(client: HiveClient) -> None:
    started = time.monotonic()
    for _ in range(FAILURES_MAX):
        with pytest.raises(ClickHouseAway, match="is it running"):
            client.get_ticket("t")
    assert time.monotonic() - started > 3, "each was tried again for a while"
    started = time.monotonic()
    with pytest.raises(CircuitOpen, match="ClickHouse at http"):
        client.list_agents()
    assert time.monotonic() - started < 0.2
    client.close()
