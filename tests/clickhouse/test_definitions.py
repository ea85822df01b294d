"""What defines the tables is kept beside the engine, and put back when it is damaged; never when it is only newer."""

from functools import partial
from pathlib import Path

import pytest

from neural_hive.connectors.clickhouse_definitions import Definitions
from tests.system.hive import eventually

TABLE = "store/abc/abc-def/events.sql"


@pytest.fixture
def engine(tmp_path: Path) -> Path:
    """An engine's folder with one database and one table."""
    for name in ("metadata/hive.sql", TABLE):
        file = tmp_path / "engine" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"ATTACH {name}")
    return tmp_path / "engine"


@pytest.fixture
def copies(tmp_path: Path) -> Path:
    return tmp_path / "definitions"


def test_what_was_cut_or_lost_or_changed_is_put_back(engine: Path, copies: Path) -> None:
    Definitions(engine, copies).keep()
    for damaged in (b"", b"ATTACH", b"ATTACH store/xbc", None):
        (engine / TABLE).unlink()
        if damaged is not None:
            (engine / TABLE).write_bytes(damaged)
        Definitions(engine, copies).mend()
        assert (engine / TABLE).read_text() == f"ATTACH {TABLE}"


def test_what_a_statement_changes_is_kept(engine: Path, copies: Path) -> None:
    definitions = Definitions(engine, copies, settle_s=0)
    definitions.keep()
    assert definitions.during(lambda: (engine / TABLE).write_text("ATTACH another")) > 0
    definitions.during((engine / "metadata/hive.sql").unlink)
    Definitions(engine, copies).mend()
    assert (engine / TABLE).read_text() == "ATTACH another"
    assert not (engine / "metadata/hive.sql").exists()


def test_statements_that_follow_each_other_are_kept_once(
    engine: Path, copies: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    definitions, kept = Definitions(engine, copies, settle_s=2), list[None]()
    definitions.keep()
    keep = definitions.keep
    monkeypatch.setattr(definitions, "keep", lambda: (kept.append(None), keep()))
    for number in range(20):
        definitions.during(partial((engine / TABLE).write_text, f"ATTACH {number}"))
    assert not kept
    assert (copies / "changing").exists(), "who is killed now finds the engine's own files"
    eventually(lambda: kept)
    definitions.during(partial((engine / TABLE).write_text, "ATTACH the last"))
    definitions.close()
    definitions.close()
    assert len(kept) == 2
    assert not (copies / "changing").exists()
    (engine / TABLE).unlink()
    Definitions(engine, copies).mend()
    assert (engine / TABLE).read_text() == "ATTACH the last"


def test_after_a_kill_in_the_midst_of_a_change_the_engines_own_count(engine: Path, copies: Path) -> None:
    class Killed(BaseException):
        pass

    definitions = Definitions(engine, copies, settle_s=0)
    definitions.keep()

    def change() -> None:
        (engine / TABLE).write_text("ATTACH another")
        definitions.keep = lambda: (_ for _ in ()).throw(Killed)  # type: ignore[method-assign]

    with pytest.raises(Killed):
        definitions.during(change)
    later = Definitions(engine, copies)
    later.mend()
    assert (engine / TABLE).read_text() == "ATTACH another"
    later.distrust()  # the engine could not open it: it was damaged, not changed
    later.mend()
    assert (engine / TABLE).read_text() == f"ATTACH {TABLE}"


def test_a_damaged_copy_is_not_put_back(engine: Path, copies: Path) -> None:
    Definitions(engine, copies).keep()
    (engine / TABLE).write_text("ATTACH another")
    copy = copies / TABLE
    copy.write_bytes(copy.read_bytes()[:-1])
    Definitions(engine, copies).mend()
    assert (engine / TABLE).read_text() == "ATTACH another"
