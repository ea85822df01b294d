"""A backup from before an erasure, restored after it: the name is not in it, and what it says is still proved."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from neural_hive.settings import keys_beside
from tests.privacy.test_system import NAME, PLAN, WHO, in_files, in_tables, in_topics, rows, said
from tests.system.hive import Hive, eventually

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]


@pytest.fixture
def hives(tmp_path: Path) -> Iterator[tuple[Hive, Hive]]:
    first = Hive(tmp_path / "first")
    both = first, Hive(tmp_path / "second", subject_keys=str(keys_beside(first.data)))
    try:
        yield both
    finally:
        for hive in both:
            hive.run("down")


def test_a_restored_backup_knows_no_name(hives: tuple[Hive, Hive], tmp_path: Path) -> None:
    first, second = hives
    first.up()
    plan, backup = tmp_path / "plan.yaml", str(tmp_path / "backup")
    plan.write_text(PLAN)
    said(first, "publish", "plan", str(plan), "--wait", exit_code=1)
    said(first, "backup", backup)
    subject_id = said(first, "subject", NAME).strip()
    [key] = (path.read_bytes() for path in (keys_beside(first.data) / "keys").iterdir())
    assert NAME in said(first, "query", WHO, "--reveal")
    said(first, "erase", NAME, "--reason", "asked for it")
    first.down()

    said(second, "restore", backup)
    second.up()
    assert eventually(lambda: rows(second, WHO))[0]["requested_by"].startswith(f"enc:v1:{subject_id}:")
    assert "erased" in said(second, "query", WHO, "--reveal")
    assert "All that was looked at holds" in said(second, "replay", "verify", "--decisions")
    assert in_topics(second, NAME) == in_tables(second, NAME) == []
    assert in_files(tmp_path, key) == []
    # The log is from before the erasure, and is told of it again.
    assert rows(second, "SELECT subject_id FROM erasures") == []
    said(second, "erase", subject_id, "--reason", "asked for it, before this log was restored")
    assert eventually(lambda: rows(second, "SELECT subject_id FROM erasures")) == [{"subject_id": subject_id}]
    assert "All that was looked at holds" in said(second, "replay", "verify")
    second.down()
    assert first.left_behind() == second.left_behind() == []
