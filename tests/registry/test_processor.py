"""The registry's own process on a real broker: silence and slots survive restarts, and nothing overtakes what waits."""

import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient, NewTopic

from neural_hive.connectors.kafka_embedded import EmbeddedKafka
from neural_hive.connectors.kafka_log import read_committed
from neural_hive.connectors.publisher import Publisher
from neural_hive.replay.everything import Request, verify_everything
from neural_hive.schemas.codec import decode
from neural_hive.schemas.envelope import Envelope
from neural_hive.schemas.topics import TOPICS
from neural_hive.sdk.agent import AgentClient, AgentConfig
from neural_hive.streams.registry.messages import ANSWERS, COMMANDS
from neural_hive.streams.registry.system import build

ROOT = Path(__file__).parents[2]
PARTITIONS = 2
WAIT_S = 200.0
Story = list[tuple[str, int, dict[str, Any]]]  # event type, occurred_at, payload


class Registry:
    """The registry's processor, with times of seconds."""

    def __init__(self, bootstrap: str, folder: Path) -> None:
        self.config = {"bootstrap.servers": bootstrap}
        self.folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        names = [name for name in TOPICS if name.startswith(("registry.", "pheromones."))]
        times = {"message.timestamp.type": "LogAppendTime"}
        wanted = [NewTopic(name, PARTITIONS, -1, config=times) for name in (*names, "dead.letters")]
        admin = AdminClient(self.config)
        for future in admin.create_topics(wanted).values():
            future.result(30)

    def start(self) -> None:
        line = [sys.executable, "-m", "tests.registry.quick", self.config["bootstrap.servers"]]
        with (self.folder / "registry.log").open("ab") as log:
            self._process = subprocess.Popen(
                [*line, str(self.folder)], cwd=ROOT, stdout=log, stderr=log, start_new_session=True
            )

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(20)
            self._process = None

    def story(self, agent_id: str) -> Story:
        """What happened to an agent, as the log has it."""
        found = []
        for partition in range(PARTITIONS):
            for record in read_committed(self.config, "registry.agents", partition, 0, None):
                event = decode(record.value or b"", "event")
                assert isinstance(event.head, Envelope)
                if event.head.aggregate_id == agent_id:
                    found.append((event.head.event_type, event.head.occurred_at, event.payload))
        return found

    def tell(self, message_type: str, agent_id: str, payload: dict[str, Any]) -> None:
        """A message of somebody who asks for slots."""
        publisher = Publisher(self.config, "asker")
        header = publisher.header(message_type, str(uuid.uuid4()), agent_id)
        refused: list[str] = []
        publisher.publish(
            COMMANDS, header, {"agent_id": agent_id, "workflow_id": "w", **payload}, refused.append
        )
        publisher.flush(30.0)
        assert refused == [""]

    def answers(self) -> list[tuple[str, str]]:
        """What was answered about which ticket, in order: all of it is in the workflow's partition."""
        found = []
        for partition in range(PARTITIONS):
            for record in read_committed(self.config, ANSWERS, partition, 0, None):
                message = decode(record.value or b"", "message")
                found += [(message.schema.name, slot["ticket_id"]) for slot in message.payload["slots"]]
        return found

    def types(self, agent_id: str) -> list[str]:
        return [event_type for event_type, _, _ in self.story(agent_id)]


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    """On a broker of its own: the system's topics have fixed names, and other tests make them too."""
    with EmbeddedKafka(tmp_path / "kafka") as broker:
        made = Registry(broker.bootstrap, tmp_path)
        yield made
        made.kill()


def wait_for(look: Callable[[], object]) -> None:
    until = time.monotonic() + WAIT_S
    while not look():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.3)


@pytest.mark.timeout(600)
def test_silence_and_slots_survive_a_kill(registry: Registry) -> None:
    registry.start()
    silent = AgentClient(AgentConfig("silent"), registry.config)
    living = AgentClient(AgentConfig("living", heartbeat_every_s=0.5), registry.config)
    silent.register()
    with living:
        wait_for(lambda: registry.types("silent") and registry.types("living"))
        lease_ends_at = time.time_ns() // 1_000 + 600_000_000
        asked = [
            {"ticket_id": ticket, "attempt": 1, "place": place, "lease_ends_at": lease_ends_at}
            for place, ticket in enumerate(("first", "second", "third"))
        ]
        registry.tell("ReserveSlots", "living", {"requests": asked})
        wait_for(registry.answers)
        registry.kill()
        time.sleep(10)  # longer than silence may last, while the heartbeats wait in the topic
        registry.start()
        wait_for(lambda: registry.types("silent")[-1] == "AgentRemoved")
        living.report_outcome("python", True)
        assert set(registry.types("living")) == {"AgentRegistered", "AgentSeen"}
        back = {"ticket_id": "first", "attempt": 1, "outcome": "COMPLETED", "domain": "BUILD"}
        registry.tell("ReleaseSlots", "living", {"releases": [back]})
        wait_for(lambda: len(registry.answers()) > 1)
    wait_for(lambda: registry.types("living")[-1] == "AgentDeregistered")
    registry.kill()
    assert registry.answers() == [
        ("SlotsGranted", "first"),
        ("SlotsGranted", "second"),
        ("SlotsDenied", "third"),  # its agent has left
        ("AttemptsLost", "second"),  # with this one in hand
    ]

    (_, registered, _), *rest = registry.story("silent")
    changes = [(payload.get("to_health"), (at - registered) // 1_000) for _, at, payload in rest]
    assert changes == [("DEGRADED", 8_000), ("UNHEALTHY", 12_000), (None, 16_000)]
    # With other settings than those it was decided by: the log has the times.
    report = verify_everything(Request((build(),), registry.config, None, registry.folder, stall_s=10))
    assert (report.findings, report.problem) == ((), "")
