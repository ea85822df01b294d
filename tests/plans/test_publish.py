"""`neural-hive publish plan` against the real broker; what the orchestrator would say is written by the test."""

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from confluent_kafka import Consumer, Producer
from typer.testing import CliRunner, Result

from neural_hive.aggregates.workflow import ticket_id_of
from neural_hive.cli import build
from neural_hive.connectors.kafka_admin import ensure_topics
from neural_hive.connectors.kafka_embedded import EmbeddedKafka
from neural_hive.connectors.key_folder import KeyFolder
from neural_hive.connectors.personal import Personal
from neural_hive.schemas.codec import Decoded, decode, encode_event, encode_message
from neural_hive.schemas.envelope import NO_HASH, Envelope, Header
from neural_hive.schemas.topics import TOPICS, partition_of

PARTITIONS = 4


class Hive:
    """The broker as the command sees it, and a place to answer from."""

    def __init__(self, bootstrap: str, keys: str = "") -> None:
        self._config, self._keys = {"bootstrap.servers": bootstrap}, keys
        self._producer = Producer(self._config)

    def run(self, *arguments: str) -> Result:
        """Runs the command."""
        environment = {
            "NEURAL_HIVE_KAFKA_BOOTSTRAP": self._config["bootstrap.servers"],
            "NEURAL_HIVE_SUBJECT_KEYS": self._keys,
            "COLUMNS": "200",
        }
        return CliRunner().invoke(build(list(arguments)), list(arguments), env=environment)

    def hidden(self, name: str) -> str:
        """A person as the command writes one."""
        return Personal(KeyFolder(Path(self._keys))).hide(name, "requested_by")

    def plan(self, decision_id: str) -> Decoded:
        """The published plan of a decision."""
        return self.message("plans.consensus", decision_id)

    def message(self, topic: str, key: str) -> Decoded:
        """The first message with a key."""
        reader = Consumer({**self._config, "group.id": str(uuid.uuid4()), "auto.offset.reset": "earliest"})
        reader.subscribe([topic])
        until = time.monotonic() + 60
        try:
            while time.monotonic() < until:
                message = reader.poll(0.2)
                if message and not message.error() and message.key() == key.encode():
                    assert message.partition() == partition_of(key.encode(), PARTITIONS)
                    return decode(message.value(), "message")
        finally:
            reader.close()
        raise AssertionError(f"nothing with the key {key} was published to {topic}")

    def say(self, topic: str, event_type: str, workflow_id: str, payload: dict[str, Any]) -> None:
        """Writes one event as the orchestrator would."""
        envelope = Envelope(
            event_type, "workflow", 1, "logic", "test", str(uuid.uuid4()), workflow_id, 1, 1, workflow_id, "",
            "0" * 31 + "1", "0" * 15 + "1", 1, "plans.consensus", 0, 0, NO_HASH,
        )  # fmt: skip
        self._write(topic, encode_event(envelope, payload), workflow_id)

    def bury(self, workflow_id: str, reason: str) -> None:
        """Writes the plan's dead letter."""
        header = Header("m", "DeadLetter", 1, workflow_id, "", "", "0" * 32, "0" * 16, "test")
        payload = {
            "source_topic": "plans.consensus",
            "source_partition": 0,
            "source_offset": 0,
            "source_timestamp_ms": 0,
            "key": workflow_id.encode(),
            "value": b"",
            "reason": reason,
            "error_type": "BadRecord",
            "processor": "orchestrator",
        }
        self._write("dead.letters", encode_message(header, payload), workflow_id)

    def _write(self, topic: str, value: bytes, workflow_id: str) -> None:
        partition = partition_of(workflow_id.encode(), PARTITIONS)
        self._producer.produce(topic, value=value, key=workflow_id, partition=partition)
        assert self._producer.flush(30) == 0


@pytest.fixture(scope="module")
def hive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hive]:
    """On a broker of its own: the system's topics have fixed names, and other tests make them too."""
    folder = tmp_path_factory.mktemp("hive")
    with EmbeddedKafka(folder) as kafka:
        ensure_topics(kafka.bootstrap, TOPICS.values(), PARTITIONS, 1)
        yield Hive(kafka.bootstrap, str(folder / "subject-keys"))


def written(folder: Path, decision_id: str, tasks: str = "[{task_id: a, command: [x]}]") -> str:
    file = folder / "plan.yaml"
    file.write_text(f"decision_id: {decision_id}\ntasks: {tasks}\n")
    return str(file)


def answering(hive: Hive, decision_id: str, answer: Callable[[], None]) -> threading.Thread:
    def wait_and_answer() -> None:
        hive.plan(decision_id)
        answer()

    thread = threading.Thread(target=wait_and_answer)
    thread.start()
    return thread


def new_id() -> str:
    return str(uuid.uuid4())


def test_it_publishes_once_per_content_and_prints_the_id(hive: Hive, tmp_path: Path) -> None:
    decision = new_id()
    first = hive.run("publish", "plan", written(tmp_path, decision))
    assert (first.exit_code, first.output) == (0, f"{decision}\n")
    plan = hive.plan(decision)
    assert plan.schema.name == "DecisionConsolidated"
    assert plan.head.routing_id == decision
    assert [task["task_id"] for task in plan.payload["tasks"]] == ["a"]


def test_wait_shows_the_tasks_and_ends_with_the_workflow(hive: Hive, tmp_path: Path) -> None:
    decision = new_id()
    ticket = ticket_id_of(decision, "a")

    def answer() -> None:
        # The end of the workflow may be read before that of its ticket: both must be waited for.
        end = {"workflow_id": decision, "completed_count": 1, "duration_ms": 7}
        hive.say("orchestration.workflows", "WorkflowCompleted", decision, end)
        time.sleep(0.5)
        done = {
            "ticket_id": ticket, "workflow_id": decision, "attempt": 1, "agent_id": "x", "started_at": 1_000_000,
            "completed_at": 3_000_000, "outputs": {"k": "v"}, "artifacts": [], "exit_code": 0,
        }  # fmt: skip
        hive.say("execution.tickets", "TicketCompleted", decision, done)

    answerer = answering(hive, decision, answer)
    result = hive.run("publish", "plan", written(tmp_path, decision), "--wait", "--json", "--timeout", "60")
    answerer.join()
    assert result.exit_code == 0, result.output
    document = orjson.loads(result.stdout)
    assert (document["status"], document["counts"], document["duration_ms"]) == (
        "COMPLETED",
        {"COMPLETED": 1},
        7,
    )
    assert document["tasks"][0]["duration_ms"] == 2_000
    assert document["tasks"][0]["outputs"] == {"k": "v"}


def test_a_rejected_plan_ends_with_1_and_the_reason(hive: Hive, tmp_path: Path) -> None:
    decision = new_id()
    refused = {"decision_id": decision, "plan_id": "plan", "reasons": ["it is bad"], "decision_sha256": ""}
    answerer = answering(
        hive, decision, lambda: hive.say("orchestration.workflows", "PlanRejected", decision, refused)
    )
    file = written(tmp_path, decision, "[{task_id: a, command: [x], dependencies: [a]}]")
    result = hive.run("publish", "plan", file, "--wait", "--no-validate", "--timeout", "60")
    answerer.join()
    assert result.exit_code == 1
    assert "REJECTED" in result.stdout
    assert "it is bad" in result.stdout


def test_a_dead_letter_of_the_plan_ends_the_wait(hive: Hive, tmp_path: Path) -> None:
    decision = new_id()
    answerer = answering(hive, decision, lambda: hive.bury(decision, "cannot be read"))
    result = hive.run("publish", "plan", written(tmp_path, decision), "--wait", "--timeout", "60")
    answerer.join()
    assert result.exit_code == 1
    assert "cannot be read" in result.stdout


def test_silence_ends_with_3(hive: Hive, tmp_path: Path) -> None:
    result = hive.run("publish", "plan", written(tmp_path, new_id()), "--wait", "--timeout", "1")
    assert result.exit_code == 3
    assert "does the orchestrator run" in result.stderr


def test_a_bad_plan_ends_with_2_and_nothing_is_published(hive: Hive, tmp_path: Path) -> None:
    file = written(tmp_path, new_id(), "[{task_id: a, command: [x], dependencies: [b]}]")
    result = hive.run("publish", "plan", file, "--json")
    assert result.exit_code == 2
    assert orjson.loads(result.stdout)["errors"][0].endswith("unknown task 'b'")


def test_ten_megabytes_are_refused(hive: Hive, tmp_path: Path) -> None:
    tasks = ",".join(f"{{task_id: t{n}, command: [{'x' * 500_000}]}}" for n in range(20))
    result = hive.run("publish", "plan", written(tmp_path, new_id(), f"[{tasks}]"))
    assert result.exit_code == 2
    assert "8388608" in result.stderr.replace(",", "")


def test_an_unreachable_broker_ends_with_3(tmp_path: Path) -> None:
    result = Hive("127.0.0.1:1").run("publish", "plan", written(tmp_path, new_id()))
    assert result.exit_code == 3
    assert "neural-hive up" in result.stderr


def test_a_folder_on_which_nothing_runs_leads_to_no_other_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NEURAL_HIVE_KAFKA_BOOTSTRAP", raising=False)
    arguments = ["publish", "plan", written(tmp_path, new_id()), "--data", str(tmp_path / "none")]
    result = CliRunner().invoke(build(arguments), arguments)
    assert result.exit_code == 3
    assert f"nothing runs on {tmp_path / 'none'}" in result.stderr


@pytest.mark.parametrize(
    ("command", "more", "message_type", "says"),
    [
        ("pause", (), "PauseWorkflow", {}),
        ("resume", (), "ResumeWorkflow", {}),
        ("cancel", (), "CancelWorkflow", {}),
        ("adjust-qos", ("--priority", "HIGH"), "AdjustQos", {"priority": "HIGH", "deadline_ms": 0}),
        ("adjust-qos", ("--deadline-ms", "9"), "AdjustQos", {"priority": "UNKNOWN", "deadline_ms": 9}),
        ("retry", ("t-1",), "RetryTicket", {"ticket_id": "t-1"}),
        (
            "complete",
            ("t-1", "--output", "x=1", "--output", "y=a=b"),
            "CompleteTicket",
            {"ticket_id": "t-1", "outputs": {"x": "1", "y": "a=b"}},
        ),
    ],
)
def test_a_command_becomes_a_message(
    hive: Hive, command: str, more: tuple[str, ...], message_type: str, says: dict[str, Any]
) -> None:
    workflow_id = new_id()
    asked = hive.run("publish", "command", command, workflow_id, *more, "--reason", "why", "--by", "ann")
    assert asked.exit_code == 0, asked.output
    message = hive.message("orchestration.commands", workflow_id)
    assert (message.schema.name, message.head.message_id) == (message_type, asked.output.strip())
    assert message.payload == {
        "workflow_id": workflow_id,
        "reason": "why",
        "requested_by": hive.hidden("ann"),
        **says,
    }


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("adjust-qos", "w"), "nothing to adjust"),
        (("adjust-qos", "w", "--priority", "high"), "must be one of LOW, NORMAL, HIGH, CRITICAL"),
        (("complete", "w", "t", "--output", "x"), "it must be name=value"),
    ],
)
def test_a_command_that_says_nothing_sensible_ends_with_2(arguments: tuple[str, ...], reason: str) -> None:
    refused = Hive("127.0.0.1:1").run("publish", "command", *arguments, "--reason", "why")
    assert refused.exit_code == 2
    assert reason in refused.stderr


def test_a_command_to_an_unreachable_broker_ends_with_3() -> None:
    refused = Hive("127.0.0.1:1").run("publish", "command", "pause", "w", "--reason", "why")
    assert refused.exit_code == 3
    assert "neural-hive up" in refused.stderr


def test_import_can_publish_and_wait(hive: Hive, tmp_path: Path) -> None:
    recording = tmp_path / "recording.json"
    task = {"id": "a", "runtimeInSeconds": 1}
    parts = {"specification": {"tasks": [{"id": "a"}]}, "execution": {"tasks": [task]}}
    recording.write_bytes(orjson.dumps({"name": "w", "schemaVersion": "1.5", "workflow": parts}))
    result = hive.run("import", "wfformat", str(recording), "--publish")
    assert result.exit_code == 0, result.output
    assert hive.plan(result.stdout.strip()).payload["tasks"][0]["command"] == ["sleep", "1.000"]
    written_plan = hive.run("import", "wfformat", str(recording), "--out", str(tmp_path / "out.yaml"))
    assert written_plan.exit_code == 0
    assert hive.run("publish", "plan", str(tmp_path / "out.yaml")).exit_code == 0
    assert hive.run("import", "wfformat", str(recording), "--wait").exit_code == 2
    assert hive.run("import", "wfformat", str(tmp_path / "none.json"), "--publish").exit_code == 2
