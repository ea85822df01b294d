"""Bad plans: each is refused with its reason, by the command, by the orchestrator, or as a dead letter."""

import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from confluent_kafka import KafkaError, KafkaException, Producer

from neural_hive.schemas.codec import Decoded, encode_message
from neural_hive.schemas.envelope import Header
from neural_hive.schemas.topics import MESSAGE_BYTES_MAX
from tests.system.hive import Hive, eventually

PLANS = "plans.consensus"
BAD_PLAN = 2


@pytest.fixture(scope="module")
def hive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hive]:
    system = Hive(tmp_path_factory.mktemp("hive"))
    try:
        system.up()
        yield system
    finally:
        system.run("down")
    assert system.left_behind() == []


@pytest.fixture
def producer(hive: Hive) -> Producer:
    """Writes to the log without any of our checks."""
    return Producer({**hive.kafka(), "message.max.bytes": 50_000_000, "partitioner": "murmur2_random"})


def task(task_id: str, *dependencies: str) -> dict[str, Any]:
    return {"task_id": task_id, "command": ["true"], "dependencies": list(dependencies)}


RULES = {
    "a cycle": ([task("a", "c"), task("b", "a"), task("c", "b")], "a -> c -> b -> a"),
    "an unknown dependency": ([task("a", "ghost")], "ghost"),
    "a duplicate id": ([task("same"), task("same")], "same"),
}


def written(folder: Path, plan: dict[str, Any]) -> Path:
    file = folder / "plan.json"
    file.write_bytes(orjson.dumps(plan))
    return file


@pytest.mark.slow
@pytest.mark.parametrize("what", RULES)
def test_a_plan_that_breaks_a_rule(hive: Hive, tmp_path: Path, what: str) -> None:
    tasks, named = RULES[what]
    decision_id = str(uuid.uuid4())
    file = written(tmp_path, {"decision_id": decision_id, "tasks": tasks})
    refused = hive.run("publish", "plan", str(file))
    assert refused.returncode == BAD_PLAN
    assert "plan.json:1:" in refused.stderr

    unchecked = hive.run("publish", "plan", str(file), "--no-validate", "--wait", "--json")
    assert unchecked.returncode == 1, unchecked.stderr
    rejected = [
        e for _, e in hive.log("orchestration.workflows") if e.payload.get("decision_id") == decision_id
    ]
    assert [event.schema.name for event in rejected] == ["PlanRejected"]
    reasons = " ".join(rejected[0].payload["reasons"])
    assert named in reasons or all(name in reasons for name in named.split(" -> "))
    sql = f"SELECT status, arrayStringConcat(reasons) AS reasons FROM workflows WHERE workflow_id = '{decision_id}'"
    [row] = eventually(lambda: hive.rows(sql))
    assert row["status"] == "REJECTED"
    assert row["reasons"]


@pytest.mark.slow
def test_a_wrong_type(hive: Hive, tmp_path: Path, producer: Producer) -> None:
    file = written(tmp_path, {"tasks": [task("a") | {"timeout_ms": "soon"}]})
    refused = hive.run("publish", "plan", str(file))
    assert refused.returncode == BAD_PLAN
    assert "tasks[0].timeout_ms: " in refused.stderr

    letter = dead_letter(hive, producer, encode_message(header("ReportStart"), REPORT))
    assert "does not take ReportStart on plans.consensus" in letter.payload["reason"]


@pytest.mark.slow
def test_nonsense_and_a_wrong_schema_id(hive: Hive, producer: Producer) -> None:
    nonsense = os.urandom(7_000_000)
    letter = dead_letter(hive, producer, b"\xff" + nonsense)
    assert letter.payload["value"] == b"\xff" + nonsense
    assert letter.payload["reason"]

    wrong_id = b"\x00" + (999_999_999).to_bytes(4, "big") + b"\x00" * 20
    letter = dead_letter(hive, producer, wrong_id)
    assert letter.payload["value"] == wrong_id
    assert "999999999" in letter.payload["reason"].replace(",", "")


@pytest.mark.slow
def test_ten_megabytes_are_refused_by_the_command_and_by_the_broker(
    hive: Hive, tmp_path: Path, producer: Producer
) -> None:
    file = written(
        tmp_path, {"tasks": [task(f"t{n}") | {"parameters": {"x": "x" * 100_000}} for n in range(100)]}
    )
    refused = hive.run("publish", "plan", str(file), "--no-validate")
    assert refused.returncode == BAD_PLAN
    assert str(MESSAGE_BYTES_MAX) in refused.stderr.replace(",", "")

    with pytest.raises(KafkaException) as broker:
        sent(producer, os.urandom(10_000_000))
    assert broker.value.args[0].code() == KafkaError.MSG_SIZE_TOO_LARGE


@pytest.mark.slow
def test_after_all_that_a_good_plan_runs_and_the_log_holds(hive: Hive, tmp_path: Path) -> None:
    done = hive.run(
        "publish", "plan", str(written(tmp_path, {"tasks": [task("a"), task("b", "a")]})), "--wait"
    )
    assert done.returncode == 0, done.stdout + done.stderr
    report = hive.verify()
    assert report["exit_code"] == 0, report


REPORT = {
    "workflow_id": "w",
    "ticket_id": "t",
    "attempt": 1,
    "agent_id": "a",
    "started_at": 1,
}


def header(message_type: str) -> Header:
    message_id = str(uuid.uuid4())
    return Header(message_id, message_type, 1, "w", "w", "", "0" * 31 + "1", "0" * 15 + "1", "test")


def dead_letter(hive: Hive, producer: Producer, value: bytes) -> Decoded:
    """Sends a raw record as a plan; the dead letter that becomes of it, in the log and in SQL."""
    partition, offset = sent(producer, value)

    def found() -> list[Decoded]:
        return [
            letter for _, letter in hive.log("dead.letters") if place(letter) == (PLANS, partition, offset)
        ]

    [letter] = eventually(found)
    sql = (
        f"SELECT reason FROM dead_letters WHERE source_topic = '{PLANS}' AND source_partition = {partition} "
    )
    [row] = eventually(lambda: hive.rows(f"{sql} AND source_offset = {offset}"))
    assert row["reason"] == letter.payload["reason"]
    return letter


def place(letter: Decoded) -> tuple[str, int, int]:
    payload = letter.payload
    return payload["source_topic"], payload["source_partition"], payload["source_offset"]


def sent(producer: Producer, value: bytes) -> tuple[int, int]:
    """Where a raw record went. Raises KafkaException: the broker does not take it."""
    answers: list[Any] = []
    producer.produce(
        PLANS, value, key=b"w", on_delivery=lambda error, message: answers.append((error, message))
    )
    producer.flush(30)
    [(error, message)] = answers
    if error:
        raise KafkaException(error)
    return message.partition(), message.offset()
