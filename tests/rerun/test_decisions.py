"""Decisions that are run again give the same bytes; what was changed or is decided otherwise is named by its fields."""

from collections.abc import Callable
from functools import cache
from typing import Any

import msgspec
import pytest

from neural_hive.aggregates import fairness
from neural_hive.replay.report import Check, Findings, Report
from neural_hive.replay.rerun.decisions import check_decisions
from neural_hive.replay.rerun.recording import Recording
from neural_hive.schemas.codec import decode, encode_event
from neural_hive.streams.kernel.reading import MessageReader
from neural_hive.streams.orchestrator import flow as orchestrator_flow
from tests.rerun.worlds import LOGIC, hive_world, recording_of
from tests.simulation.world import World

SEEDS = 30
hive = cache(hive_world)


def checked(world: World, recording: Recording, logic: str = LOGIC) -> Report:
    """What running all decisions of a world again finds."""
    findings = Findings()
    for system in world.systems.values():
        check_decisions(system, recording, logic, MessageReader(), findings)
    return findings.report([], 0.0)


def edited(recording: Recording, event_type: str, edit: Callable[[dict[str, Any]], Any]) -> str:
    """Changes the payload of the last event of a type; gives its place."""
    for held in recording.topics["execution.tickets"]:
        for at in range(len(held.records) - 1, -1, -1):
            record = held.records[at]
            decoded = decode(record.value or b"", "event")
            if decoded.head.event_type == event_type:  # type: ignore[union-attr]
                edit(decoded.payload)
                value = encode_event(decoded.head, decoded.payload)  # type: ignore[arg-type]
                held.records[at] = msgspec.structs.replace(record, value=value)
                return f"{record.topic}:{record.partition}:{record.offset}"
    raise AssertionError(f"this world has no {event_type}")


@pytest.mark.parametrize("seed", range(SEEDS))
def test_every_decision_of_a_world_full_of_faults_gives_the_same_bytes(seed: int) -> None:
    world = hive(seed)
    report = checked(world, recording_of(world))
    assert report.findings == ()
    assert report.left_out == ()
    assert report.counts["decided_again"] > 10


def test_an_event_that_was_changed_is_named_with_its_fields() -> None:
    world = hive(2)
    recording = recording_of(world)
    place = edited(recording, "TicketAllocated", lambda payload: payload.update(score=0.123))
    found = checked(world, recording).findings
    assert [(f.check, f.place, f.expected) for f in found if "score" in f.expected] == [
        (Check.DECISION, place, "payload.score = 0.123")
    ]


def test_other_code_decides_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    world = hive(1)
    monkeypatch.setattr(orchestrator_flow, "place", lambda *what: fairness.place(*what) + 1)
    found = checked(world, recording_of(world)).findings
    assert {f.expected.partition(" = ")[0] for f in found} >= {"payload.place", "the same bytes"}


def test_what_another_logic_version_decided_is_left_out_and_said() -> None:
    world = hive(1)
    report = checked(world, recording_of(world), logic="newer")
    assert report.findings == () and report.exit_code == 0
    assert not report.outcomes
    (left,) = report.left_out
    assert "logic version logic decided it" in left.reason
    assert left.count > 10


def test_an_input_that_is_gone_is_left_out_and_said() -> None:
    world = hive(1)
    recording = recording_of(world)
    for held in recording.topics["plans.consensus"]:
        held.records.clear()
    report = checked(world, recording)
    assert report.findings == ()
    assert {left.reason for left in report.left_out} == {
        "plans.consensus does not have the input any more, nor has the archive"
    }
