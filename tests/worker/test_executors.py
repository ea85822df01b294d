"""BUILD, TEST and VALIDATE on real sources: what comes out, and what is refused."""

import hashlib
import importlib.util
import tarfile
import zipfile
from collections.abc import Iterator
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest

from neural_hive.connectors.executors.source import unpack
from neural_hive.connectors.executors.task import Unfit
from neural_hive.settings import BadSettings, load_settings
from tests.worker.executing import Bench, write

PROJECT = {
    "pyproject.toml": """\
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"
[project]
name = "adder"
version = "1.2"
requires-python = ">=3.11"
""",
    "adder/__init__.py": "def add(a, b):\n    return a + b\n",
    "tests/test_adder.py": """\
import pytest
from adder import add
def test_right(): assert add(1, 2) == 3
def test_wrong(): assert add(1, 2) == 4
@pytest.fixture
def broken(): raise RuntimeError
def test_broken(broken): pass
@pytest.mark.skip
def test_left_out(): pass
""",
}


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    bench.close()


def test_a_wheel_is_built_and_the_same_source_gives_the_same_bytes(bench: Bench) -> None:
    source = bench.archive("source.tar", PROJECT)
    report = bench.run("BUILD", {"source": source.uri}, inputs=(source,))
    assert report.ended == "COMPLETED", report.error
    wheel = next(file for file in report.artifacts if file.name == "adder-1.2-py3-none-any.whl")
    assert report.outputs == {
        "wheel": wheel.name,
        "name": "adder",
        "version": "1.2",
        "sha256": wheel.sha256,
        "size_bytes": str(wheel.size_bytes),
    }
    folder = write(bench.folder / "project", PROJECT)
    again = bench.run("BUILD", {"source": str(folder)})
    assert again.outputs == report.outputs
    assert not (folder / "dist").exists()

    bench.store.fetch(wheel.sha256, bench.folder / wheel.name)
    assert hashlib.sha256((bench.folder / wheel.name).read_bytes()).hexdigest() == report.outputs["sha256"]
    assert "adder/__init__.py" in zipfile.ZipFile(bench.folder / wheel.name).namelist()


def test_a_build_that_breaks_fails_with_its_last_words(bench: Bench) -> None:
    source = write(bench.folder / "p", PROJECT | {"pyproject.toml": "[build-system"})
    report = bench.run("BUILD", {"source": str(source)})
    assert (report.ended, report.exit_code) == ("FAILED", 1)
    assert "the build ended with exit code" in report.error
    assert [file.name for file in report.artifacts] == ["output.log"]


def test_failed_tests_fail_with_their_counts(bench: Bench) -> None:
    source = bench.archive("source.tar", PROJECT)
    report = bench.run("TEST", {"source": source.uri, "arguments": "-k 'not nothing'"}, inputs=(source,))
    assert (report.ended, report.exit_code) == ("FAILED", 1)
    assert report.error.endswith("of 4 tests 1 failed and 1 had errors")
    assert report.outputs == {"tests": "4", "failures": "1", "errors": "1", "skipped": "1"}
    assert "test_wrong" in bench.kept(report, "junit.xml")


def test_tests_that_pass_and_the_coverage_that_they_leave(bench: Bench) -> None:
    stale = '<?xml version="1.0" ?><coverage line-rate="0.875"></coverage>'
    leaves = (
        "def test_left(): open('coverage.json', 'w').write('{\"totals\": {\"percent_covered\": 66.6}}')\n"
    )
    source = write(bench.folder / "p", PROJECT | {"coverage.xml": stale, "tests/test_left.py": leaves})
    passed = {"tests": "1", "failures": "0", "errors": "0", "skipped": "0"}
    report = bench.run("TEST", {"source": str(source), "path": "tests", "arguments": "-k test_right"})
    assert (report.ended, report.outputs) == ("COMPLETED", passed), report.error
    report = bench.run("TEST", {"source": str(source), "path": "tests", "arguments": "-k test_left"})
    assert report.outputs == {
        "tests": "2",
        "failures": "0",
        "errors": "0",
        "skipped": "1",
        "coverage": "66.60",
    }
    none = bench.run("TEST", {"source": str(source), "arguments": "-k nothing_like_it"})
    assert none.ended == "FAILED"
    assert none.error.endswith("no test was run")


def test_the_coverage_is_measured_and_may_be_too_low(bench: Bench) -> None:
    more = "def add(a, b):\n    return a + b\n\n\ndef sub(a, b):\n    return a - b\n"
    source = write(bench.folder / "p", PROJECT | {"adder/__init__.py": more})
    measured = {"source": str(source), "arguments": "-k test_right", "coverage": "adder"}
    report = bench.run("TEST", measured | {"coverage_min": "75"})
    assert report.ended == "COMPLETED", report.error
    assert report.outputs["coverage"] == "75.00"
    assert 'line-rate="0.75"' in bench.kept(report, "coverage.xml")
    low = bench.run("TEST", measured | {"coverage_min": "75.1"})
    assert (low.ended, low.outputs["coverage"]) == ("FAILED", "75.00")
    assert low.error.endswith("the coverage is 75.00 %; at least 75.1 % is asked for")
    nothing = bench.run("TEST", measured | {"coverage": "subtractor", "coverage_min": "1"})
    assert nothing.error.endswith("the coverage was not measured; at least 1 % is asked for")
    wrong = bench.run("TEST", measured | {"coverage_min": "much"})
    assert "coverage_min must be a number of percent" in wrong.error


def test_a_wheel_is_tested_in_place_of_the_source(bench: Bench) -> None:
    built = bench.run("BUILD", {"source": str(write(bench.folder / "p", PROJECT))})
    wheel = built.artifacts[0]
    tests = {"tests/test_it.py": "import adder\ndef test_it(): assert 'installed' in adder.__file__\n"}
    source = bench.archive("tests.tar", tests)
    parameters = {"source": source.uri, "install": wheel.uri}
    report = bench.run("TEST", parameters, inputs=(wheel, source))
    assert report.ended == "COMPLETED", report.error


RUNNER = "import sys; open('out.xml', 'w').write(sys.argv[1]); sys.exit(int(sys.argv[2]))"
PASSED, FAILED = "<testsuite><testcase/></testsuite>", "<a><testcase><failure/></testcase><testcase/></a>"


@pytest.mark.parametrize(
    ("xml", "code", "ended", "told"),
    [
        (PASSED, 0, "COMPLETED", ""),
        (FAILED, 0, "FAILED", "of 2 tests 1 failed"),
        (PASSED, 3, "FAILED", "the tests ended with exit code 3"),
        ("<testsuite/>", 0, "FAILED", "no test was run"),
        ("nonsense", 0, "FAILED", "is no XML"),
        ('<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>', 0, "FAILED", "declares entities"),
    ],
)
def test_any_command_that_leaves_junit_xml(bench: Bench, xml: str, code: int, ended: str, told: str) -> None:
    source = write(bench.folder / "p", {"runner.py": RUNNER})
    command = f"python runner.py '{xml}' {code}"
    report = bench.run(
        "TEST", {"executor": "command", "source": str(source), "command": command, "junit": "out.xml"}
    )
    assert report.ended == ended, report.error
    assert told in report.error
    write(source, {"junit.xml": PASSED})  # came with the source: not the results of this run
    silent = {"executor": "command", "source": str(source), "command": "true"}
    if ended == "COMPLETED":
        assert "left no results in JUnit's XML" in bench.run("TEST", silent).error


SEVERE = "import subprocess\nsubprocess.call('ls ' + name, shell=True)\n"


def test_issues_from_the_threshold_up_fail_with_their_counts(bench: Bench) -> None:
    source = write(bench.folder / "p", {"src/a.py": SEVERE, "tests/b.py": "assert True\n"})
    report = bench.run("VALIDATE", {"source": str(source), "path": "src"})
    assert (report.ended, report.exit_code) == ("FAILED", 1)
    assert report.error.endswith("issues at or above MEDIUM: 1 HIGH; bandit.json names them")
    counts = {"issues": "2", "low": "1", "medium": "0", "high": "1", "suppressed": "0", "lines": "2"}
    assert report.outputs == counts
    assert "src/a.py" in bench.kept(report, "bandit.json")

    let_through = bench.run("VALIDATE", {"source": str(source), "path": "src", "threshold": "NONE"})
    assert (let_through.ended, let_through.outputs) == ("COMPLETED", counts)


def test_what_could_not_be_scanned_is_no_success(bench: Bench) -> None:
    broken = bench.run(
        "VALIDATE", {"source": str(write(bench.folder / "p", {"a.py": "def\n", "b.py": "x = 1\n"}))}
    )
    assert broken.ended == "FAILED"
    assert "1 files could not be scanned: ./a.py" in broken.error
    nothing = bench.run("VALIDATE", {"source": str(write(bench.folder / "q", {"a.txt": "x"}))})
    assert nothing.error.endswith("there was no Python code to scan")


@pytest.mark.parametrize(
    ("task_type", "parameters", "told"),
    [
        ("BUILD", {"sources": "x"}, "there is no parameter 'sources'; there are: source"),
        ("BUILD", {"executor": "wheel"}, "the parameter source is missing"),
        ("BUILD", {"source": "/no/such.tar"}, "there is no /no/such.tar"),
        ("TEST", {"source": "/proc", "path": "../.."}, ""),
        ("VALIDATE", {"source": "x", "threshold": "SEVERE"}, "must be one of LOW, MEDIUM, HIGH, NONE"),
        ("VALIDATE", {"executor": "x"}, "no executor 'x' for VALIDATE here; there are: bandit, rego"),
        ("EXECUTE", {"image": "x"}, "the ticket has no command to run"),
        ("BUILD", {}, "the ticket has no command to run and no parameters"),
    ],
)  # fmt: skip
def test_a_task_that_is_wrong_is_refused(
    bench: Bench, task_type: str, parameters: dict[str, str], told: str
) -> None:
    if parameters.get("source") == "/proc":
        parameters["source"] = str(write(bench.folder / "p", {"a.py": ""}))
        told = "'../..' leads out of its folder"
    report = bench.run(task_type, parameters)
    assert report.ended == "FAILED"
    assert told in report.error
    assert "Traceback" not in report.error


def test_what_is_not_installed_is_named(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec

    def without_bandit(name: str) -> ModuleSpec | None:
        return None if name == "bandit" else found(name)

    monkeypatch.setattr(importlib.util, "find_spec", without_bandit)
    report = bench.run("VALIDATE", {"source": "x"})
    assert report.error == "executor bandit needs Python's bandit, not installed where this worker runs"


def test_the_settings_say_what_a_worker_takes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load_settings(running=False, data=tmp_path, worker_task_types=("TEST", "BUILD"))
    for name, value in settings.environment().items():
        monkeypatch.setenv(name, value)
    assert load_settings(running=False).worker_task_types == ("TEST", "BUILD")
    for wrong in ("[]", '["COOK"]'):
        monkeypatch.setenv("NEURAL_HIVE_WORKER_TASK_TYPES", wrong)
        with pytest.raises(BadSettings, match="worker_task_types"):
            load_settings(running=False)


def test_the_fencing_token_and_the_time_limit(bench: Bench) -> None:
    source = write(bench.folder / "p", {"test_it.py": "import time\ndef test_it(): time.sleep(60)\n"})
    report = bench.run("TEST", {"source": str(source)}, timeout_ms=3_000)
    assert report.ended == "TIMED_OUT"
    assert "longer than its limit of 3 s" in report.error
    told = 'echo "of=$NEURAL_HIVE_WORKFLOW_ID/$NEURAL_HIVE_FENCING_TOKEN/$NEURAL_HIVE_ATTEMPT" > $NEURAL_HIVE_OUTPUTS'
    report = bench.run("EXECUTE", {}, command=("sh", "-c", told), attempt=7)
    assert report.outputs == {"of": "workflow-1/ticket-1:7/7"}


def test_archives_stay_in_their_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("text")
    with tarfile.open(tmp_path / "bad.tar", "w") as tar:
        tar.add(tmp_path / "file", "../escaped")
    with zipfile.ZipFile(tmp_path / "good.zip", "w") as content:
        content.writestr("a/b.txt", "text")
    with pytest.raises(Unfit, match="cannot be unpacked"):
        unpack(tmp_path / "bad.tar", tmp_path / "unpacked")
    assert not (tmp_path / "escaped").exists()
    assert unpack(tmp_path / "good.zip", tmp_path / "unzipped") == [Path("a/b.txt")]
    with pytest.raises(Unfit, match="cannot be unpacked as tar or zip"):
        unpack(tmp_path / "file", tmp_path / "none")
