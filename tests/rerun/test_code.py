"""Other code runs a history: a revision in a process of its own, or a function. What cannot be had is said."""

from pathlib import Path

import pytest

from neural_hive.replay.rerun.code import CodeUnusable, built_by, checked_out, run_elsewhere, systems_of
from neural_hive.replay.rerun.comparison import compare
from neural_hive.replay.rerun.elsewhere import Order
from neural_hive.replay.rerun.outside import Chosen
from neural_hive.replay.rerun.what_if import NAMES, Side, run
from neural_hive.settings import Settings
from neural_hive.streams.kernel.reading import MessageReader
from tests.rerun.worlds import hive_world, recording_of

ROOT = Path(__file__).parents[2]
VALUES = {name: field.default for name, field in Settings.model_fields.items()}

needs_git = pytest.mark.skipif(not (ROOT / ".git").exists(), reason="the package stands in no repository")


@needs_git
def test_a_revision_runs_a_history_in_a_process_of_its_own() -> None:
    recording = recording_of(hive_world(6))
    side = run_elsewhere("HEAD", Order(NAMES, _plain(), recording), Side)
    here = run(systems_of(_plain(), NAMES), recording, Chosen(), MessageReader())
    assert side.outcome.workflows.keys() == here.outcome.workflows.keys()
    assert compare(here.outcome, side.outcome).left.workflows


@needs_git
def test_a_revision_is_unpacked_and_taken_away() -> None:
    with checked_out("HEAD") as folder:
        assert (folder / "aggregates" / "matching.py").is_file()
    assert not folder.exists()


@needs_git
def test_a_revision_that_is_not_there_is_named() -> None:
    with (
        pytest.raises(CodeUnusable, match="the revision cannot be had from git"),
        checked_out("no-such-thing"),
    ):
        pass


@pytest.mark.parametrize(
    ("function", "why"),
    [
        ("no_such_module:build", "No module named"),
        ("tests.rerun.test_code:nothing", "has no attribute"),
        ("tests.rerun.test_code:stranger", "must give systems named orchestrator, registry"),
    ],
)
def test_a_function_that_gives_no_system_is_named(function: str, why: str) -> None:
    with pytest.raises(CodeUnusable, match=why):
        built_by(function, _plain(), systems_of(_plain(), NAMES))


def test_a_function_gives_a_system_in_the_place_of_one() -> None:
    systems = systems_of(_plain(), NAMES)
    found = built_by("tests.rerun.test_code:registry_alone", _plain(), systems)
    assert [system.name for system in found] == list(NAMES)
    assert found[0] is systems[0] and found[1] is not systems[1]


def _plain() -> dict[str, object]:
    from neural_hive.replay.rerun.code import SETTINGS

    return {name: VALUES[name] for name in SETTINGS}


def stranger(settings: object) -> list[str]:
    """No system at all."""
    return ["a stranger"]


def registry_alone(settings: object) -> object:
    """One of the two."""
    return systems_of(_plain(), ["registry"])[0]
