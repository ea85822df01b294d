"""States of older versions of the code go, but for one; and only once the newer one is whole."""

import os
from pathlib import Path

import pytest

from neural_hive.schemas.codec import encode_message
from neural_hive.schemas.envelope import Header
from neural_hive.streams.kernel.partition import Partition, Place
from neural_hive.streams.kernel.reading import MessageReader
from neural_hive.streams.kernel.recovery import BrokenLog
from neural_hive.streams.kernel.rocks import DAMAGED_SUFFIX
from neural_hive.streams.kernel.state_folders import remove_older
from neural_hive.streams.kernel.transport import Batch, Fetched
from tests.hostile.inputs import NOW
from tests.hostile.memory_kernel import Looked, MemoryClock, MemoryLog
from tests.toy import system as toy_system

VERSIONS = [f"{number:016x}" for number in range(1, 5)]


def _names(folder: Path) -> set[str]:
    return {found.name for found in folder.iterdir()}


def _state(folder: Path, name: str, used_at: int) -> None:
    (folder / name).mkdir()
    (folder / name / "CURRENT").write_text(name)
    os.utime(folder / name / "CURRENT", (used_at, used_at))


def test_the_two_that_were_used_last_stay_and_what_was_set_aside(tmp_path: Path) -> None:
    for used_at, name in ((400, VERSIONS[0]), (200, VERSIONS[1]), (300, VERSIONS[2]), (100, VERSIONS[3])):
        _state(tmp_path, name, used_at)
    _state(tmp_path, f"{VERSIONS[1]}.before-1", 50)
    _state(tmp_path, "somebody's own", 50)
    for damaged in (VERSIONS[0], VERSIONS[2]):
        _state(tmp_path, damaged + DAMAGED_SUFFIX, 500)
    gone = [VERSIONS[1], VERSIONS[2], VERSIONS[2] + DAMAGED_SUFFIX]
    assert remove_older(tmp_path, VERSIONS[3]) == gone
    left = {
        VERSIONS[3],
        VERSIONS[0],
        VERSIONS[0] + DAMAGED_SUFFIX,
        f"{VERSIONS[1]}.before-1",
        "somebody's own",
    }
    assert _names(tmp_path) == left
    assert remove_older(tmp_path, VERSIONS[3]) == []
    assert remove_older(tmp_path / "nowhere", VERSIONS[3]) == []


def _partition(log: MemoryLog, folder: Path, version: str) -> Partition:
    system = toy_system.build()
    place = Place(
        {},
        folder,
        {topic: f"id-{topic}" for topic in system.event_topics},
        dict.fromkeys((*system.topics, *system.event_topics, "dead.letters"), 1),
        "logic",
        version,
        30.0,
        MessageReader(),
        MemoryClock(log),
        open_log=lambda group, transactional_id, number: log,
    )
    return Partition(system, 0, place, {"blocks": Looked(frozenset)})  # type: ignore[dict-item]


def _add(partition: Partition, log: MemoryLog) -> None:
    header = Header("message", "AddToCounter", NOW, "c", "", "", "", "", "test")
    value = encode_message(header, {"counter_id": "c", "amount": 3})
    record = Fetched("toy.commands", 0, 0, NOW // 1_000, b"c", value, ())
    log.ends["toy.commands"] = 1
    partition.step([Batch("toy.commands", 0, 0, 1, [record], len(value))])


def test_a_partition_that_has_opened_removes_what_it_needs_no_more(tmp_path: Path) -> None:
    log = MemoryLog(0)
    first = _partition(log, tmp_path, VERSIONS[0])
    first.open()
    _add(first, log)
    first.close()
    for version in VERSIONS[1:3]:
        partition = _partition(log, tmp_path, version)
        partition.open()
        assert partition.position.sequence == 1
        partition.close()
    assert _names(tmp_path) == {VERSIONS[1], VERSIONS[2]}

    lost, log.topics["toy.counters"] = log.topics["toy.counters"], []
    back = _partition(log, tmp_path, VERSIONS[1])
    with pytest.raises(BrokenLog):
        back.open()
    back.close()
    _state(tmp_path, VERSIONS[3], 1)
    with pytest.raises(BrokenLog):
        _partition(log, tmp_path, VERSIONS[1]).open()
    assert _names(tmp_path) == set(VERSIONS[1:]), "nothing goes while the log is broken"
    log.topics["toy.counters"] = lost
