"""Who is found in the read models is who the matching finds in the log itself."""

import json
import time
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from click.testing import Result
from prometheus_client import REGISTRY
from typer.testing import CliRunner

from neural_hive.aggregates.agent import AgentType
from neural_hive.aggregates.aggregate import Rejected
from neural_hive.aggregates.matching import match
from neural_hive.aggregates.slot import SlotOutcome
from neural_hive.aggregates.vocabulary import TaskType
from neural_hive.cli import build as build_command
from neural_hive.connectors.clickhouse import ClickHouse
from neural_hive.discovery import Wanted, discover
from neural_hive.projections.agents import AGENTS as AGENTS_MODEL
from neural_hive.projections.http_store import HttpStore
from neural_hive.projections.pheromones import PHEROMONES
from neural_hive.projections.read_models import rebuild
from neural_hive.projections.slots import SLOTS
from neural_hive.streams.agents_view import AGENTS, TRAILS, candidates
from neural_hive.streams.registry.messages import (
    DeregisterAgent,
    Heartbeat,
    RegisterAgent,
    ReleaseSlots,
    ReserveSlots,
    SlotRelease,
    SlotRequest,
)
from neural_hive.streams.registry.system import build
from tests.fixtures_clickhouse import ClickHouseServer
from tests.privacy.memory_keys import hidden
from tests.projections.grammar import given
from tests.registry.kernel_unit import SECOND, KernelUnit
from tests.registry.recorded import Recorded


@pytest.fixture(scope="module")
def registry() -> Iterator[KernelUnit]:
    """Five agents with a history: good, failing, silent, gone, and one for tests only."""
    unit = KernelUnit(build())
    unit.now = time.time_ns() // 1_000 - 100 * SECOND  # the command looks at trails as they are by now
    for name in ("good", "failing", "silent", "gone"):
        unit.handle(RegisterAgent(name, AgentType.WORKER, ("python", name), (), 2))
    unit.handle(RegisterAgent("tester", AgentType.WORKER, ("python",), (TaskType.TEST,), 1))
    unit.handle(DeregisterAgent("gone", "done", hidden("ann")))
    unit.pass_time(60)
    unit.handle(Heartbeat("good", 0.9, 0.5, 10))
    unit.handle(Heartbeat("failing", 1.0, 0.0, 10))
    unit.handle(Heartbeat("tester", 1.0, 0.0, 10))
    for name, outcome in (("good", SlotOutcome.COMPLETED), ("failing", SlotOutcome.FAILED)):
        lease = unit.now + 600 * SECOND
        asked = tuple(SlotRequest(f"{name}-{n}", 1, n, lease) for n in range(4))
        unit.handle(ReserveSlots(name, "w", asked))
        unit.handle(ReleaseSlots(name, "w", (SlotRelease(f"{name}-0", 1, outcome, "TEST"),)))
    unit.pass_time(40)
    yield unit
    unit.close()


@pytest.fixture(scope="module")
def served(clickhouse: ClickHouseServer, registry: KernelUnit) -> Iterator[str]:
    """The name of a database with the read models of that history."""
    name = f"discovery_{uuid.uuid4().hex[:8]}"
    store = HttpStore(clickhouse.host, clickhouse.port, clickhouse.user, clickhouse.password, name)
    store.create_database()
    given(store, *(output.value for output in registry.log))
    for model in (AGENTS_MODEL, PHEROMONES, SLOTS):
        rebuild(store, model)
    yield name
    store.command(f"DROP DATABASE {name}")
    store.close()


@pytest.fixture
def tables(clickhouse: ClickHouseServer, served: str) -> Iterator[ClickHouse]:
    with clickhouse.client(database=served) as client:
        yield client


def of_the_log(registry: KernelUnit, view: Any) -> Any:
    value = view.empty
    for output in registry.log:
        if output.topic == view.topic:
            value = view.add(value, Recorded(output.value))
    return value


@pytest.mark.parametrize("task_type", [None, TaskType.TEST, TaskType.BUILD])
@pytest.mark.parametrize("required", [(), ("python",), ("python", "good"), ("rust",)])
def test_the_read_models_give_what_the_log_gives(
    registry: KernelUnit, tables: ClickHouse, task_type: TaskType | None, required: tuple[str, ...]
) -> None:
    agents, trails = of_the_log(registry, AGENTS), of_the_log(registry, TRAILS)
    known = candidates(agents, trails, task_type or "none")
    expected = match(known, required, registry.now, 9, task_type)
    found = discover(tables, Wanted(required, task_type, count=9), registry.now)
    assert [(one.agent_id, one.score, one.pheromone, one.telemetry) for one in found] == [
        (one.agent_id, one.score, one.pheromone, one.telemetry) for one in expected
    ]


def test_what_is_held_and_waits_is_told(registry: KernelUnit, tables: ClickHouse) -> None:
    found = discover(tables, Wanted(("python",), TaskType.TEST), registry.now)
    assert [(one.agent_id, one.held, one.waiting, one.capacity) for one in found] == [
        ("good", 2, 1, 2),
        ("tester", 0, 0, 1),
        ("failing", 2, 1, 2),
    ]
    assert [one.agent_id for one in discover(tables, Wanted(count=1), registry.now)] == ["failing"]


def test_a_search_is_counted_with_what_it_found(registry: KernelUnit, tables: ClickHouse) -> None:
    def value(name: str) -> float:
        return REGISTRY.get_sample_value(name, {"asked_by": "client"}) or 0.0

    names = ("discovery_requests_total", "matching_candidates_evaluated_sum", "agents_matched_sum")
    before = [value(name) for name in names]
    found = discover(tables, Wanted(("python",), TaskType.TEST), registry.now)
    requests, looked_at, matched = (value(n) - b for n, b in zip(names, before, strict=True))
    assert (requests, matched) == (1, len(found))
    assert looked_at > matched


def test_what_makes_no_sense_is_refused(tables: ClickHouse) -> None:
    with pytest.raises(Rejected, match="domain must be"):
        discover(tables, Wanted(domain="a/b"))
    with pytest.raises(ValueError, match="count must be within"):
        discover(tables, Wanted(count=0))


@pytest.fixture
def command(clickhouse: ClickHouseServer, served: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    settings = {
        "CLICKHOUSE_HOST": clickhouse.host,
        "CLICKHOUSE_PORT": str(clickhouse.port),
        "CLICKHOUSE_USER": clickhouse.user,
        "CLICKHOUSE_PASSWORD": clickhouse.password,
        "CLICKHOUSE_DATABASE": served,
    }
    for name, value in settings.items():
        monkeypatch.setenv(f"NEURAL_HIVE_{name}", value)

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(build_command(["agents"]), ["agents", *arguments], env={"COLUMNS": "200"})

    return run


def test_the_command_finds_the_best(command: Any) -> None:
    done = command("--capability", "python", "--task-type", "test", "--top", "2", "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.output)
    assert [one["agent_id"] for one in found] == ["good", "tester"]
    assert set(found[0]) == {
        *("agent_id", "score", "health", "pheromone", "telemetry", "held", "waiting", "capacity"),
    }
    assert "no healthy agent can do it" in command("--capability", "rust").output
    assert "│ good" in command("--capability", "good").output


def test_the_command_lists_agents_with_their_slots(command: Any) -> None:
    found = {one["agent_id"]: one for one in json.loads(command("--json").output)}
    assert set(found) == {"good", "failing", "silent", "tester"}
    assert (found["good"]["held"], found["good"]["waiting"], found["good"]["capacity"]) == (2, 1, 2)
    assert found["silent"]["status"] == "DEGRADED"
    assert "gone" in command("--gone").output


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--task-type", "COOK"), "is none of BUILD, TEST"),
        (("--domain", "a/b"), "domain must be"),
        (("--top", "3", "--gone"), "who is gone gets no work"),
        (("--top", "0"), "greater than or equal to 1"),
    ],
)
def test_the_command_says_what_is_wrong(command: Any, arguments: tuple[str, ...], reason: str) -> None:
    done = command(*arguments)
    assert done.exit_code == 2
    assert reason in " ".join(done.output.replace("│", " ").split())
