"""Processor and sender as processes on a real broker, killed in the middle: every event is told, with one id."""

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from neural_hive.aggregates.delivery import delivery_id_of
from neural_hive.connectors.kafka_admin import ensure_topics
from neural_hive.connectors.kafka_embedded import EmbeddedKafka
from neural_hive.connectors.kafka_log import end_offsets, read_committed
from neural_hive.connectors.schema_log import TOPIC as SCHEMAS
from neural_hive.connectors.webhook_signing import new_secret
from neural_hive.process import ready_file
from neural_hive.replay.backup.saved import Source as Saved
from neural_hive.replay.backup.saved import back_up
from neural_hive.replay.everything import Request as Verified
from neural_hive.replay.everything import verify_everything
from neural_hive.replay.reader import LogSource
from neural_hive.replay.report import Check, Findings
from neural_hive.replay.rerun.decisions import check_decisions
from neural_hive.schemas.codec import decode
from neural_hive.schemas.topics import TOPICS
from neural_hive.sdk.sender import Sender
from neural_hive.sdk.webhooks import verify
from neural_hive.settings import Settings
from neural_hive.streams.kernel.reading import MessageReader
from neural_hive.streams.kernel.system import System
from neural_hive.streams.kernel.versions import logic_version
from neural_hive.streams.systems import SYSTEMS
from neural_hive.streams.webhooks.messages import COMMANDS, Redeliver, Subscribe
from neural_hive.streams.webhooks.system import SOURCES
from tests.privacy.memory_keys import hidden
from tests.webhooks import receiver as receivers
from tests.webhooks.events import TicketLog, dispatched
from tests.webhooks.receiver import Receiver, Request, receiving, says

PARTITIONS = 2
WAIT_S = 200.0
EVENTS = 300
DELIVERIES = "webhooks.deliveries"


class Hive:
    """A broker, and the two processes; the log of tickets is written by the test."""

    def __init__(self, bootstrap: str, data: Path) -> None:
        self.settings = Settings(
            data=data,
            kafka_bootstrap=bootstrap,
            partitions=PARTITIONS,
            webhook_retries_s=(0.2,) * 40,
            webhook_timeout_s=2.0,
            webhook_networks=("127.0.0.0/8",),
            webhook_ports=("1-65535",),
            webhook_http=True,
        )
        wanted = [name for name in TOPICS if name in SOURCES or name.startswith(("webhooks.", "dead."))]
        ensure_topics(bootstrap, [TOPICS[name] for name in wanted], PARTITIONS)
        self.config = self.settings.kafka_config()
        self.tickets = TicketLog(self.config, PARTITIONS)
        self.sender = Sender(self.config)
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, *command: str) -> None:
        name = {"processor": "processor-webhooks"}.get(command[0], command[0])
        with (self.settings.data / "log").open("ab") as log:
            line = [sys.executable, "-m", "neural_hive.cli", *command]
            process = subprocess.Popen(
                line, env=self._environment(), stdout=log, stderr=log, start_new_session=True
            )
        self._processes[command[0]] = process
        ready = ready_file(self.settings.data, name, process.pid)
        self.wait(lambda: ready.exists() or process.poll() is not None)
        assert process.poll() is None, self.log()

    def _environment(self) -> dict[str, str]:
        ours = {name: value for name, value in os.environ.items() if not name.startswith("NEURAL_HIVE_")}
        return {**ours, **self.settings.environment()}

    def kill(self, name: str) -> None:
        self._processes[name].kill()
        self._processes.pop(name).wait(20)

    def stop(self) -> None:
        for process in self._processes.values():
            process.send_signal(signal.SIGTERM)
        for process in self._processes.values():
            assert process.wait(60) == 0, self.log()
        self._processes.clear()

    def close(self) -> None:
        for name in list(self._processes):
            self.kill(name)

    def wait(self, look: Callable[[], object]) -> None:
        until = time.monotonic() + WAIT_S
        while not look():
            assert time.monotonic() < until, f"waited in vain\n{self.log()}"
            time.sleep(0.1)

    def log(self) -> str:
        return (self.settings.data / "log").read_text()[-6_000:]

    def subscribe(self, name: str, url: str, *events: str) -> str:
        """The secret; what happens from now on is told."""
        secret = new_secret()
        self.settings.webhook_folder.mkdir(exist_ok=True)
        (self.settings.webhook_folder / name).write_text(secret)
        self.sender.message(COMMANDS, name, Subscribe(name, url, events))
        return secret

    def events(self, topic: str = DELIVERIES) -> list[tuple[str, str, dict[str, Any]]]:
        """Type, aggregate id and content of all that the log has."""
        found = []
        for partition in range(PARTITIONS):
            for record in read_committed(self.config, topic, partition, 0, None):
                event = decode(record.value or b"", "event")
                found.append((event.schema.name, event.head.aggregate_id, event.payload))  # type: ignore[union-attr]
        return found

    def count(self, event_type: str) -> int:
        return sum(name == event_type for name, _, _ in self.events())


@pytest.fixture(scope="module")
def hive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hive]:
    folder = tmp_path_factory.mktemp("webhooks")
    with EmbeddedKafka(folder / "kafka") as broker:
        made = Hive(broker.bootstrap, folder)
        try:
            yield made
        finally:
            made.close()


def probed(hive: Hive, receiver: Receiver, number: int) -> None:
    """Waits until what happens is told: partitions learn of a subscription one after the other."""
    for workflow in range(10):
        seen = len(receiver.requests)
        for probe in range(number + workflow, number + 5_000, 10):
            hive.tickets.cancelled(probe, "probe")
            hive.tickets.flush()
            until = time.monotonic() + 2
            while len(receiver.requests) == seen and time.monotonic() < until:
                time.sleep(0.02)
            if len(receiver.requests) > seen:
                break


def events_told(requests: list[Request]) -> Counter[str]:
    return Counter(msgspec.json.decode(request.body)["event_id"] for request in requests)


@pytest.mark.timeout(600)
def test_every_event_is_told_whoever_is_killed(hive: Hive) -> None:
    seeded = random.Random(7)
    with receiving() as receiver:
        taken: list[Request] = []
        hive.start("processor", "webhooks")
        hive.start("webhook-sender")
        secret = hive.subscribe("good", receiver.url, "TicketCancelled")
        hive.subscribe("down", "http://127.0.0.1:9/", "TicketCancelled")
        probed(hive, receiver, 100_000)

        def answer(request: Request) -> receivers.Answer:
            luck = seeded.random()
            if luck < 0.04:
                return receivers.resets
            if luck < 0.12:
                return says(500)
            taken.append(request)
            return receivers.resets if luck < 0.18 else says(200)  # it has it, and the sender does not know

        receiver.answer = answer
        ids = []
        for number in range(EVENTS):
            ids.append(hive.tickets.cancelled(number))
            if number in (60, 240):
                hive.tickets.flush()
                hive.wait(lambda: taken)
                hive.kill("webhook-sender")
                hive.start("webhook-sender")
            if number in (120, 200):
                hive.tickets.flush()
                hive.kill("processor")
                hive.start("processor", "webhooks")
        hive.tickets.flush()
        wanted = {delivery_id_of("good", event_id) for event_id in ids}
        hive.wait(lambda: wanted <= {of for name, of, _ in hive.events() if name == "DeliverySucceeded"})
        told = events_told(taken)
        assert set(ids) <= set(told), "none is lost"
        for request in taken:
            verify(request.body, request.headers, [secret])
            event_id = msgspec.json.decode(request.body)["event_id"]
            assert request.headers["webhook-id"] == delivery_id_of("good", event_id)
        by_id: dict[str, set[bytes]] = {}
        for request in receiver.requests:
            by_id.setdefault(request.headers["webhook-id"], set()).add(request.body)
        assert all(len(bodies) == 1 for bodies in by_id.values()), "a repeat says the same"
    ends = Counter(of for name, of, _ in hive.events() if name == "DeliverySucceeded")
    assert all(ends[delivery_id] == 1 for delivery_id in wanted), "each ends once"
    assert not any(of in wanted for name, of, _ in hive.events() if name == "DeliveryDead")


@pytest.mark.timeout(600)
def test_agents_are_called_and_told_all_of_their_ticket(hive: Hive) -> None:
    with receiving() as receiver:
        secret = hive.subscribe("agents", "", "TicketDispatched")
        for number in range(200):
            event = dispatched(f"d-{number}", "w-agents", receiver.url)
            hive.tickets.write(event, event.ticket_id, "w-agents")
            hive.tickets.flush()
            time.sleep(0.1)
            if receiver.requests:
                break
        hive.wait(lambda: receiver.requests)
        request = receiver.requests[0]
        verify(request.body, request.headers, [secret])
        said = msgspec.json.decode(request.body)
        assert said["type"] == "TicketDispatched" and said["data"]["command"] == ["true"]
        assert said["timestamp"] == "2023-11-14T22:13:20.000000Z" and said["aggregate"]["type"] == "ticket"
        assert request.headers["traceparent"] == f"00-{'ab' * 16}-{'cd' * 8}-01"
        assert request.headers["content-type"] == "application/json"


@pytest.mark.timeout(600)
def test_a_backup_while_it_works_holds_nobody_elses_events_up(hive: Hive) -> None:
    places = [("execution.tickets", partition) for partition in range(PARTITIONS)]
    ends = end_offsets(hive.config, places)
    kinds = {name: TOPICS[name].kind for name in TOPICS}
    system = SYSTEMS["webhooks"](hive.settings)
    folder = hive.settings.data / "backup"
    saved = back_up(Saved(hive.config, (system,), kinds, None, hive.settings.data, "test", rest_s=60), folder)
    assert end_offsets(hive.config, places) == ends, "nothing was written among the events of another system"
    assert saved.warnings == (f"there is no topic {SCHEMAS}: save the schema registry by its own means",)
    told = {(o.topic, o.partition): o.offset for o in saved.groups["webhooks"]}
    assert {place: told[place] for place in places} == ends
    assert (folder / "keys" / "webhooks" / "agents").is_file()


@pytest.mark.timeout(600)
def test_what_the_log_says_holds(hive: Hive) -> None:
    """After all the kills: chains, versions, state, and every decision made again."""
    dead = next(of for name, of, _ in hive.events() if name == "DeliveryScheduled")
    routing = next(told["routing_id"] for name, of, told in hive.events() if of == dead)
    before = hive.count("DeliveryDue")
    hive.sender.message(COMMANDS, routing, Redeliver(dead, routing, "look again", hidden("ann")))
    hive.wait(lambda: hive.count("DeliveryDue") > before)
    hive.stop()
    system = SYSTEMS["webhooks"](hive.settings)

    def decide(system: System, source: LogSource, findings: Findings) -> None:
        check_decisions(system, source, logic_version(system, set()), MessageReader(), findings)

    folder = hive.settings.data / "processors"
    report = verify_everything(Verified((system,), hive.config, None, folder, stall_s=10, decide=decide))
    assert (report.findings, report.problem) == ((), "")
    examined = {outcome.check: outcome.examined for outcome in report.outcomes}
    assert examined[Check.DECISION] > EVENTS
