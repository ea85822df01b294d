"""A processor whose RocksDB is damaged notices it, folds the log anew by itself, and decides nothing by what it had."""

import re
from pathlib import Path
from random import Random

import pytest

from neural_hive.replay.everything import Request, verify_everything
from neural_hive.replay.report import Check, Report
from neural_hive.streams.kernel.rocks import DAMAGED_SUFFIX
from neural_hive.streams.kernel.versions import state_version
from tests.faults.damage import cut, flip_at, remove
from tests.kernel.conftest import ToyFactory, make_toy
from tests.toy.harness import Toy

pytestmark = pytest.mark.long

__all__ = ["make_toy"]

SET_ASIDE = "damaged state set aside"


def _cut_tables(state: Path) -> None:
    for table in state.glob("*.sst"):
        cut(table, Random(1))


def _change_list(state: Path) -> None:
    flip_at(next(state.glob("MANIFEST-*")), -1)


def _lose_list(state: Path) -> None:
    remove(next(state.glob("MANIFEST-*")), Random(1))


def _spoil_pointer(state: Path) -> None:
    (state / "CURRENT").write_text("MANIFEST-")


def _change_rows(state: Path) -> None:
    """All tables, in the middle, where nothing is read before a record asks for it."""
    for table in state.glob("*.sst"):
        flip_at(table, table.stat().st_size // 2)


def _state(toy: Toy, partition: int) -> Path:
    [folder] = toy.folder.glob(f"{toy.system.name}/worker-0/{partition}/{state_version(toy.system)}")
    return folder


def _verified(toy: Toy) -> Report:
    return verify_everything(Request((toy.system,), toy.config, None, toy.folder, stall_s=5))


def _work(toy: Toy, messages: int) -> None:
    toy.start()
    toy.add(messages)
    toy.wait_until_done()
    toy.stop()


def _told(toy: Toy, partition: int) -> list[str]:
    """What the last worker logged about a partition, in turn."""
    log = (toy.folder / f"worker-{len(toy.workers) - 1}.log").read_text()
    name = f"{toy.system.name}.{partition}"
    return [
        line for line in re.sub(r"\x1b\[\d*m", "", log).splitlines() if f"partition={name} " in f"{line} "
    ]


def test_damaged_states_are_noticed_and_folded_again(make_toy: ToyFactory) -> None:
    found_at_once = [_cut_tables, _change_list, _lose_list, _spoil_pointer]
    toy = make_toy(len(found_at_once) + 1)
    last = toy.partitions - 1
    _work(toy, 4_000)
    for partition, damage in enumerate([*found_at_once, _change_rows]):
        assert list(_state(toy, partition).glob("*.sst"))
        damage(_state(toy, partition))
    found = {finding.place for finding in _verified(toy).findings if finding.check is Check.STATE}
    assert found >= {str(_state(toy, p).relative_to(toy.folder)) for p in range(last)}
    _work(toy, 2_000)
    for partition in range(last):
        assert SET_ASIDE in _told(toy, partition)[0], found_at_once[partition]
        assert "partition open" in _told(toy, partition)[1]
    told = _told(toy, last)
    assert "partition open" in told[0], "the damage is far from what is read at first"
    assert SET_ASIDE in told[1]
    _cut_tables(_state(toy, 0))
    _work(toy, 500)
    assert len(list(_state(toy, 0).parent.glob(f"*{DAMAGED_SUFFIX}"))) == 1, "one copy is kept"
    # Were one decided by what is damaged, or not at all, it would be missing here: a dead letter is no answer.
    assert toy.check()["CounterRaised"] == len(toy.sent)
    assert toy.check_state() == toy.partitions
    assert _verified(toy).findings == ()
