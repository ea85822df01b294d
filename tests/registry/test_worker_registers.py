"""What a worker tells of itself when it registers is what its settings say."""

import pytest

from neural_hive.commands import processes
from neural_hive.sdk import agent
from neural_hive.sdk.agent import AgentConfig
from neural_hive.settings import BadSettings, load_settings


def test_its_capabilities_and_heartbeats_are_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[AgentConfig] = []

    class Client:
        def __init__(self, config: AgentConfig, *_: object) -> None:
            told.append(config)

        def start(self) -> None: ...

        def close(self, reason: str) -> None: ...

    monkeypatch.setattr(agent, "AgentClient", Client)
    monkeypatch.setenv("NEURAL_HIVE_WORKER_CAPABILITIES", '["gpu", "python-3.11"]')
    monkeypatch.setenv("NEURAL_HIVE_AGENT_HEARTBEAT_S", "7.5")
    monkeypatch.setenv("NEURAL_HIVE_WORKER_CONCURRENCY", "3")
    settings = load_settings(running=False, agent_id="forge", worker_task_types=("TEST",))
    with processes._told_to_registry(settings):
        pass
    expected = AgentConfig(
        "forge",
        capabilities=("gpu", "python-3.11"),
        task_types=("TEST",),
        capacity=3,
        heartbeat_every_s=7.5,
    )
    assert told == [expected]


def test_a_capability_that_is_no_name_is_refused() -> None:
    with pytest.raises(BadSettings, match="worker_capabilities"):
        load_settings(running=False, worker_capabilities=("a b",))
