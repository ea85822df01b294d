"""Dead letters are written again, and people look at a system in the terminal: on a whole one, killed in between."""

import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from confluent_kafka import Producer

from neural_hive.connectors.publisher import Publisher
from neural_hive.plans import read_plan
from neural_hive.schemas.catalogue import current, schema_of
from neural_hive.schemas.codec import encode_message
from neural_hive.sdk.client import HiveClient
from neural_hive.settings import load_settings
from neural_hive.streams.operations.messages import NoteRefusedCall
from tests.system.hive import Hive, eventually

FOREIGN_ID = 900_001
PLAN = """
tasks:
  - {task_id: one, command: ["true"]}
  - {task_id: two, dependencies: [one], command: ["true"]}
"""
BURST = 40
CALL = NoteRefusedCall(
    "api", "ann", "10.0.0.7", "POST", "/api/v1/plans", "publisher", 403, "no role", 3, 5, 9
)


@pytest.fixture(scope="module")
def hive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hive]:
    system = Hive(tmp_path_factory.mktemp("operations") / "data")
    try:
        system.up()
        yield system
    finally:
        system.run("down")


def asked(hive: Hive, *arguments: str, code: int = 0) -> Any:
    """What a command says as JSON."""
    done = hive.said(*arguments, "--json")
    assert done.returncode == code, done.stdout + done.stderr
    return json.loads(done.stdout)


def letters(hive: Hive, *options: str, count: int = 1) -> list[dict[str, Any]]:
    """The dead letters that fit, once the tables have so many."""

    def look() -> list[dict[str, Any]] | None:
        found = asked(hive, "dead-letters", *options)["dead_letters"]
        return found if len(found) >= count else None

    return eventually(look)


def say(hive: Hive, *values: bytes) -> None:
    """Plans, as a stranger's producer sends them."""
    producer = Producer(hive.kafka())
    for value in values:
        producer.produce("plans.consensus", value, b"stranger")
    assert producer.flush(60) == 0


def plan_of_a_stranger(hive: Hive, folder: Path) -> tuple[str, bytes]:
    """A plan under a schema of the sender's own, which it has not registered."""
    file = folder / "stranger.yaml"
    file.write_text(PLAN)
    decision = read_plan(file)
    header = Publisher(hive.kafka(), "stranger").header(
        "DecisionConsolidated", "a message of its own", decision.decision_id
    )
    known = encode_message(header, msgspec.to_builtins(decision))
    return decision.decision_id, b"\0" + FOREIGN_ID.to_bytes(4, "big") + known[5:]


def register_schema(hive: Hive) -> None:
    """What the stranger had forgotten."""
    url = load_settings(data=hive.data).schema_registry_url
    schema = json.dumps(schema_of(current("DecisionConsolidated").id))
    calls = (
        ("PUT", "/mode/stranger?force=true", {"mode": "IMPORT"}),
        ("POST", "/subjects/stranger/versions", {"schema": schema, "id": FOREIGN_ID, "version": 1}),
    )
    for method, path, body in calls:
        request = urllib.request.Request(url + path, json.dumps(body).encode(), method=method)
        with urllib.request.urlopen(request, timeout=30) as answer:
            assert answer.status == 200


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_plan_that_nobody_could_read_becomes_a_workflow(hive: Hive, tmp_path: Path) -> None:
    workflow_id, value = plan_of_a_stranger(hive, tmp_path)
    say(hive, value)
    (letter,) = letters(hive, "--error", "UnknownSchema")
    place = letter["dead_letter"]
    shown = asked(hive, "dead-letters", "show", place)
    assert (shown["content"]["payload"], shown["source_topic"]) == ({}, "plans.consensus")
    register_schema(hive)
    assert asked(hive, "dead-letters", "show", place)["content"]["payload"]["plan_id"] == "stranger"
    # It may not ask for a schema again that it was just told not to be there.
    pid = hive.signal("processor-orchestrator")
    options = ("--reason", "the schema is registered", "--by", "ann", "--timeout", "200")
    (told,) = asked(hive, "dead-letters", "redrive", place, *options)
    assert told == {"dead_letter": place, "verdict": "ACCEPTED", "reason": ""}
    hive.wait_replaced("processor-orchestrator", pid)
    eventually(lambda: asked(hive, "workflows", "--plan", "stranger", "--status", "completed")["workflows"])
    found = asked(hive, "workflows", "show", workflow_id)
    assert (found["workflow"]["status"], len(found["tickets"])) == ("COMPLETED", 2)
    (done,) = asked(hive, "dead-letters", "show", place)["redrives"]
    assert (done["outcome"], done["requested_by"][:7]) == ("REDRIVEN", "enc:v1:")
    assert "REDRIVEN by enc:" in hive.run("dead-letters", "show", place).stdout
    assert not asked(hive, "dead-letters", "--waiting", "--error", "UnknownSchema")["dead_letters"]
    (refused,) = asked(hive, "dead-letters", "redrive", place, *options, code=1)
    assert (refused["verdict"], "already" in refused["reason"]) == ("REFUSED", True)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_killed_while_letters_are_written_again_each_comes_once(hive: Hive) -> None:
    values = [b"burst %d" % number for number in range(BURST)]
    say(hive, *values)
    letters(hive, "--error", "BadRecord", "--limit", "1000", count=BURST)
    command = (
        "dead-letters",
        "redrive",
        "--error",
        "BadRecord",
        "--reason",
        "a test",
        "--yes",
        "--timeout",
        "200",
    )
    line = [sys.executable, "-m", "neural_hive.cli", *command, "--data", str(hive.data), "--json"]
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True, env=hive._environment) as redriving:
        eventually(lambda: hive.log("operations.redrives")[1:])
        hive.signal("processor")
        told = json.loads(redriving.communicate(timeout=300)[0])
    assert [one["verdict"] for one in told] == ["ACCEPTED"] * BURST
    again = [record for record, _ in raw(hive) if dict(record.headers).get("redriven")]
    assert sorted(record.value for record in again if (record.value or b"").startswith(b"burst")) == sorted(
        values
    )
    report = hive.verify()
    assert report["exit_code"] == 0, report


def raw(hive: Hive) -> list[tuple[Any, None]]:
    """The records of plans.consensus, whatever they hold."""
    from neural_hive.replay.reader import KafkaSource

    source = KafkaSource({**hive.kafka(), "log_level": 2})
    return [
        (record, None)
        for partition, bounds in source.ranges("plans.consensus").items()
        for batch in source.batches("plans.consensus", partition, *bounds)
        for record in batch
    ]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_what_an_api_refused_is_kept(hive: Hive) -> None:
    with HiveClient(load_settings(data=hive.data)) as client:
        client._sender.refused_call(CALL)
    columns = "caller, method, path, status, calls"
    rows = eventually(lambda: hive.rows(f"SELECT {columns} FROM refused_calls"))
    ((caller, *rest),) = (row.values() for row in rows)
    assert caller.startswith("enc:v1:")
    assert rest == ["POST", "/api/v1/plans", 403, 3]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_what_people_see_in_the_terminal(hive: Hive, tmp_path: Path) -> None:
    file = tmp_path / "seen.yaml"
    file.write_text(PLAN)
    assert hive.run("publish", "plan", str(file), "--wait").returncode == 0
    eventually(lambda: asked(hive, "workflows", "--plan", "see?", "--status", "completed")["workflows"])
    found = asked(hive, "tickets", "--plan", "seen", "--limit", "1")
    rest = asked(hive, "tickets", "--plan", "seen", "--page", found["next"])
    tasks = [ticket["task_id"] for page in (found, rest) for ticket in page["tickets"]]
    assert (sorted(tasks), rest["next"]) == (["one", "two"], "")
    (one,) = asked(hive, "tickets", "--plan", "seen", "--task", "on*")["tickets"]
    steps = asked(hive, "tickets", "show", one["ticket_id"])["steps"]
    assert [step["event_type"] for step in (steps[0], steps[-1])] == ["TicketCreated", "TicketCompleted"]
    table = hive.run("tickets", "--plan", "seen").stdout
    assert one["ticket_id"] in table and "COMPLETED" in table
    assert not asked(hive, "workflows", "--plan", "o'x\\%_*")["workflows"]
    for wrong in (("workflows", "--page", "x"), ("tickets", "--since", "soon")):
        assert hive.run(*wrong).returncode == 2
    missing = hive.run("tickets", "show", "nobody")
    assert (missing.returncode, missing.stderr.count("\n")) == (1, 1)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_events_are_shown_in_order_and_as_they_come(hive: Hive, tmp_path: Path) -> None:
    file = tmp_path / "told.yaml"
    file.write_text(PLAN)
    line = [sys.executable, "-m", "neural_hive.cli", "events", "--follow", "--last", "0", "--json"]
    with subprocess.Popen(
        [*line, "--data", str(hive.data)], stdout=subprocess.PIPE, text=True, env=hive._environment
    ) as following:
        assert following.stdout
        time.sleep(3)
        decision_id = hive.run("publish", "plan", str(file)).stdout.split()[0]
        seen: list[dict[str, Any]] = []
        while not (seen and seen[-1]["event_type"] == "WorkflowCompleted"):
            seen.append(json.loads(following.stdout.readline()))
        following.send_signal(signal.SIGINT)
        assert following.wait(60) == 0
    mine = [event["event_id"] for event in seen if event["correlation_id"] == decision_id]
    since = hive.run("events", "--from", "10m", "--correlation", decision_id, "--json")
    told = [json.loads(text) for text in since.stdout.splitlines()]
    assert {event["event_id"] for event in told} >= set(mine) and len(mine) > 8
    assert told[0]["event_type"] in ("WorkflowStarted", "TicketCreated")
    assert [e["appended_at_ms"] for e in told] == sorted(e["appended_at_ms"] for e in told)
    newest = hive.run("events", "--last", "2", "--correlation", decision_id, "--json").stdout.splitlines()
    assert [json.loads(text)["event_id"] for text in newest] == [event["event_id"] for event in told[-2:]]
    cut = hive.run("events", "--from", "10m", "--correlation", decision_id, "--limit", "3")
    assert len(cut.stdout.splitlines()) == 3 and "there are more" in cut.stderr
    assert hive.run("events", "--topic", "nobodys").returncode == 1


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_top_tells_how_the_system_does(hive: Hive) -> None:
    seen = asked(hive, "top")
    assert {"processor", "projector"} <= {process["name"] for process in seen["processes"]}
    readers = {reader["name"]: reader for reader in seen["readers"]}
    assert {"orchestrator", "registry", "operations", "projector"} <= readers.keys()
    assert readers["operations"]["events_per_s"] is not None and not seen["troubles"]
    assert seen["dead_letters"] >= seen["dead_letters_redriven"] >= 1
    assert [agent["agent_id"] for agent in seen["agents"]] == ["local"]
    narrow = subprocess.run(
        [sys.executable, "-m", "neural_hive.cli", "top", "--once", "--data", str(hive.data)],
        env={**hive._environment, "COLUMNS": "50"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert max(map(len, narrow.splitlines())) <= 50


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_top_moves_on_a_terminal_and_ends_with_ctrl_c(hive: Hive) -> None:
    master, slave = pty.openpty()
    line = [sys.executable, "-m", "neural_hive.cli", "top", "--every", "0.5", "--data", str(hive.data)]
    with subprocess.Popen(line, stdin=slave, stdout=slave, stderr=slave, env=hive._environment) as watching:
        os.close(slave)
        try:
            screen = _read(master, b"operations", 120)
            later = _read(master, b"operations", 120)
            watching.send_signal(signal.SIGINT)
            assert b"\x1b[?1049h" in screen and later, (
                "it has the terminal for itself, and shows itself again"
            )
            rest = _read(master, b"\x1b[?1049l", 60)
            assert watching.wait(60) == 0
        finally:
            watching.kill()
    os.close(master)
    assert b"Traceback" not in screen + later + rest


def _read(terminal: int, until: bytes, timeout_s: float) -> bytes:
    seen, end = b"", time.monotonic() + timeout_s
    while until not in seen:
        assert time.monotonic() < end, seen[-2_000:]
        if select.select([terminal], [], [], 1)[0]:
            try:
                seen += os.read(terminal, 65_536)
            except OSError:  # the other side has gone
                return seen
    return seen


def test_nothing_runs(tmp_path: Path) -> None:
    for command in (("top",), ("workflows",), ("tickets",), ("events",), ("dead-letters",)):
        line = [sys.executable, "-m", "neural_hive.cli", *command, "--data", str(tmp_path / "none")]
        done = subprocess.run(line, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.startswith("error: nothing runs on") and done.stderr.count("\n") == 1
