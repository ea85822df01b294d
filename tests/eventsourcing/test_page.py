"""Does what docs/eventsourcing.md says, and asks in SQL what it shows."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from neural_hive.connectors.kafka_embedded import EmbeddedKafka
from neural_hive.schemas import extensions
from tests.docs.conftest import reader_in
from tests.docs.pages import ROOT, blocks
from tests.fixtures_clickhouse import ClickHouseServer
from tests.projections.support import Follower

pytestmark = pytest.mark.slow
PAGE = ROOT / "docs" / "eventsourcing.md"


@pytest.fixture(scope="module")
def read(kafka: EmbeddedKafka, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of somebody who has done what the page says."""
    folder = tmp_path_factory.mktemp("page")
    path = f"{ROOT}:{':'.join(sys.path)}"
    reader = reader_in(folder, NEURAL_HIVE_KAFKA_BOOTSTRAP=kafka.bootstrap, PYTHONPATH=path)
    try:
        assert reader.follow(PAGE) == 5
    finally:
        reader.close()
    return folder


@pytest.fixture
def declared(read: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The package of the page, installed."""
    (toml,) = [block.text for block in blocks(PAGE) if block.language == "toml"]
    group, entry = re.findall(r'entry-points\."(.+?)"\]\n(.+)', toml)[0]
    folder = read / "accounts-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: accounts\nVersion: 1.0\n")
    (folder / "entry_points.txt").write_text(f"[{group}]\n{entry.replace(chr(34), '')}\n")
    monkeypatch.syspath_prepend(str(read))
    extensions.all_topics.cache_clear()
    yield
    extensions.all_topics.cache_clear()
    sys.modules.pop("topics", None)


@pytest.mark.usefixtures("declared")
def test_the_page(kafka: EmbeddedKafka, clickhouse: ClickHouseServer) -> None:
    (topic, snapshots) = [t for t in extensions.all_topics().values() if t.name.startswith("eventsourcing.")]
    assert (topic.name, snapshots.name) == ("eventsourcing.Accounts", "eventsourcing.Accounts.snapshots")
    log = SimpleNamespace(config={"bootstrap.servers": kafka.bootstrap}, kinds={topic.name: topic.kind})
    (sql,) = [block.text for block in blocks(PAGE) if block.language == "sql"]
    with Follower(log, clickhouse, "accounts").running() as projector:  # type: ignore[arg-type]
        projector.wait_rows("events", 4)
        rows = projector.store.rows(sql)
    assert [row[1] for row in rows] == [1, 2, 3, 4]
    assert [row[3].rpartition(".")[2] for row in rows] == ["Opened", "Credited", "Credited", "Credited"]
    assert '"owner":"ann"' in rows[0][4] and '"amount":10' in rows[1][4]
