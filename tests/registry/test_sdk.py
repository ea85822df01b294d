"""What the agent's client promises when nothing answers, and what its import costs."""

import subprocess
import sys
import threading
import time

import pytest
from confluent_kafka import Consumer, TopicPartition

import neural_hive
from neural_hive.connectors.kafka_embedded import EmbeddedKafka
from neural_hive.connectors.personal import Personal
from neural_hive.connectors.ports import free_ports
from neural_hive.schemas.codec import decode
from neural_hive.schemas.personal import PlainPersonalData
from neural_hive.sdk import agent
from neural_hive.sdk.agent import AgentClient, AgentConfig, AgentTelemetry, Undelivered
from neural_hive.sdk.breaker import FAILURES_MAX, CircuitOpen
from tests.conftest import TopicFactory
from tests.privacy.memory_keys import MemoryKeys, hidden


def test_the_package_gives_it_without_importing_kafkas_client() -> None:
    assert neural_hive.AgentClient is AgentClient
    with pytest.raises(AttributeError, match="no attribute 'AgentFoo'"):
        neural_hive.AgentFoo  # noqa: B018
    code = "import sys, neural_hive; sys.exit('confluent_kafka' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0


def test_who_is_not_heard_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agent, "DELIVERY_TIMEOUT_S", 1.0)
    [port] = free_ports(1)
    client = AgentClient(AgentConfig("a"), {"bootstrap.servers": f"127.0.0.1:{port}"})
    with pytest.raises(Undelivered, match="RegisterAgent of agent a was not delivered"):
        client.register()
    for _ in range(FAILURES_MAX - 1):
        with pytest.raises(Undelivered):
            client.heartbeat()
    started = time.monotonic()
    with pytest.raises(CircuitOpen, match="Kafka has failed repeatedly"):
        client.heartbeat()
    assert time.monotonic() - started < 0.5
    client.start()  # the same in the background raises nothing
    started = time.monotonic()
    client.close()
    assert time.monotonic() - started < 15


def test_heartbeats_go_out_by_themselves_and_survive_a_fault(
    kafka: EmbeddedKafka, topic_factory: TopicFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    topic = topic_factory("registry", partitions=1)
    monkeypatch.setattr(agent, "TOPIC", topic)
    asked = threading.Semaphore(0)
    loads = iter([0.25, None, 0.75])

    def telemetry() -> AgentTelemetry:
        load = next(loads, 0.0)
        asked.release()
        if load is None:
            raise ZeroDivisionError("a fault of the agent's own code")
        return AgentTelemetry(load=load)

    config = AgentConfig(
        "a", capabilities=("python",), heartbeat_every_s=0.1, requested_by="ann", webhook_url="http://h"
    )
    with (
        pytest.raises(KeyError),
        AgentClient(
            config, {"bootstrap.servers": kafka.bootstrap}, telemetry, Personal(MemoryKeys())
        ) as client,
    ):
        for _ in range(4):
            assert asked.acquire(timeout=60)
        client.report_outcome("python", False)
        raise KeyError("the agent's work fails")
    told = messages(kafka, topic)
    kinds = [kind for kind, _ in told]
    assert (kinds[0], kinds[-1]) == ("RegisterAgent", "DeregisterAgent")
    assert (told[0][1]["capabilities"], told[0][1]["webhook_url"]) == (["python"], "http://h")
    assert (told[-1][1]["reason"], told[-1][1]["requested_by"]) == ("ended by KeyError", hidden("ann"))
    assert [payload["load"] for kind, payload in told if kind == "Heartbeat"][:2] == [0.25, 0.75]
    assert kinds.count("RegisterAgent") >= 2, "after the fault it registers again"
    assert kinds.count("ReinforceTrail") == 1


def test_who_starts_it_is_not_said_in_the_clear() -> None:
    client = AgentClient(AgentConfig("a", requested_by="ann"), {"bootstrap.servers": "127.0.0.1:1"})
    with pytest.raises(PlainPersonalData, match="requested_by of RegisterAgent"):
        client.register()
    client.close()  # nothing that could be sent: it ends all the same


def messages(kafka: EmbeddedKafka, topic: str) -> list[tuple[str, dict[str, object]]]:
    reader = Consumer({"bootstrap.servers": kafka.bootstrap, "group.id": topic})
    reader.assign([TopicPartition(topic, 0, 0)])
    found: list[tuple[str, dict[str, object]]] = []
    until = time.monotonic() + 60
    while not found or found[-1][0] != "DeregisterAgent":
        assert time.monotonic() < until, found
        message = reader.poll(1.0)
        if message is not None and not message.error():
            decoded = decode(message.value() or b"", "message")
            found.append((decoded.schema.name, decoded.payload))
    reader.close()
    return found
