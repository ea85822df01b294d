"""The page on files of SLOs shows what is read, and what is told of it."""

import re
from pathlib import Path

import pytest

from neural_hive.aggregates.slo import check
from neural_hive.slo_files import Outcome, read
from neural_hive.slo_files.alert_rules import RULES_MAX
from neural_hive.slo_files.files import DOCUMENTS_MAX, FILE_BYTES_MAX, VALUES_MAX
from tests.docs.pages import ROOT, Block, blocks

PAGE = ROOT / "docs" / "slo-files.md"
FILES = {block.file: block.text for block in blocks(PAGE) if block.file}


def shown() -> list[tuple[str, str]]:
    """What the page says that is told of a file."""
    found: list[tuple[str, str]] = []
    last: Block | None = None
    for block in blocks(PAGE):
        if block.language == "text":
            assert last is not None and last.file
            found.append((last.file, block.text))
        last = block
    return found


@pytest.mark.parametrize(("name", "text"), shown(), ids=[name for name, _ in shown()])
def test_what_is_told_of_a_file(name: str, text: str) -> None:
    report = read(FILES[name], name)
    assert report.text() == text.strip()
    for made in report.definitions:
        check(made)


def test_each_outcome_is_shown() -> None:
    told = {finding.outcome for name, _ in shown() for finding in read(FILES[name], name).findings}
    assert told == set(Outcome)


def test_the_code_of_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    programs = [block.text for block in blocks(PAGE) if block.language == "python"]
    assert programs
    for program in programs:
        exec(compile(program, PAGE.name, "exec"), {})


def test_the_limits_are_those_of_the_code() -> None:
    text = PAGE.read_text()
    assert FILE_BYTES_MAX == 4 * 1024 * 1024 and "at most 4 MiB" in text
    for limit, of in ((DOCUMENTS_MAX, "documents"), (RULES_MAX, "rules"), (VALUES_MAX, "values")):
        assert f"{limit:,} {of}" in text


def test_every_form_of_expression_is_understood() -> None:
    section = PAGE.read_text().partition("## Alert rules")[2].partition("Several alerts")[0]
    found = [e for e in re.findall(r"`([^`]+ [<>=]+ [^`]+)`", section) if "…" not in e]
    assert len(found) == 6
    for expr in found:
        report = read(f"groups:\n- name: a\n  rules:\n  - alert: A\n    expr: '{expr}'\n", "rules.yaml")
        assert len(report.definitions) == 1, report.text()
