"""Whatever happens to the files of a state: it is what its position says, or it says that it is damaged."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random

import msgspec
import pytest

from neural_hive.streams.kernel import state
from neural_hive.streams.kernel.rocks import DamagedState, set_damaged_aside
from neural_hive.streams.kernel.rocks_files import TYPE_AT, records
from neural_hive.streams.kernel.state import Position, Store, Timer, timer_key
from tests.faults.damage import Damage, cut, flip, flip_at, remove, zero

WRITES = 460
TRIES = 12
FILES = {"tables": "*.sst", "list of tables": "MANIFEST-*", "pointer": "CURRENT", "log": "*.log"}
TIMEOUT_S = 60

Rows = dict[bytes, bytes]
Puts = dict[bytes, bytes | None]


def _writes() -> Iterator[Puts]:
    chance = Random(1)
    for number in range(1, WRITES + 1):
        rows: Puts = {
            f"acounter\0{chance.randrange(600)}".encode(): msgspec.msgpack.encode(number)
            + chance.randbytes(40)
            for _ in range(20)
        }
        timer = Timer("counter", str(number), "countdown", number, "", "", "")
        yield rows | {timer_key(timer): msgspec.msgpack.encode(timer)}


def write_and_die(folder: Path) -> None:
    """Writes a state with several table files and a log, and ends the process as a kill would."""
    chosen = state.options(write_buffer_bytes=100_000)  # or it takes megabytes to make a table file
    chosen.set_disable_auto_compactions(True)  # or one may be left of several, if there is time
    store = Store(folder, chosen=chosen)
    for number, puts in enumerate(_writes(), 1):
        store.write(puts, Position("", number, {}))
        if number == WRITES // 2:
            store.close()
            store = Store(folder, chosen=chosen)
    os._exit(0)


class Written:
    """A state that a killed process has left, and what was written to it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self._writes = folder, list(_writes())
        subprocess.run(
            [
                sys.executable,
                "-c",
                f"from {__name__} import *; write_and_die(Path(sys.argv[1]))",
                str(folder),
            ],
            check=True,
            timeout=TIMEOUT_S,
        )

    def rows_at(self, sequence: int) -> Rows:
        """What the first writes make."""
        rows: Rows = {}
        for puts in self._writes[:sequence]:
            rows |= {key: value for key, value in puts.items() if value is not None}
        return rows

    def files(self, pattern: str) -> list[str]:
        """The names of some of its files; those that were only begun are left out."""
        return sorted(file.name for file in self.folder.glob(pattern) if file.stat().st_size)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Written:
    return Written(tmp_path_factory.mktemp("state") / "killed")


def _is_what_it_says(folder: Path, written: Written) -> bool:
    """False: it says that it is damaged."""
    try:
        store = Store(folder)
    except DamagedState:
        return False
    try:
        position = store.position()
        rows = written.rows_at(position.sequence if position else 0)
        timers = {key for key in rows if key[:1] == state.TIMER}
        assert dict(store.rows()) == rows
        assert {key for key, _ in store.timers()} == timers
        assert all(store.get(key) == value for key, value in rows.items())
        return True
    except DamagedState:
        return False
    finally:
        store.close()


def test_without_damage_the_state_is_all_that_was_written(written: Written, tmp_path: Path) -> None:
    folder = shutil.copytree(written.folder, tmp_path / "copy")
    assert len(written.files("*.sst")) > 1 and written.files("*.log")
    assert _is_what_it_says(folder, written)
    store = Store(folder)
    position = store.position()
    store.close()
    assert position is not None and position.sequence == WRITES


@pytest.mark.parametrize("how", [flip, cut, zero, remove])
@pytest.mark.parametrize("what", FILES)
def test_a_damaged_file_is_found_or_does_no_harm(
    what: str, how: Damage, written: Written, tmp_path: Path
) -> None:
    found = 0
    tries = [(name, n) for name in written.files(FILES[what]) for n in range(1 if how is remove else TRIES)]
    for name, seed in tries[:: max(len(tries) // TRIES, 1)]:
        folder = shutil.copytree(written.folder, tmp_path / f"{name}-{seed}")
        how(folder / name, Random(seed))
        found += not _is_what_it_says(folder, written)
        shutil.rmtree(folder)
    # What the log has lost, Kafka's has: then the state is only behind. A list can be cut where nothing follows.
    assert found or what == "log"


@pytest.mark.parametrize("pattern", ["MANIFEST-*", "*.log"])
def test_what_rocksdb_would_read_for_ever_is_found_before_it_reads(
    pattern: str, written: Written, tmp_path: Path
) -> None:
    """A record's type becomes one that only the logs have which RocksDB uses again."""
    folder = shutil.copytree(written.folder, tmp_path / "copy")
    file = folder / written.files(pattern)[-1]
    *_, last = records(file.read_bytes())
    flip_at(file, last.at + TYPE_AT, bits=1 ^ 5)
    code = "from neural_hive.streams.kernel.state import Store; import pathlib, sys; Store(pathlib.Path(sys.argv[1]))"
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder)],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert "DamagedState" in done.stderr


def _grow(store: Store, writes: int) -> None:
    chance = Random(2)
    for number in range(writes):
        rows = range(number % 10, 4_000, 10)
        puts: Puts = {f"acounter\0{row}".encode(): chance.randbytes(200) for row in rows}
        store.write(puts, Position("", number, {}))


def test_damage_that_compaction_meets_is_told_and_makes_way_for_a_new_state(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(state, "WRITE_BUFFER_BYTES", 1_000_000)
    folder = tmp_path / "state"
    store = Store(folder)
    _grow(store, 10)
    store.close()
    [table] = folder.glob("*.sst")
    flip_at(table, table.stat().st_size // 2)
    store = Store(folder)
    with pytest.raises(DamagedState, match="checksum mismatch"):
        _grow(store, 500)
    store.close()
    kept = set_damaged_aside(folder)
    assert kept.exists() and not folder.exists()
    fresh = Store(folder)
    assert fresh.position() is None
    fresh.close()
