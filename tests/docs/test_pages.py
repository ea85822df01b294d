"""Every command, file and query of the pages is run as it stands there, against the system of the README's tour."""

import pytest

from neural_hive.connectors.clickhouse import ClickHouse
from neural_hive.settings import load_settings
from tests.docs.conftest import TOUR_END
from tests.docs.pages import ROOT, Reader, blocks

pytestmark = pytest.mark.slow
DOCS = ROOT / "docs"


def test_plans(toured: Reader) -> None:
    assert toured.follow(DOCS / "plans.md") >= 4


def test_executors(toured: Reader) -> None:
    assert toured.follow(DOCS / "executors.md") >= 5


def test_operating(toured: Reader) -> None:
    assert toured.follow(DOCS / "operating.md") >= 4


def test_audit(toured: Reader) -> None:
    assert toured.follow(DOCS / "audit.md") >= 17


def test_sql(toured: Reader) -> None:
    settings = load_settings(data=toured.folder / ".neural-hive")
    queries = [block for block in blocks(DOCS / "sql.md") if block.language == "sql"]
    assert len(queries) >= 12
    place = (settings.clickhouse_host, settings.clickhouse_port)
    with ClickHouse(*place, user="default", database="neural_hive") as reader:
        for block in queries:
            assert reader.rows(block.text), f"sql.md:{block.line} gives nothing"
    assert toured.follow(DOCS / "sql.md") >= 4


def test_registry(toured: Reader) -> None:
    assert toured.follow(DOCS / "registry.md") == 3
    settings = load_settings(data=toured.folder / ".neural-hive")
    place = (settings.clickhouse_host, settings.clickhouse_port)
    with ClickHouse(*place, user="default", database="neural_hive") as reader:
        agents, trails, slots = (
            reader.rows(b.text) for b in blocks(DOCS / "registry.md") if b.language == "sql"
        )
    assert [agent_id for agent_id, *_ in agents] == ["local"]
    assert [(agent_id, held, waiting) for agent_id, held, waiting, _ in slots] == [("local", 0, 0)]
    assert ("local", "EXECUTE") in {(agent_id, domain) for agent_id, domain, *_ in trails}


def test_what_if(toured: Reader) -> None:
    assert toured.follow(DOCS / "what-if.md") >= 3


def test_erasure(toured: Reader) -> None:
    assert toured.follow(DOCS / "erasure.md") == 10


def test_backup(toured: Reader) -> None:
    assert toured.follow(DOCS / "backup.md") == 3


def test_sdk(toured: Reader) -> None:
    assert toured.follow(DOCS / "sdk.md") == 5


def test_audit_seal(toured: Reader) -> None:
    assert toured.follow(DOCS / "audit-seal.md") >= 14


def test_the_tour_ends(toured: Reader) -> None:
    assert toured.follow(ROOT / "README.md", since=TOUR_END) == 2
