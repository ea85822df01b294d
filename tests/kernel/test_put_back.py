"""Records that are looked at by their place, and written again as they are."""

import random
import time
from collections import Counter
from typing import Any

import pytest

from neural_hive.aggregates.aggregate import Rejected
from neural_hive.connectors.kafka_log import Record
from neural_hive.projections.whole_log import ArchiveAway
from neural_hive.schemas.codec import decode, encode_message
from neural_hive.schemas.envelope import Header
from neural_hive.streams.kernel.inbox import DEAD_LETTERS
from neural_hive.streams.kernel.partition_log import Indefinite
from neural_hive.streams.kernel.system import System
from tests.hostile.memory_kernel import MemoryKernel
from tests.kernel.conftest import ToyFactory
from tests.toy.harness import Toy
from tests.toy.system import PUT_BACK, build

NONSENSE = b"\xff no message"


def letters(toy: Toy) -> list[tuple[Record, dict[str, Any]]]:
    """The dead letters of this toy's records, with their own places."""
    found = [record for number in range(3) for record in toy._read(DEAD_LETTERS, number)]
    read = [(record, decode(record.value or b"", "message").payload) for record in found]
    return [(record, letter) for record, letter in read if letter["source_topic"].endswith(toy.suffix)]


def put_back(toy: Toy, record: Record, **changed: Any) -> str:
    place = {"letter_partition": record.partition, "letter_offset": record.offset, "to_partition": -1}
    return toy.send(toy.commands, "PutBack", f"counter-{record.offset % 7}", {**place, **changed})


def test_a_record_comes_again_byte_for_byte(make_toy: ToyFactory) -> None:
    toy = make_toy()
    toy.start()
    headers = [("one", b"\x00\xff"), ("two", b""), ("one", b"again")]
    toy.producer.produce(toy.commands, NONSENSE, None, 2, headers=headers)
    toy.add(1)
    toy.wait_until_done()
    ((record, letter),) = letters(toy)
    asked = put_back(toy, record)
    toy.producer.flush(30)
    toy.wait_until_done()
    toy.stop()
    first, second = [found for found in toy._read(toy.commands, 2) if found.value == NONSENSE]
    assert (first.key, first.headers) == (None, tuple(headers))
    assert (second.key, second.headers) == (None, (*headers, (PUT_BACK, asked.encode())))
    again = [found for _, found in letters(toy) if found["source_offset"] == second.offset]
    assert [found["value"] for found in again] == [NONSENSE], "it is as bad as before, and is told of again"
    assert letter["source_offset"] == first.offset
    assert toy.check()["CounterRaised"] == 2


def test_what_is_not_there_is_refused_and_the_rest_goes_on(make_toy: ToyFactory) -> None:
    toy = make_toy()
    toy.start()
    toy.producer.produce(toy.commands, NONSENSE, b"k", 0)
    toy.add(1)
    toy.wait_until_done()
    ((record, _),) = letters(toy)
    put_back(toy, record, letter_offset=1 << 40)
    put_back(toy, record, letter_partition=77)
    put_back(toy, record, to_partition=88)
    toy.add(20)
    toy.wait_until_done()
    toy.stop()
    refused = {letter["reason"] for found, letter in letters(toy) if found.offset != record.offset}
    assert {"there is no such letter", f"{toy.commands} has no partition 88, but 4"} <= refused
    assert toy.check()["CounterRaised"] == 21
    assert len([found for found in toy._read(toy.commands, 0) if found.value == NONSENSE]) == 1


def test_killed_while_records_are_written_again_each_comes_once(make_toy: ToyFactory) -> None:
    seed = random.randrange(1 << 30)
    print("seed", seed)
    chance = random.Random(seed)
    toy = make_toy()
    toy.start(2)
    values = [b"\xff %d" % number for number in range(120)]
    for number, value in enumerate(values):
        toy.producer.produce(toy.results, value, b"k", number % toy.partitions)
    toy.producer.flush(30)
    toy.wait_until_done()
    buried = letters(toy)
    assert len(buried) == len(values)
    for record, _ in buried:
        put_back(toy, record)
    toy.producer.flush(30)
    for _ in range(3):
        time.sleep(chance.uniform(0.2, 2))
        toy.kill(chance.choice([i for i, worker in enumerate(toy.workers) if worker.poll() is None]))
        toy.keep_alive(2)
    toy.wait_until_done()
    toy.stop()
    written = [record for n in range(toy.partitions) for record in toy._read(toy.results, n)]
    assert Counter(record.value for record in written) == dict.fromkeys(values, 2)
    assert toy.check()["CounterRaised"] == len(values)
    toy.check_state()


@pytest.fixture
def kernel() -> MemoryKernel:
    return MemoryKernel(build(".put"), {"blocks": frozenset}, 1)


def message(message_type: str, **payload: Any) -> bytes:
    header = Header("m-1", message_type, 1, "counter-1", "", "", "", "", "test")
    return encode_message(header, {"counter_id": "counter-1", **payload})


def wanted(offset: int = 0) -> bytes:
    return message("PutBack", letter_partition=0, letter_offset=offset, to_partition=-1)


@pytest.mark.parametrize("error", [Indefinite("the broker is away"), ArchiveAway("the archive is away")])
def test_a_record_that_cannot_be_read_now_is_waited_for(
    kernel: MemoryKernel, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    kernel.take("toy.commands.put", NONSENSE)
    answers = [error, error, None]

    def at(partition: int) -> Any:
        if answer := answers.pop(0):
            raise answer
        return kernel.log

    monkeypatch.setattr(kernel.log, "at", at)
    outcome = kernel.take("toy.commands.put", wanted())
    assert not answers and not outcome.letters
    assert (outcome.events, [record.value for record in outcome.sent]) == (1, [NONSENSE])
    kernel.check_state()


def test_what_was_written_later_is_not_there_yet(kernel: MemoryKernel) -> None:
    kernel.take("toy.commands.put", NONSENSE)
    kernel.log.now -= 5_000_000  # the letter is newer than the message that names it
    (refused,) = kernel.take("toy.commands.put", wanted()).letters
    assert (refused["error_type"], refused["reason"]) == (Rejected.__name__, "there is no such letter")


def test_what_the_log_has_lost_is_told_with_the_letter(
    kernel: MemoryKernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Kafka has deleted it, and there is no archive: a person must hear of it, and the partition goes on."""
    kernel.take("toy.commands.put", NONSENSE)
    ranges = kernel.log.range
    monkeypatch.setattr(kernel.log, "range", lambda topic: (1, 2) if topic == DEAD_LETTERS else ranges(topic))
    with pytest.raises(AssertionError, match=r"LostLog: dead\.letters:0 has no offset 0"):
        kernel.take("toy.commands.put", wanted())


def test_a_timer_that_cannot_look_now_is_tried_again(
    kernel: MemoryKernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    system: System = kernel.system
    counters = system.aggregates[0]
    real = system.timers[counters.name, "countdown"]
    asked: list[str] = []

    def look_first(unit: Any, counter_id: str) -> None:
        asked.append(counter_id)
        unit.record(DEAD_LETTERS, 0, 0)
        real(unit, counter_id)

    def away(partition: int) -> Any:
        raise Indefinite("away")

    monkeypatch.setitem(system.timers, (counters.name, "countdown"), look_first)
    kernel.take("toy.commands.put", message("StartCountdown", delay_ms=1))
    monkeypatch.setattr(kernel.log, "at", away)
    kernel.log.now += 1_000_000
    for _ in range(3):
        kernel.partition.step([])
    assert asked and DEAD_LETTERS not in kernel.log.topics, "no letter: nothing is wrong with it"
    monkeypatch.undo()
    monkeypatch.setitem(system.timers, (counters.name, "countdown"), look_first)
    kernel.log.now += 120_000_000
    for _ in range(3):
        kernel.partition.step([])
    assert len(asked) == 2
    kernel.check_state()
