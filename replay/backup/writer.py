"""Writes records into empty partitions so that each stands at its offset again; see `gaps.py`.

All partitions are written side by side, for what costs time is the end of a transaction: one that is committed leaves
its marker on every partition that it wrote to. So what each of them has to do next is done together.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

from confluent_kafka import KafkaException, Producer

from neural_hive.connectors.kafka_log import Record
from neural_hive.connectors.kafka_offsets import Offsets, Place
from neural_hive.replay.backup.gaps import Blank, Commit, Fill, Step, Write

WRITER: Final = "neural-hive.restore"
CALL_TIMEOUT_S: Final = 120.0
_RECORD_BYTES_MAX: Final = 10 << 20


class NotAsSaved(RuntimeError):
    """A record does not stand where it must: the cluster holds something else than the backup now."""


def write_all(
    config: Mapping[str, Any], partitions: Mapping[Place, Iterator[Step]], tell: Callable[[int], None]
) -> None:
    """Does all steps of all partitions; tells how many records were written. Raises NotAsSaved."""
    _Writer(config, tell).run(dict(partitions))


class _Writer:
    def __init__(self, config: Mapping[str, Any], tell: Callable[[int], None]) -> None:
        shared = {
            "log_level": 2,
            **config,
            "acks": "all",
            "enable.idempotence": True,
            "compression.type": "lz4",
            "message.max.bytes": _RECORD_BYTES_MAX,
            "queue.buffering.max.messages": 1_000_000,
            "queue.buffering.max.kbytes": 512 * 1024,
            "batch.num.messages": 100_000,
            "linger.ms": 0,
            "retry.backoff.ms": 1,  # with the default of 100 ms each transaction costs 100 ms instead of 4
            "retry.backoff.max.ms": 5,
        }
        self._plain = Producer(shared)
        transactional = {"transactional.id": WRITER, "transaction.timeout.ms": round(CALL_TIMEOUT_S * 1_000)}
        self._producer = Producer({**shared, **transactional})
        self._tell, self._written = tell, 0
        self._offsets = Offsets(config)
        self._marked: dict[Place, int] = {}  # where the last transaction ends, once its markers are there
        self._landed: dict[Place, int] = {}
        self._failed: list[str] = []

    def run(self, partitions: dict[Place, Iterator[Step]]) -> None:
        self._producer.init_transactions(CALL_TIMEOUT_S)
        due = {place: step for place, steps in partitions.items() if (step := next(steps, None)) is not None}
        while due:
            # Whoever writes plainly goes first, so that as many as possible share the next transaction.
            for kinds in ((Write, Blank), (Commit,), (Fill,)):
                chosen = {place: step for place, step in due.items() if isinstance(step, kinds)}
                if chosen:
                    break
            self._do(chosen)
            for place in chosen:
                if (step := next(partitions[place], None)) is None:
                    del due[place]
                else:
                    due[place] = step
            self._tell(self._written)
        self._wait_marked(list(self._marked))
        self._offsets.close()

    def _do(self, chosen: Mapping[Place, Step]) -> None:
        expected: dict[Place, int] = {}
        try:
            if all(isinstance(step, (Write, Blank)) for step in chosen.values()):
                self._wait_marked(chosen)
                self._produce(self._plain, chosen, expected)
            else:
                is_kept = all(isinstance(step, Commit) for step in chosen.values())
                self._producer.begin_transaction()
                self._produce(self._producer, chosen, expected)
                if is_kept:
                    self._producer.commit_transaction(CALL_TIMEOUT_S)
                else:
                    self._producer.abort_transaction(CALL_TIMEOUT_S)
                self._marked = {place: offset + 2 for place, offset in expected.items()}
        except KafkaException as error:
            raise NotAsSaved(
                f"Kafka did not take what was written ({error.args[0].str()}). {_BEGIN_ANEW}"
            ) from error
        self._compare(expected)

    def _wait_marked(self, places: Iterable[Place]) -> None:
        """Kafka says that a transaction has ended before it writes the markers: another producer must wait for them."""
        due = {place: self._marked.pop(place) for place in places if place in self._marked}
        until = time.monotonic() + CALL_TIMEOUT_S
        while any(end < due[place] for place, end in self._offsets.ends(due).items()):
            if time.monotonic() > until:
                raise NotAsSaved(
                    f"Kafka does not end a transaction within {CALL_TIMEOUT_S:g} s. {_BEGIN_ANEW}"
                )
            time.sleep(0.002)

    def _produce(self, producer: Producer, chosen: Mapping[Place, Step], expected: dict[Place, int]) -> None:
        for place, step in chosen.items():
            match step:
                case Write(records) | Commit(records):
                    for record in records[:-1]:
                        _send(producer, place, record, None)
                    _send(producer, place, records[-1], self._note)
                    expected[place] = records[-1].offset
                    self._written += len(records)
                case Fill(first, fillers):
                    for number in range(fillers):
                        _send(producer, place, None, self._note if number == fillers - 1 else None)
                    expected[place] = first + fillers - 1
                case Blank():
                    _send(producer, place, None, self._note)
                    expected[place] = 0
        producer.flush(CALL_TIMEOUT_S)  # what is aborted before it was sent takes no offset

    def _note(self, error: Any, message: Any) -> None:
        if error is None:
            self._landed[message.topic(), message.partition()] = message.offset()
        else:
            self._failed.append(f"{message.topic()}:{message.partition()}: {error.str()}")

    def _compare(self, expected: Mapping[Place, int]) -> None:
        if self._failed:
            raise NotAsSaved(f"Kafka did not take a record of {self._failed[0]}. {_BEGIN_ANEW}")
        for place, offset in expected.items():
            found = self._landed.get(place)
            if found != offset:
                raise NotAsSaved(
                    f"{place[0]}:{place[1]}: a record landed at offset {found}, and must stand at {offset}: does "
                    f"somebody else write there? {_BEGIN_ANEW}"
                )


_BEGIN_ANEW: Final = "Empty the cluster (delete the topics, or the data folder), and restore again"


def _send(producer: Producer, place: Place, record: Record | None, watch: Any) -> None:
    topic, partition = place
    while True:
        try:
            if record is None:
                producer.produce(topic, partition=partition, on_delivery=watch)
            else:
                producer.produce(
                    topic,
                    record.value,
                    record.key,
                    partition,
                    on_delivery=watch,
                    timestamp=record.timestamp_ms,
                    headers=list(record.headers),
                )
            return
        except BufferError:
            producer.poll(0.1)
