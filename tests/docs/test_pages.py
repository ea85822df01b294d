"""Every command, file and query of the pages is run as it stands there, against the system of the README's tour."""

import re
from pathlib import Path

import pytest

from neural_hive.settings import Settings, load_settings
from tests.docs.conftest import TOUR_END
from tests.docs.pages import ROOT, Reader, blocks, commands, missing_line

pytestmark = pytest.mark.slow
DOCS = ROOT / "docs"
PAGES = (ROOT / "README.md", *sorted(DOCS.rglob("*.md")))


def test_plans(toured: Reader) -> None:
    assert toured.follow(DOCS / "plans.md") >= 4


def test_operating(toured: Reader) -> None:
    assert toured.follow(DOCS / "operating.md") >= 4


def test_sql(toured: Reader) -> None:
    from neural_hive.connectors.clickhouse import ClickHouse

    settings = load_settings(data=toured.folder / ".neural-hive")
    queries = [block for block in blocks(DOCS / "sql.md") if block.language == "sql"]
    assert len(queries) >= 12
    with ClickHouse(settings.clickhouse_host, settings.clickhouse_port, user="default", database="neural_hive") as reader:
        for block in queries:
            found = reader.query(block.text.strip().rstrip(";"))
            assert found, f"sql.md:{block.line} gives nothing"
    assert toured.follow(DOCS / "sql.md") >= 1


def test_the_tour_ends(toured: Reader) -> None:
    assert toured.follow(ROOT / "README.md", since=TOUR_END) == 2
