"""Options that many commands share: Typer is told of each, the command gets them as one value."""

from pathlib import Path
from typing import Annotated, Any

import pytest
import typer
from typer.testing import CliRunner

from neural_hive.commands.common import Asking, Common, shared

received: list[Any] = []


def show(common: Common, what: Annotated[str, typer.Argument(help="What")], count: int = 1) -> None:
    """Show something."""
    received.append((common, what, count))


def want(asking: Asking, reason: Annotated[str, typer.Option("--reason")]) -> None:
    """Want something."""
    received.append((asking, reason))


@pytest.fixture
def app() -> typer.Typer:
    received.clear()
    made = typer.Typer()
    for command in (show, want):
        made.command()(shared(command))
    return made


def test_a_command_gets_them_as_one_value(app: typer.Typer, tmp_path: Path) -> None:
    runner = CliRunner()
    assert runner.invoke(app, ["show", "x", "--json", "--data", str(tmp_path)]).exit_code == 0
    assert runner.invoke(app, ["want", "--reason", "why", "--by", "ann"]).exit_code == 0
    assert received == [(Common(True, tmp_path), "x", 1), (Asking(by="ann"), "why")]


def test_each_is_told_in_the_help_and_what_is_none_is_refused(app: typer.Typer) -> None:
    runner = CliRunner()
    told = runner.invoke(app, ["want", "--help"], env={"COLUMNS": "120"}).output
    assert "Want something" in told
    assert all(option in told for option in ("--reason", "--by", "--json", "--data", "--config"))
    assert "--by" not in runner.invoke(app, ["show", "--help"]).output
    assert runner.invoke(app, ["show", "x", "--by", "ann"]).exit_code == 2
    assert runner.invoke(app, ["want"]).exit_code == 2
