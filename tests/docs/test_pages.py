"""Every command, file and query of the pages is run as it stands there, against the system of the README's tour."""

import re
import time

import pytest

from neural_hive.connectors.clickhouse import ClickHouse
from neural_hive.connectors.ports import free_port
from neural_hive.settings import load_settings
from tests.docs.conftest import TOUR_END
from tests.docs.pages import ROOT, Reader, blocks

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]  # a page is many commands
DOCS = ROOT / "docs"


def test_plans(toured: Reader) -> None:
    assert toured.follow(DOCS / "plans.md") >= 4


def test_executors(toured: Reader) -> None:
    assert toured.follow(DOCS / "executors.md") >= 5


def test_operating(toured: Reader) -> None:
    assert toured.follow(DOCS / "operating.md") >= 6


def test_terminal(toured: Reader) -> None:
    assert toured.follow(DOCS / "terminal.md") >= 8


def test_sql(toured: Reader) -> None:
    settings = load_settings(data=toured.folder / ".neural-hive")
    queries = [block for block in blocks(DOCS / "sql.md") if block.language == "sql"]
    assert len(queries) >= 12
    place = (settings.clickhouse_host, settings.clickhouse_port)
    with ClickHouse(*place, user="default", database="neural_hive") as reader:
        for block in queries:
            assert reader.rows(block.text), f"sql.md:{block.line} gives nothing"
    assert toured.follow(DOCS / "sql.md") >= 4


def test_sql_cookbook(toured: Reader) -> None:
    """Each query runs; where the page does not say that there may be nothing, it gives rows."""
    settings = load_settings(data=toured.folder / ".neural-hive")
    sections = re.findall(
        r"^### (.+?)\n(.*?)^```sql\n(.*?)^```$",
        (DOCS / "sql-cookbook.md").read_text(),
        re.MULTILINE | re.DOTALL,
    )
    assert len(sections) >= 30
    with ClickHouse(
        settings.clickhouse_host, settings.clickhouse_port, user="default", database="neural_hive"
    ) as reader:
        until = time.monotonic() + 10
        while not reader.is_up() and time.monotonic() < until:
            time.sleep(0.2)  # the page before has just opened the engine to everybody again
        for title, said, sql in sections:
            rows = reader.rows(sql)
            assert rows or "othing" in said or "is empty" in said, f"{title}: gives nothing"


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


def test_backup(toured: Reader) -> None:
    assert toured.follow(DOCS / "backup.md") == 3


def test_sdk(toured: Reader) -> None:
    assert toured.follow(DOCS / "sdk.md") == 5


def test_api(toured: Reader) -> None:
    assert toured.follow(DOCS / "api.md") >= 15


def test_webhooks(toured: Reader) -> None:
    # The tour's system has none: what the page says of `up` is done by hand.
    settings = "NEURAL_HIVE_WEBHOOK_HTTP=true NEURAL_HIVE_WEBHOOK_NETWORKS='[\"127.0.0.0/8\"]'"
    for number, process in enumerate(("processor webhooks", "webhook-sender"), 1):
        watched = f"{settings} neural-hive {process} 2>> webhooks-{number}.log & C=$!; wait $C; sleep 1"
        stop = "trap 'kill $C; wait $C; exit' TERM"  # what a supervisor does: who ends is started again
        toured.run(f"({stop}; while :; do {watched}; done) & P{number}=$!")
    toured.ports["18099"] = str(free_port(18_099))
    assert toured.follow(DOCS / "webhooks.md") == 12
    toured.run("kill $P1 $P2 %python; wait $P1 $P2")


def test_sla(toured: Reader) -> None:
    # The tour's system has neither: what the page says of `up` is done by hand.
    watched = "neural-hive processor sla sli 2>> sla.log & C=$!; wait $C; sleep 1"
    stop = "trap 'kill $C; wait $C; exit' TERM"  # what a supervisor does: who ends is started again
    toured.run(f"({stop}; while :; do {watched}; done) & SLA=$!")
    toured.run("neural-hive sli-history 2>> history.log & HISTORY=$!")
    toured.run("timeout 60 sh -c 'until [ $(grep -c assigned sla.log) -ge 2 ]; do sleep 0.5; done'")
    assert toured.follow(DOCS / "sla.md") == 30
    assert toured.follow(DOCS / "sla-api.md") == 17
    toured.run("kill $SLA $HISTORY; wait $SLA $HISTORY")


def test_the_tour_ends(toured: Reader) -> None:
    assert toured.follow(ROOT / "README.md", since=TOUR_END) == 2
