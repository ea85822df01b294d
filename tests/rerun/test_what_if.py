"""A history run again: unchanged it differs in nothing, changed as the change says, and nothing is written."""

from collections.abc import Sequence
from functools import cache

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from neural_hive.aggregates.agent import Silence
from neural_hive.connectors import kafka_log
from neural_hive.replay.report import Findings
from neural_hive.replay.rerun.chart import chart
from neural_hive.replay.rerun.decisions import check_decisions
from neural_hive.replay.rerun.outside import Chosen
from neural_hive.replay.rerun.recording import Recording
from neural_hive.replay.rerun.simulation import Simulation
from neural_hive.replay.rerun.tables import render
from neural_hive.replay.rerun.what_if import WhatIf, chosen_outside, lag_ms, partitions_of, run, what_if
from neural_hive.streams.kernel import partition_log
from neural_hive.streams.kernel.reading import MessageReader
from neural_hive.streams.kernel.system import System
from neural_hive.streams.orchestrator import system as orchestrator
from neural_hive.streams.orchestrator.flow import Limits
from neural_hive.streams.registry import system as registry
from tests.rerun.worlds import hive_world, recording_of, recording_of_run

SIMULATED = "0" * 16  # the logic version of a run
READ = MessageReader()


class Told(msgspec.Struct):
    """A history, and the settings that it was made with."""

    recording: Recording
    limits: Limits


@cache
def told(seed: int) -> Told:
    """The history of a world full of faults."""
    world = hive_world(seed)
    limits = Limits(workflows_max=world.scenario.workflows_max)  # type: ignore[attr-defined]
    return Told(recording_of(world), limits)


def systems(limits: Limits, silence: Silence | None = None) -> Sequence[System]:
    """Both systems."""
    return orchestrator.build(limits), registry.build(silence or Silence())


def asked(history: Told, tried: Limits, chosen: Chosen | None = None) -> WhatIf:
    """What would have been with other limits."""
    chosen = chosen or Chosen()
    variant = run(systems(tried), history.recording, chosen, READ)
    return what_if(history.recording, systems(history.limits), chosen, READ, variant, {})


def simulated(history: Told) -> Recording:
    """The log of a run over it."""
    outside = chosen_outside(systems(history.limits), history.recording, Chosen(), READ)
    counts = partitions_of(history.recording, systems(history.limits))
    lags_ms = {system.name: lag_ms(history.recording, system) for system in systems(history.limits)}
    simulation = Simulation(systems(history.limits), counts, lags_ms, outside, READ)
    simulation.run()
    return recording_of_run(simulation)


@given(st.integers(0, 10_000))
@settings(max_examples=8, deadline=None)
def test_what_is_not_changed_differs_in_nothing(seed: int) -> None:
    history = told(seed)
    answer = asked(history, history.limits)
    assert answer.difference.is_empty
    assert answer.difference.left == answer.difference.right


# Where a compensation still waits for an agent when the history ends, the run goes on for longer than the history.
_RUNS_ON = pytest.param(80, marks=pytest.mark.xfail(strict=True))


@pytest.mark.parametrize("seed", [*range(6), _RUNS_ON])
def test_the_log_of_a_run_is_a_history_that_gives_itself_and_can_be_verified(seed: int) -> None:
    history = told(seed)
    again = Told(simulated(history), history.limits)
    answer = asked(again, history.limits)
    assert answer.deviation.is_empty
    assert answer.difference.is_empty
    findings = Findings()
    for system in systems(history.limits):
        check_decisions(system, again.recording, SIMULATED, READ, findings)
    assert findings.kept == []
    assert findings.counts["decided_again"]


@given(st.integers(0, 10_000))
@settings(max_examples=3, deadline=None)
def test_a_limit_that_is_tried_holds(seed: int) -> None:
    history = told(seed)
    answer = asked(history, Limits(workflows_max=1))
    partitions = [0, 0]
    for held in simulated(Told(history.recording, Limits(workflows_max=1))).topics["orchestration.workflows"]:
        active = most = 0
        for record in held.records:
            kind = dict(record.headers)["event_type"]
            if kind in (b"WorkflowStarted", b"WorkflowAdmitted"):
                active += 1
            elif kind in (b"WorkflowCompleted", b"WorkflowFailed", b"WorkflowCancelled", b"WorkflowQueued"):
                active -= 1
            most = max(most, active)
        partitions.append(most)
    assert max(partitions) <= 2  # one that begins in the moment in which another one ends
    assert answer.difference.left.workflows.keys() and answer.difference.right.workflows.keys()


def test_a_history_is_read_and_never_changed() -> None:
    history = told(3)
    before = msgspec.msgpack.encode(history.recording)
    asked(history, Limits(workflows_max=1))
    assert msgspec.msgpack.encode(history.recording) == before


def test_what_differs_is_named_and_shown() -> None:
    history = told(6)
    answer = asked(history, Limits(workflows_max=1))
    assert not answer.difference.is_empty
    assert any(field.field == "duration_ms" for one in answer.difference.workflows for field in one.fields)
    console = Console(width=150, record=True)
    render(answer, console)
    text = console.export_text()
    assert "tickets differ" in text and "took " in text
    picture = chart(answer)
    assert picture.startswith("<svg ") and picture.endswith("</svg>\n")


def test_only_the_chosen_plans_are_run() -> None:
    history = told(6)
    answer = asked(history, history.limits, Chosen(("decision-1", "decision-2*")))
    assert set(answer.baseline.outcome.workflows) <= {"decision-1", "decision-2"}
    assert answer.baseline.outcome.workflows


def test_what_history_cannot_know_is_assumed_and_said() -> None:
    history = told(6)
    answer = asked(history, history.limits)
    assert answer.baseline.assumed
    assert all(one.why and one.ran_ms >= 0 for one in answer.baseline.assumed)


def test_nothing_in_a_run_can_write_to_kafka(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*what: object, **more: object) -> None:
        raise AssertionError("a run has made a producer")

    for module in (partition_log, kafka_log):
        for name in ("Producer", "Consumer"):
            monkeypatch.setattr(module, name, refused, raising=False)
    monkeypatch.setattr(partition_log.KafkaPartitionLog, "__init__", refused)
    history = told(2)
    assert asked(history, Limits(workflows_max=1)).variant.outcome.workflows
