"""What was it then, and why: asked of a real system, by Kafka and by the archive, and compared with what it held."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from neural_hive.replay.causes.node import Topics
from neural_hive.replay.checks.state import kept_states
from neural_hive.replay.moment import Moment
from neural_hive.replay.reader import KafkaSource
from neural_hive.replay.report import Findings
from neural_hive.replay.whole import Key, whole
from neural_hive.settings import load_settings
from neural_hive.streams.kernel.state import ROW, Row
from neural_hive.streams.kernel.system import System
from neural_hive.streams.systems import SYSTEMS
from tests.system.hive import Hive, eventually

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
QUIET = {"heartbeat": "3600", "degraded": "7200", "unhealthy": "10000", "removed": "20000"}  # of agents, s
FAILED = 1
GOOD = """
plan_id: good
tasks:
  - {task_id: test, command: ["true"]}
  - {task_id: validate, command: ["true"]}
  - {task_id: deploy, dependencies: [test, validate], command: ["true"]}
"""
BAD = """
plan_id: bad
tasks:
  - {task_id: build, command: ["true"], compensation: ["true"]}
  - {task_id: deploy, dependencies: [build], command: [sh, -c, "echo no such host >&2; exit 3"], max_retries: 1}
  - {task_id: announce, dependencies: [deploy], command: ["true"]}
"""


class Past:
    """A system that has run two plans, one to a good end and one to a bad one."""

    def __init__(self, hive: Hive, folder: Path) -> None:
        self.hive = hive
        for name, plan, code in (("good", GOOD, 0), ("bad", BAD, FAILED)):
            file = folder / f"{name}.yaml"
            file.write_text(plan)
            done = hive.run("publish", "plan", str(file), "--wait", "--timeout", "150")
            assert done.returncode == code, done.stdout + done.stderr
        [found] = eventually(
            lambda: hive.rows("SELECT workflow_id FROM workflows WHERE plan_id = 'bad' AND status = 'FAILED'")
        )
        self.workflow: str = found["workflow_id"]
        self.tickets: dict[str, str] = {
            row["task_id"]: row["ticket_id"]
            for row in hive.rows(
                f"SELECT task_id, ticket_id FROM tickets WHERE workflow_id = '{self.workflow}'"
            )
        }
        self.settings = load_settings(data=hive.data)
        self.systems: list[System] = [build(self.settings) for build in SYSTEMS.values()]
        self.topics = Topics.of(self.systems)
        eventually(self._is_archived)  # then all is at rest: no agent tells that it lives
        self.until = datetime.now(UTC).isoformat()

    def _is_archived(self) -> bool:
        ranges = {topic: self.source.ranges(topic) for topic in (*self.topics.events, *self.topics.messages)}
        ends = {(topic, p): end for topic, found in ranges.items() for p, (_, end) in found.items() if end}
        rows = self.hive.rows(
            "SELECT topic, partition, argMax(next, (epoch, step)) AS next FROM positions "
            "WHERE state = 'done' GROUP BY topic, partition"
        )
        reached = {(row["topic"], row["partition"]): int(row["next"]) for row in rows}
        return all(reached.get(place, 0) >= end for place, end in ends.items())

    @property
    def source(self) -> KafkaSource:
        """The log."""
        return KafkaSource({**self.hive.kafka(), "log_level": 2})

    def ask(self, *arguments: str) -> Any:
        """What `replay … --json` says; the same from Kafka and from the archive, which says that it was read."""
        found = []
        for source in ("kafka", "archive"):
            done = self.hive.said("replay", *arguments, "--source", source)
            assert done.returncode == 0, done.stdout + done.stderr
            assert ("Read from archive" in " ".join(done.stderr.split())) is (source == "archive"), (
                done.stderr
            )
            found.append(json.loads(done.stdout))
        assert found[0] == found[1]
        return found[0]

    def told(self, *arguments: str) -> str:
        """What a command prints, with single blanks."""
        done = self.hive.said("replay", *arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        return " ".join(done.stdout.split())


@pytest.fixture(scope="module")
def past(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Past]:
    folder = tmp_path_factory.mktemp("past")
    system = Hive(folder / "data", **{f"agent_{name}_s": value for name, value in QUIET.items()})
    try:
        system.up()
        yield Past(system, folder)
    finally:
        system.run("down")
    assert system.left_behind() == []


def test_the_whole_system_is_the_same_from_kafka_and_the_archive(past: Past) -> None:
    found = past.ask("state", "--all", "--at", past.until, "--json")["aggregates"]
    kinds = {one["aggregate_type"] for one in found}
    assert kinds == {"agent", "incident", "slot", "ticket", "trail", "workflow"}
    statuses = {
        one["aggregate_id"]: one["state"]["status"] for one in found if one["aggregate_type"] == "ticket"
    }
    assert len(statuses) == 6
    assert {task: statuses[ticket_id] for task, ticket_id in past.tickets.items()} == {
        "build": "COMPENSATED",
        "deploy": "FAILED",
        "announce": "CANCELLED",
    }
    [alone] = past.ask("state", "--all", "--type", "incident", "--json")["aggregates"]
    assert alone in found


def test_the_states_are_those_of_rocksdb(past: Past) -> None:
    aggregates = [a for system in past.systems for a in system.all_aggregates]
    kept = eventually(lambda: _as_the_log_has_it(past, aggregates))
    assert len(kept) > 15


def _as_the_log_has_it(past: Past, aggregates: list[Any]) -> dict[Key, Any] | None:
    """The rows of all processors, if the fold of the log has the same; it goes on while they are read."""
    kept = _kept(past)
    found = whole(past.source, aggregates)
    folded = {
        key: (one.version, one.occurred_at, bytes.fromhex(one.hash), one.state) for key, one in found.items()
    }
    return kept if kept == folded else None


def _kept(past: Past) -> dict[Key, Any]:
    rows: dict[Key, Any] = {}
    for system in past.systems:
        by_name = {a.name: a for a in system.all_aggregates}
        for partition in range(past.settings.partitions):
            for kept in kept_states(past.hive.data / "processors", system, partition, Findings()):
                for key, value in kept.store.rows():
                    if key[:1] == ROW:
                        name, aggregate_id = key[1:].decode().split("\0")
                        row = msgspec.msgpack.decode(value, type=Row[by_name[name].state])
                        rows[name, aggregate_id] = (row.version, row.occurred_at, row.hash, row.state)
                kept.store.close()
    return rows


def test_states_at_any_time_are_those_of_the_as_of_views(past: Past) -> None:
    aggregates = [a for system in past.systems for a in system.all_aggregates]
    times = past.hive.rows(
        "SELECT DISTINCT toUnixTimestamp64Milli(timestamp) AS at FROM events "
        "WHERE topic IN ('execution.tickets', 'orchestration.workflows') ORDER BY at"
    )
    assert len(times) > 10
    for time in times[:: len(times) // 5]:
        at = int(time["at"]) * 1_000
        states = whole(past.source, aggregates, Moment(at))
        text = datetime.fromtimestamp(at / 1e6, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
        for kind in ("ticket", "workflow"):
            sql = f"SELECT {kind}_id AS id, status, version FROM {kind}s_as_of(at = '{text}')"
            viewed = {row["id"]: (row["status"], int(row["version"])) for row in past.hive.rows(sql)}
            # An event of which a read model says nothing makes no row, and no version.
            folded = {
                aggregate_id: (str(one.state.status), one.version)
                for (name, aggregate_id), one in states.items()
                if name == kind
            }
            assert {i: status for i, (status, _) in viewed.items()} == {i: s for i, (s, _) in folded.items()}
            assert all(version <= folded[i][1] for i, (_, version) in viewed.items())


def test_one_aggregate_at_a_version_a_time_and_a_record(past: Past) -> None:
    deploy = past.tickets["deploy"]
    lines = past.ask("history", deploy, "--json")
    fourth = lines[3]
    assert fourth["envelope"]["version"] == 4
    by_version = past.ask("state", deploy, "--version", "4")
    assert past.ask("state", deploy, "--offset", fourth["place"]) == by_version
    assert by_version["hash"] == fourth["hash"]
    assert past.ask("state", deploy, "--at", past.until)["state"]["status"] == "FAILED"
    [one] = [
        one
        for one in past.ask("state", "--all", "--offset", fourth["place"], "--json")["aggregates"]
        if one["aggregate_id"] == deploy
    ]
    assert one == by_version


def test_the_timeline_says_what_changed_and_why(past: Past) -> None:
    deploy = past.tickets["deploy"]
    lines = past.ask("history", deploy, "--json")
    assert [line["envelope"]["version"] for line in lines] == list(range(1, 13))
    assert lines[0]["reason"]["type"] == "DecisionConsolidated"
    retried = next(line for line in lines if line["reason"]["type"] == "retry")
    assert retried["envelope"]["event_type"] == "TicketReady"
    assert {"path": ["status"], "before": "PENDING", "after": "READY"} in retried["changes"]
    assert retried["since_us"] >= 900_000
    text = past.told("history", deploy)
    assert "by timer retry" in text
    assert "DecisionConsolidated plans.consensus:" in text


def test_differences_of_one_and_of_all(past: Past) -> None:
    deploy = past.tickets["deploy"]
    one = past.ask("diff", deploy, "--from", "v4", "--to", "v5", "--json")
    assert [event["event_type"] for event in one["events"]] == ["TicketStarted"]
    [status] = [change for change in one["changes"] if change["path"] == ["status"]]
    assert (status["before"], status["after"], status["by"]) == (
        "ASSIGNED",
        "RUNNING",
        [one["events"][0]["place"]],
    )
    assert "nothing changed" in past.told("diff", deploy, "--from", "v12")
    created = past.ask("history", deploy, "--json")[0]["place"]
    everything = past.ask("diff", "--all", "--from", created, "--to", past.until, "--json")
    [found] = [d for d in everything if d["aggregate_id"] == deploy]
    assert (found["version_before"], found["version_after"]) == (1, 12)
    assert {d["aggregate_id"] for d in everything if d["version_before"] == 0} >= {past.tickets["announce"]}
    assert "appeared" in past.told("diff", "--all", "--from", created, "--type", "ticket")


def test_causes_lead_back_to_the_plan_across_systems(past: Past) -> None:
    last = past.ask("history", past.tickets["deploy"], "--json")[-1]
    found = past.ask("cause", last["place"], "--json")
    assert found["asked"] == last["envelope"]["event_id"]
    kinds = [branch["node"]["type"] for branch in found["before"]]
    assert kinds[0] == "DecisionConsolidated"
    assert kinds[-1] == "ReportResult"
    assert "retry" in kinds
    producers = {branch["node"]["producer"] for branch in found["before"]}
    assert {"orchestrator", "registry"} <= producers
    down = past.ask("cause", found["before"][0]["node"]["id"], "--json", "--depth", "100")
    assert _holds(down["tree"], found["asked"])
    assert past.told("cause", last["envelope"]["event_id"]).startswith(
        "DecisionConsolidated plans.consensus:"
    )
    assert past.told("cause", last["place"], "--mermaid").startswith("flowchart TD n0")


def _holds(branch: dict[str, Any], event_id: str) -> bool:
    return branch["node"]["id"] == event_id or any(_holds(caused, event_id) for caused in branch["caused"])


def test_stories_say_why(past: Past) -> None:
    ticket = [s["text"] for s in past.ask("explain", past.tickets["deploy"], "--json")]
    assert "is FAILED since" in ticket[0]
    assert "attempt 2 of 2" in ticket[0]
    assert any("when build was completed" in text for text in ticket)
    assert any("no such host" in text for text in ticket)
    assert any("no attempt was left" in text for text in ticket)
    workflow = " ".join(s["text"] for s in past.ask("explain", past.workflow, "--json"))
    assert "Task deploy failed" in workflow
    assert "announce was cancelled" in workflow
    assert "Undone, in this order: build" in workflow
    assert all(s["places"] for s in past.ask("explain", "local", "--json"))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("explain", "nobody"), "no event of nobody"),
        (("cause", "nobody"), "no event or message has the id"),
        (("cause", "execution.tickets:0:999999"), "there is no execution.tickets:0:999999"),
        (("state", "--all", "--version", "2"), "a version of one aggregate"),
        (("state", "--all", "--type", "car"), "no aggregate type car; there are: agent"),
        (("diff", "--all", "--from", "now", "--to", "2020-01-01"), "not before the second one"),
        (
            ("diff", "local", "--from", "v1", "--to", "plans.consensus:0:0"),
            "events stand in execution.tickets",
        ),
    ],
)
def test_what_cannot_be_answered_is_one_line_that_says_what_to_do(
    past: Past, arguments: tuple[str, ...], says: str
) -> None:
    done = past.hive.run("replay", *arguments)
    assert done.returncode == FAILED, done.stdout
    assert says in done.stderr
    assert done.stderr.startswith("error: ")
    assert len(done.stderr.strip().splitlines()) == 1
