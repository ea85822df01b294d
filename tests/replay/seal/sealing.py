"""A log in memory, and its seals: what tests of the seal begin with."""

from collections.abc import Iterator, Mapping

import msgspec

from neural_hive.connectors.kafka_log import Record, UnreadableLog
from neural_hive.replay.reader import Range, Span
from neural_hive.replay.seal.chain import Chain
from neural_hive.replay.seal.note import LOG, PrivateKey
from neural_hive.replay.seal.seal import Seal
from neural_hive.replay.seal.trees import Trees

KEY = PrivateKey.make("neural-hive.test/log", LOG)
T0 = 1_795_000_000_000_000
Log = dict[tuple[str, int], list[Record]]


def records(topic: str, partition: int, count: int, first: int = 0) -> list[Record]:
    """Records with gaps where transaction markers are: every third offset."""
    offsets = [offset for offset in range(count * 2) if offset % 3 != 2][first : first + count]
    return [
        Record(
            topic,
            partition,
            offset,
            T0 // 1000 + offset,
            f"key-{offset % 4}".encode(),
            f"value {offset}".encode(),
            (("event_type", b"Counted"), ("nothing", None)),
        )
        for offset in offsets
    ]


def small_log() -> Log:
    """Two topics, three partitions, one of them empty."""
    return {
        ("events", 0): records("events", 0, 23),
        ("events", 1): records("events", 1, 9),
        ("inputs", 0): records("inputs", 0, 14),
        ("inputs", 1): [],
    }


def sealed_in_steps(log: Log, steps: int = 4, key: PrivateKey = KEY) -> list[Seal]:
    """The seals that a sealer makes which sees the log grow in so many steps."""
    trees = Trees(Chain(key.public))
    seals = []
    for step in range(steps):
        for held in log.values():
            for record in held[len(held) * step // steps : len(held) * (step + 1) // steps]:
                trees.take(record)
        seals.append(trees.seal(key, T0 + step * 10_000_000))
        trees.settle(seals[-1])
    return seals


class MemorySource:
    """A log in memory as a LogSource."""

    name = "memory"

    def __init__(self, log: Log) -> None:
        self._log = log

    def ranges(self, topic: str) -> Mapping[int, Range]:
        found = {
            partition: (0, held[-1].offset + 2 if held else 0)
            for (name, partition), held in self._log.items()
            if name == topic
        }
        if not found:
            raise UnreadableLog(f"{topic} is not there")
        return found

    def spans(self, topic: str, partition: int, first: int, end: int) -> list[Span]:
        return [(self.name, self, first, end)]

    def batches(self, topic: str, partition: int, first: int, end: int) -> Iterator[list[Record]]:
        held = [record for record in self._log[topic, partition] if first <= record.offset < end]
        for start in range(0, len(held), 5):
            yield held[start : start + 5]


def edited(record: Record, **fields: object) -> Record:
    return msgspec.structs.replace(record, **fields)
