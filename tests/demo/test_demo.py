"""The demo: its parts alone, and the whole of it on a system of its own."""

import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import psutil
import pytest

from neural_hive.aggregates.decision import validate
from neural_hive.demo import tour
from neural_hive.demo.prepare import render
from neural_hive.demo.release import EXPECTED_WORDS, release_plan
from neural_hive.demo.report import report_plan
from neural_hive.demo.rollout import check_site, make_site, rollout_plan
from neural_hive.demo.system import DemoFailed, own_environment
from neural_hive.system import command_line


def test_the_plans_are_valid_and_know_their_places(tmp_path: Path) -> None:
    plans = (
        release_plan(tmp_path / "repository.git"),
        rollout_plan(tmp_path),
        report_plan(tmp_path / "gate"),
    )
    for decision in plans:
        assert validate(decision) == []
    given = [(task.parameters | task.environment) for decision in plans for task in decision.tasks]
    assert not any("filled in by the demo" in text for places in given for text in places.values())
    assert str(tmp_path / "repository.git") in [places.get("repository") for places in given]


def test_a_site_that_was_not_taken_back_is_noticed(tmp_path: Path) -> None:
    make_site(tmp_path)
    check_site(tmp_path)
    (tmp_path / "2").mkdir()
    with pytest.raises(DemoFailed, match=r"the site has .*'2'"):
        check_site(tmp_path)
    (tmp_path / "2").rmdir()
    (tmp_path / "1" / "index.html").write_text("two")
    with pytest.raises(DemoFailed, match="shows 'two'"):
        check_site(tmp_path)


def test_the_template_becomes_a_package_whose_tests_pass(tmp_path: Path) -> None:
    render("greeter", "2.0.0", tmp_path)
    environment = {"PYTHONPATH": str(tmp_path / "src"), "PATH": "/usr/bin:/bin"}
    tests = [sys.executable, "-P", "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path / "tests")]
    done = subprocess.run(tests, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "4 passed" in done.stdout, done.stdout
    said = subprocess.run(
        [sys.executable, "-P", "-m", "greeter", "Ada"],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout == "Hello, Ada! This is greeter 2.0.0.\n"


def test_the_prepare_task_makes_an_archive(tmp_path: Path) -> None:
    (tmp_path / "artifacts").mkdir()
    environment = {
        "NEURAL_HIVE_ARTIFACTS": str(tmp_path / "artifacts"),
        "NEURAL_HIVE_OUTPUTS": str(tmp_path / "outputs"),
    }
    command = [sys.executable, "-m", "neural_hive.demo.prepare", "greeter", "1.1.0"]
    subprocess.run(command, env=environment, cwd=tmp_path, check=True)
    with tarfile.open(tmp_path / "artifacts" / "source.tar") as archive:
        assert "src/greeter/__init__.py" in archive.getnames()
    assert (tmp_path / "outputs").read_text() == "name=greeter\nversion=1.1.0\n"


def test_a_missing_tool_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(DemoFailed, match="there is no git"):
        tour.check_tools()
    monkeypatch.setattr(tour, "_NEEDED_MODULES", ("pytest", "no_such_module"))
    with pytest.raises(DemoFailed, match="need no_such_module: install"):
        tour.check_tools()


def test_settings_of_another_system_do_not_reach_the_demo(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEURAL_HIVE_KAFKA_BOOTSTRAP", "production:9092")
    monkeypatch.setenv("NEURAL_HIVE_CACHE", "/cache")
    environment = own_environment()
    assert "NEURAL_HIVE_KAFKA_BOOTSTRAP" not in environment
    assert environment["NEURAL_HIVE_CACHE"] == "/cache"


@pytest.mark.slow
def test_the_whole_demo(tmp_path: Path) -> None:
    data = tmp_path / "data"
    done = subprocess.run(
        command_line("demo", "--keep", str(data)),
        cwd=tmp_path,
        env=own_environment(),
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert EXPECTED_WORDS in done.stdout
    assert re.search(r"probe +│ +3 │.*FAILED +│ cat: style.css: No such file", done.stdout)
    assert re.search(r"switch │ +2 │.*COMPENSATED.*\n.*upload │ +2 │.*COMPENSATED", done.stdout)
    assert "HIGH     │ WORKFLOW_FAILED │ OPEN" in done.stdout
    assert re.search(r"quarterly-report +\S+ +PAUSED\n(.*\n)*quarterly-report +\S+ +CANCELLED", done.stdout)
    assert "WorkflowPaused    │ the figures are not final │ demo" in done.stdout
    assert "All that was looked at holds" in done.stdout
    left = [p.pid for p in psutil.process_iter(["cmdline"]) if str(data) in " ".join(p.info["cmdline"] or ())]
    assert left == []
