"""The command: fast help, and errors that are one line and an exit code."""

import subprocess
import sys
from pathlib import Path

import pytest

from neural_hive import cli


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "neural_hive.cli", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_help_names_every_command_and_imports_none() -> None:
    code = """
import contextlib, sys
from neural_hive import cli
sys.argv = ["neural-hive", "--help"]
with contextlib.suppress(SystemExit):
    cli.main()
print([name for name in sys.modules if name.startswith("neural_hive.")])
"""
    shown = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    *text, imported = shown.stdout.strip().splitlines()
    assert imported == "['neural_hive.cli']"
    for name in cli.COMMANDS:
        assert any(f" {name} " in line for line in text)


def test_our_own_errors_are_one_line(tmp_path: Path) -> None:
    done = run("up", "--config", str(tmp_path / "none.toml"), "--data", str(tmp_path))
    assert done.returncode == cli.FAILED
    assert (
        done.stderr == f"error: cannot read settings file {tmp_path}/none.toml: No such file or directory\n"
    )


def test_debug_shows_the_trace(tmp_path: Path) -> None:
    done = run("status", "--config", str(tmp_path / "none.toml"), "--debug")
    assert done.returncode == 1
    assert "Traceback" in done.stderr


def test_an_unforeseen_error_is_one_line_and_keeps_its_trace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(_: list[str]) -> None:
        raise ZeroDivisionError("nothing\nto share")

    monkeypatch.setenv("NEURAL_HIVE_CACHE", str(tmp_path))
    monkeypatch.setattr(cli, "build", broken)
    monkeypatch.setattr(sys, "argv", ["neural-hive", "up"])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == cli.UNEXPECTED
    said = capsys.readouterr().err
    assert said.startswith("error: ZeroDivisionError: nothing to share. This was not foreseen: ")
    assert said.count("\n") == 1
    assert "in broken" in (tmp_path / "last-error.log").read_text()


@pytest.mark.parametrize("arguments", [["no-such"], ["up", "--brokers", "2"], ["up", "--no-such"]])
def test_bad_arguments_are_refused(arguments: list[str]) -> None:
    done = run(*arguments)
    assert done.returncode == 2
    assert "Error" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_system_that_is_not_there_is_told(tmp_path: Path) -> None:
    done = run("processor", "nobody", "--data", str(tmp_path))
    assert done.returncode == 1
    assert "there is no system nobody; there are: operations, orchestrator" in done.stderr


def test_a_system_runs_once_in_a_process(tmp_path: Path) -> None:
    done = run("processor", "registry", "registry", "--data", str(tmp_path))
    assert done.returncode == 1
    assert "a system can be named once" in done.stderr
