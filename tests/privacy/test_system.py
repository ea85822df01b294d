"""A person works with a whole system and is erased: read by nobody, found nowhere, and the proof still holds."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer
from rocksdict import AccessType, Options, Rdict

from neural_hive.replay.reader import KafkaSource
from neural_hive.schemas.codec import encode_message
from neural_hive.schemas.envelope import Header
from neural_hive.schemas.topics import TOPICS, partition_of
from neural_hive.settings import keys_beside
from tests.system.hive import Hive, eventually

NAME = "Wilhelmina Ostrogoth"
PLAIN = "Bartholomew Visigoth"  # who publishes in the clear
PLAN = f"""
requested_by: {NAME}
tasks:
  - {{task_id: build, command: [echo, done]}}
  - {{task_id: fails, dependencies: [build], max_retries: 0, command: ["false"]}}
"""
WHO = "SELECT DISTINCT requested_by FROM workflows"


@pytest.fixture
def hive(tmp_path: Path) -> Iterator[Hive]:
    system = Hive(tmp_path / "data")
    try:
        yield system
    finally:
        system.run("down")


def said(hive: Hive, *arguments: str, exit_code: int = 0) -> str:
    """What a command says."""
    done = hive.said(*arguments)
    told = done.stdout + done.stderr
    assert done.returncode == exit_code, f"{arguments}: {told}"
    return told


def rows(hive: Hive, sql: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in said(hive, "query", sql, "--format", "JSONEachRow").splitlines()]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_person_is_erased(hive: Hive, tmp_path: Path) -> None:
    hive.up()
    workflow_id = worked(hive, tmp_path)
    shown_to_who_has_the_keys(hive, workflow_id)
    publish_in_the_clear(hive, workflow_id)
    backup = tmp_path / "backup"
    said(hive, "backup", str(backup))
    keys = [path.read_bytes() for path in (keys_beside(hive.data) / "keys").iterdir()]
    assert len(keys) == 1

    erased(hive)
    assert "erased" in said(hive, "query", WHO, "--reveal")
    for question in ("explain", "state"):
        told = said(hive, "replay", question, workflow_id, "--reveal")
        assert NAME not in told
        assert "erased" in told, question

    said(hive, "replay", "rebuild", "workflows", "ticket_history", "erasures", "--wait", "400")
    for options in (("--decisions",), ("--source", "archive")):
        assert "All that was looked at holds" in said(hive, "replay", "verify", *options)
    assert in_topics(hive, NAME) == in_tables(hive, NAME) == []
    assert {topic.partition(":")[0] for topic in in_topics(hive, PLAIN)} == {"orchestration.commands"}
    hive.down()
    assert in_states(hive.data, NAME) == in_states(hive.data, PLAIN) == []
    assert in_files(tmp_path, NAME.encode()) == [tmp_path / "plan.yaml"]
    for key in keys:
        assert in_files(tmp_path, key) == []
    assert hive.left_behind() == []


def worked(hive: Hive, folder: Path) -> str:
    """She publishes a plan that fails, and tries to do something about it."""
    plan = folder / "plan.yaml"
    plan.write_text(PLAN)
    said(hive, "publish", "plan", str(plan), "--wait", exit_code=1)
    sql = "SELECT workflow_id, ticket_id FROM tickets WHERE task_id = 'fails' AND status = 'FAILED'"
    [found] = eventually(lambda: rows(hive, sql))
    asked = ("--reason", "the disk is empty now", "--by", NAME, "--wait")
    said(hive, "publish", "command", "retry", found["workflow_id"], found["ticket_id"], *asked, exit_code=1)
    said(hive, "publish", "command", "resume", found["workflow_id"], *asked, exit_code=1)
    return str(found["workflow_id"])


def shown_to_who_has_the_keys(hive: Hive, workflow_id: str) -> None:
    [row] = rows(hive, WHO)
    assert row["requested_by"].startswith("enc:v1:")
    subject_id = said(hive, "subject", NAME.upper()).strip()
    assert row["requested_by"].split(":")[2] == subject_id
    assert NAME in said(hive, "query", WHO, "--reveal")
    assert json.loads(said(hive, "query", WHO, "--reveal", "--format", "JSONEachRow"))["requested_by"] == NAME
    told = said(hive, "replay", "explain", workflow_id)
    assert NAME not in told
    assert f"enc:{subject_id[:8]}…" in told
    exact = said(hive, "replay", "state", workflow_id, "--json")
    assert row["requested_by"] in exact
    history = said(hive, "replay", "history", workflow_id, "--json", "--reveal")
    assert NAME in history
    begun = json.loads(history)[0]["envelope"]["event_id"]
    for question in (
        ("explain", workflow_id),
        ("state", workflow_id),
        ("cause", begun),
        ("diff", workflow_id, "--from", "2020-01-01", "--json"),
    ):
        assert NAME in said(hive, "replay", *question, "--reveal"), question


def publish_in_the_clear(hive: Hive, workflow_id: str) -> None:
    """With a program of somebody's own, which knows nothing of keys."""
    header = Header("plain", "PauseWorkflow", 1, workflow_id, "", "", "", "", "somebody's own")
    value = encode_message(header, {"workflow_id": workflow_id, "reason": "why", "requested_by": PLAIN})
    producer = Producer(hive.kafka())
    count = len(producer.list_topics("orchestration.commands").topics["orchestration.commands"].partitions)
    producer.produce("orchestration.commands", value, workflow_id, partition_of(workflow_id.encode(), count))
    assert producer.flush(30) == 0
    letters = "SELECT error_type, source_topic, value FROM dead_letters"
    [letter] = eventually(lambda: rows(hive, letters))
    assert letter == {
        "error_type": "PlainPersonalData",
        "source_topic": "orchestration.commands",
        "value": "",
    }


def erased(hive: Hive) -> None:
    unknown = said(hive, "erase", "Nobody Known", "--reason", "why", exit_code=1)
    assert "has no key of this person" in unknown
    assert "Nobody" not in unknown
    subject_id = said(hive, "subject", NAME).strip()
    [first] = json.loads(said(hive, "erase", NAME, "--reason", "asked for it", "--by", NAME, "--json"))
    assert (first["status"], first["subject_id"]) == ("ERASED", subject_id)
    assert first["event"].startswith("privacy.subjects:")
    assert "erased before" in said(hive, "erase", NAME, "--reason", "asked for it")
    again = said(hive, "erase", subject_id, "--reason", "asked for it")
    assert f"erased before: subject {subject_id}, event {first['event']}" in again
    assert f"erased before: subject {subject_id}" in said(hive, "erase", "--from-log")
    said(hive, "subject", NAME, exit_code=1)
    found = eventually(lambda: rows(hive, "SELECT subject_id, reason FROM erasures"))
    assert found == [{"subject_id": subject_id, "reason": "asked for it"}]


def in_topics(hive: Hive, name: str) -> list[str]:
    """Where a name stands in the log: in keys, values or headers."""
    source, wanted, found = KafkaSource({**hive.kafka(), "log_level": 2}), name.encode(), []
    for topic in [*TOPICS, "_schemas"]:
        for partition, (first, end) in source.ranges(topic).items():
            for batch in source.batches(topic, partition, first, end):
                for r in batch:
                    parts = (r.key, r.value, *(value for _, value in r.headers))
                    if any(wanted in (part or b"") for part in parts):
                        found.append(f"{topic}:{partition}:{r.offset}")
    return found


def in_tables(hive: Hive, name: str) -> list[str]:
    """The tables whose rows hold a name, in whichever column."""
    tables = rows(
        hive, "SELECT name FROM system.tables WHERE database = currentDatabase() AND engine != 'View'"
    )
    assert len(tables) > 10
    wanted = " UNION ALL ".join(
        f"SELECT '{table['name']}' AS name, count() AS n FROM `{table['name']}` "
        f"WHERE position(toString(tuple(*)), '{name}') > 0"
        for table in tables
    )
    found = rows(hive, wanted)
    assert len(found) == len(tables)
    return [row["name"] for row in found if int(row["n"])]


def in_states(data: Path, name: str) -> list[str]:
    """The states of partitions that hold a name; nobody else may have them open."""
    states = [path.parent for path in (data / "processors").rglob("CURRENT")]
    assert len(states) >= 12  # of three systems with four partitions each
    found = []
    for state in states:
        store = Rdict(str(state), Options(raw_mode=True), access_type=AccessType.read_only())
        try:
            if any(name.encode() in key + value for key, value in store.items()):
                found.append(str(state))
        finally:
            store.close()
    return found


def in_files(folder: Path, wanted: bytes) -> list[Path]:
    """Files that hold bytes as they are: logs, above all, for much else is compressed."""
    return [path for path in folder.rglob("*") if path.is_file() and wanted in path.read_bytes()]
