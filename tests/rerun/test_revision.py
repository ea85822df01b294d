"""The code of a git revision makes its decisions again, whatever stands around it; what it cannot do is said."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from neural_hive.replay.report import Check, Findings, Report
from neural_hive.replay.rerun import code
from neural_hive.replay.rerun.code import SETTINGS, CodeUnusable, systems_of
from neural_hive.replay.rerun.recording import Recording
from neural_hive.replay.rerun.revision import check_decisions_elsewhere, deciding
from neural_hive.replay.rerun.what_if import NAMES
from neural_hive.settings import Settings
from tests.rerun.worlds import hive_world, recording_of

ROOT = Path(__file__).parents[2]
VALUES = {name: Settings.model_fields[name].default for name in SETTINGS}
SEED = 1

pytestmark = pytest.mark.skipif(not (ROOT / ".git").exists(), reason="the package stands in no repository")

Revise = Callable[[Callable[[Path], None]], str]


@pytest.fixture
def revise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Revise:
    """Makes a revision by a change of the files, in a copy of the repository that the package seems to stand in."""
    copy = tmp_path / "copy"
    subprocess.run(["git", "clone", "-q", "--shared", str(ROOT), str(copy)], check=True)
    monkeypatch.setattr(code, "_ROOT", copy)

    def revised(change: Callable[[Path], None]) -> str:
        change(copy)
        by = ["-c", "user.name=test", "-c", "user.email=test@example.org"]
        subprocess.run(["git", "-C", str(copy), *by, "commit", "-qam", "another layout"], check=True)
        said = subprocess.run(
            ["git", "-C", str(copy), "rev-parse", "HEAD"], capture_output=True, text=True, check=True
        )
        return said.stdout.strip()

    return revised


def edited(file: Path, old: str, new: str) -> None:
    """Changes one line of the code."""
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))


def without_replay(folder: Path) -> None:
    """What looks at decisions is not there, what makes them is; and a word of it is another one."""
    subprocess.run(
        ["git", "-C", str(folder), "rm", "-rq", "replay", "neural_hive/commands", "tests"], check=True
    )
    edited(folder / "aggregates" / "fairness.py", '"""', '"""Then: ')


def history_of(revision: str) -> Recording:
    """A history that seems to be written by the code of a revision, and was decided by this build's."""
    versions = {}
    for name in NAMES:
        with deciding(revision, name, VALUES) as decider:
            versions[name] = decider.about().logic
    return recording_of(hive_world(SEED, versions))


def checked(revision: str, recording: Recording) -> Report:
    """What the revision's code finds in a history."""
    findings = Findings()
    for system in systems_of(VALUES, NAMES):
        check_decisions_elsewhere(revision, system, VALUES, recording, findings)
    return findings.report([], 0.0)


def test_a_revision_of_another_layout_gives_the_same_bytes(revise: Revise) -> None:
    revision = revise(without_replay)
    report = checked(revision, history_of(revision))
    assert report.findings == ()
    assert report.left_out == ()
    assert report.counts["decided_again"] > 10


def test_what_a_revision_decides_otherwise_is_named_by_its_fields(revise: Revise) -> None:
    def later(folder: Path) -> None:
        file = folder / "aggregates" / "fairness.py"
        file.write_text(
            file.read_text() + "\n\n_place = place\n\n\ndef place(*what):\n    return _place(*what) + 1\n"
        )

    revision = revise(later)
    report = checked(revision, history_of(revision))
    assert {f.check for f in report.findings} == {Check.DECISION}
    assert any(f.expected.startswith("payload.place = ") for f in report.findings)


def test_a_revision_leaves_out_what_other_code_decided() -> None:
    report = checked("HEAD", recording_of(hive_world(SEED)))
    assert report.findings == ()
    assert all("logic version logic decided it" in left.reason for left in report.left_out)
    assert sum(left.count for left in report.left_out) > 10


def test_a_revision_that_cannot_decide_says_why_and_what_to_do(revise: Revise) -> None:
    def without_fold(folder: Path) -> None:
        (folder / "streams" / "kernel" / "fold.py").unlink()

    revision = revise(without_fold)
    with pytest.raises(
        CodeUnusable, match=r"No module named 'neural_hive.streams.kernel.fold'.*check that revision out"
    ):
        checked(revision, recording_of(hive_world(SEED)))


def test_a_revision_of_code_that_ends_in_the_midst_is_named(revise: Revise) -> None:
    def ending(folder: Path) -> None:
        file = folder / "streams" / "kernel" / "inbox.py"
        head = "def check_header(header: Header) -> None:\n"
        edited(file, head, f"{head}    raise SystemExit(3)\n")

    revision = revise(ending)
    with pytest.raises(CodeUnusable, match=f"the code of {revision} cannot make decisions"):
        checked(revision, history_of(revision))
