"""What the pages name is there: files, tests, commands, settings; and the runner of pages sees what is missing."""

import re
from pathlib import Path
from typing import Any

import pytest

from neural_hive.cli import COMMANDS
from neural_hive.settings import Settings
from tests.docs.pages import ROOT, Block, commands, missing_line

PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))


def names(pages: tuple[Path, ...], pattern: str) -> list[tuple[Path, Any]]:
    return [(page, found) for page in pages for found in re.findall(pattern, page.read_text())]


def test_links_lead_somewhere() -> None:
    links = names(PAGES, r"\]\((?!https?://)([^)]+)\)")
    assert len(links) > 10
    for page, link in links:
        file, _, heading = link.partition("#")
        target = page.parent / file if file else page
        assert target.exists(), f"{page.name} links to {link}"
        headings = re.findall(r"^#+ (.+)$", target.read_text(), re.MULTILINE) if heading else []
        assert not heading or heading in {h.lower().replace(" ", "-") for h in headings}, (
            f"{page.name}: {link}"
        )


def test_tests_that_are_named_exist() -> None:
    tests = names(PAGES, r"`(tests/[\w/]+\.py)::(\w+)`")
    assert len(tests) > 15
    for page, (file, test) in tests:
        assert f"def {test}(" in (ROOT / file).read_text(), f"{page.name} names {file}::{test}"


def test_modules_that_are_named_exist() -> None:
    folders = "aggregates|bench|connectors|deploy|projections|replay|schemas|streams|neural_hive"
    files = names(PAGES, rf"`((?:{folders})/[\w/.-]*\w\.\w+)`")
    assert len(files) > 5
    missing = [
        (page.name, file) for page, file in files if not (ROOT / file).exists() and file != "schemas/ids.json"
    ]
    assert not missing


def test_commands_that_are_named_exist() -> None:
    found = {command for _, command in names(PAGES, r"neural-hive ([a-z][a-z-]+)\b")}
    assert len(found) > 8
    assert found <= set(COMMANDS)


def test_every_setting_is_told() -> None:
    page = (ROOT / "docs" / "operating.md").read_text()
    table = page[page.index("| setting |") : page.index("Two variables")]
    told = {
        name
        for line in table.splitlines()[2:]
        for name in re.findall(r"`(\w+)`", line.split("|")[1] if "|" in line else "")
    }
    assert told == set(Settings.model_fields)


@pytest.mark.parametrize(
    ("shown", "output", "missing"),
    [
        (("a b",), "x\na   b\n", None),
        (("b", "a"), "a\nb\n", "a"),
        (("took … s",), "took 1.5 s", None),
        (("took … ms",), "took 1.5 s", "took … ms"),
        (("…", "done"), "anything\ndone", None),
        (("done",), "", "done"),
    ],
)
def test_a_line_that_is_not_printed_is_missed(
    shown: tuple[str, ...], output: str, missing: str | None
) -> None:
    assert missing_line(shown, output) == missing


def test_commands_of_a_block() -> None:
    block = Block("console", "$ cat <<END\n> a\n> END\na\n$ false  # exit code 1\n", None, 1)
    cat, fails = commands(block)
    assert (cat.command, cat.exit_code, cat.lines) == ("cat <<END\na\nEND", 0, ("a",))
    assert (fails.exit_code, fails.lines) == (1, ())
