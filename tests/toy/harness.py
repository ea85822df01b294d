"""Runs the toy system as real processes on a real broker, and says whether the log is what it must be."""

import os
import re
import signal
import subprocess
import sys
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from copy import copy
from hashlib import sha256
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from neural_hive.connectors.kafka_log import Offsets, Record, begin_offsets, read_committed
from neural_hive.schemas.codec import decode, encode_message
from neural_hive.schemas.envelope import NO_HASH, Envelope, Header
from neural_hive.streams.kernel.fold import Fold
from neural_hive.streams.kernel.partition_log import KafkaPartitionLog
from neural_hive.streams.kernel.processor import EXIT_FENCED
from neural_hive.streams.kernel.recovery import recover
from neural_hive.streams.kernel.rocks import DAMAGED_SUFFIX
from neural_hive.streams.kernel.state import Store
from neural_hive.streams.runner import cluster_of
from tests.conftest import note_undelivered, wait_known
from tests.toy.system import build

SCHEMAS = Path(__file__).parent / "schemas"
ROOT = Path(__file__).parents[2]
WAIT_S = 120
LOG_TAIL_CHARACTERS = 6_000
PASSING = (
    KafkaError.NOT_COORDINATOR,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError._TIMED_OUT,
)
UNKNOWN_LAG = 1 << 40  # the group's coordinator is not there yet


class Toy:
    """One toy system with topics of its own."""

    def __init__(
        self, bootstrap: str, folder: Path, partitions: int = 4, results_partitions: int | None = None
    ) -> None:
        self.bootstrap, self.folder, self.partitions = bootstrap, folder, partitions
        self.suffix = f".{uuid.uuid4().hex[:6]}"
        self.system = build(self.suffix)
        self.config = {"bootstrap.servers": bootstrap}
        self.commands, self.results = f"toy.commands{self.suffix}", f"toy.results{self.suffix}"
        self.event_topics = [f"toy.counters{self.suffix}", f"toy.tallies{self.suffix}"]
        self.workers: list[subprocess.Popen[bytes]] = []
        self._replaced: set[int] = set()
        self.sent: set[str] = set()
        self.blocks = f"toy.blocks{self.suffix}"
        self.environment: dict[str, str] = {}
        self.module = "tests.toy.system"  # what a worker runs
        self.results_partitions = results_partitions or partitions
        self._connect()
        self._create_topics(self.results_partitions)
        self.producer = Producer(self.config | {"partitioner": "murmur2_random", "linger.ms": 10})

    def _create_topics(self, results_partitions: int) -> None:
        admin = AdminClient(self.config)
        mine = [self.commands, f"toy.repartition{self.suffix}", *self.event_topics]
        times = {"message.timestamp.type": "LogAppendTime"}
        wanted = [NewTopic(topic, self.partitions, -1, config=times) for topic in mine]
        wanted.append(NewTopic(self.results, results_partitions, -1, config=times))
        wanted.append(NewTopic(self.blocks, 2, -1, config=times))
        wanted.append(NewTopic("dead.letters", 3, -1, config=times))
        for future in admin.create_topics(wanted).values():
            try:
                future.result(30)
            except Exception as error:
                if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                    raise
        wait_known(
            admin, {topic.topic: topic.num_partitions for topic in wanted if topic.topic != "dead.letters"}
        )

    def start(self, workers: int = 1, version: str = "") -> None:
        """Starts workers; each takes a free slot of the data folder."""
        for _ in range(workers):
            command = [
                sys.executable,
                "-m",
                self.module,
                self.bootstrap,
                str(self.folder),
                self.suffix,
                version,
            ]
            log = self._log(len(self.workers)).open("wb")
            environment = (
                os.environ | {"NEURAL_HIVE_SCHEMAS": str(SCHEMAS), "TOY_SESSION_S": "6"} | self.environment
            )
            self.workers.append(
                subprocess.Popen(
                    command, cwd=ROOT, stdout=log, stderr=log, env=environment, start_new_session=True
                )
            )

    def kill(self, index: int, how: signal.Signals = signal.SIGKILL) -> None:
        """Sends a signal to a worker; after SIGKILL it is gone."""
        self.workers[index].send_signal(how)
        if how == signal.SIGKILL:
            self.workers[index].wait(60)

    def keep_alive(self, workers: int) -> None:
        """Starts as many workers as are missing: what a supervisor does."""
        dead = {index for index, worker in enumerate(self.workers) if worker.poll() is not None}
        self._replaced |= dead
        self.start(workers - (len(self.workers) - len(dead)))

    def replace_fenced(self) -> None:
        """Starts a worker for each that ended because it was fenced: that is what its exit code asks for.

        It may happen in any rebalance. Those that a test killed stay dead, until the test says otherwise.
        """
        for index, worker in enumerate(self.workers[:]):
            if worker.poll() == EXIT_FENCED and index not in self._replaced:
                self._replaced.add(index)
                self.start()

    def owned(self, index: int) -> set[int]:
        """The partitions that a living worker was assigned last, as its log says."""
        if self.workers[index].poll() is not None:
            return set()
        found = re.findall(r"assigned +partitions=\[([\d, ]*)\]", self._log(index).read_text())
        return {int(number) for number in found[-1].split(",") if number.strip()} if found else set()

    def start_sharing(self, workers: int, wait_s: float = WAIT_S) -> list[int]:
        """Starts workers and waits until each has partitions of its own. Returns their indexes."""
        self.start(workers)
        return self.wait_sharing(workers, wait_s)

    def wait_sharing(self, workers: int, wait_s: float = WAIT_S) -> list[int]:
        """Starts what is missing of so many workers, and waits as `start_sharing` does."""
        until = time.monotonic() + wait_s
        while True:
            self.keep_alive(workers)
            owners = {index: owned for index in range(len(self.workers)) if (owned := self.owned(index))}
            shared = sorted(number for owned in owners.values() for number in owned)
            if len(owners) == workers and shared == list(range(self.partitions)):
                return list(owners)
            assert time.monotonic() < until, f"no shared assignment after {wait_s:g} s\n{self.explain()}"
            time.sleep(0.2)

    def _log(self, index: int) -> Path:
        return self.folder / f"worker-{index}.log"

    def explain(self) -> str:
        """What became of each worker; the living are asked for their stacks first."""
        asked = [worker for worker in self.workers if _state(worker) not in ("T", None) and _catches(worker)]
        for worker in asked:
            worker.send_signal(signal.SIGUSR1)
        if asked:
            time.sleep(2)
        parts = []
        for index, worker in enumerate(self.workers):
            code = worker.poll()
            state = f"state {_state(worker)}" if code is None else f"ended with {code}"
            log = self._log(index).read_text()[-LOG_TAIL_CHARACTERS:]
            parts.append(f"--- worker {index}, {state}\n{log}")
        return "\n".join(parts)

    def _connect(self) -> None:
        self._asking: dict[str, Consumer] = {}
        self._offsets = Offsets(self.config, "read_committed")

    def elsewhere(self, config: dict[str, Any], folder: Path) -> "Toy":
        """The same system on another cluster that has its topics already, with workers of its own."""
        other = copy(self)
        other.bootstrap, other.config, other.folder = config["bootstrap.servers"], config, folder
        other.workers = []
        other._connect()
        folder.mkdir(exist_ok=True)
        return other

    def stop(self) -> None:
        """Ends all workers in order; those that do not are killed."""
        while self._asking:
            self._asking.popitem()[1].close()
        for worker in self.workers:
            if worker.poll() is None:
                worker.send_signal(signal.SIGCONT)
                worker.terminate()
        for worker in self.workers:
            try:
                worker.wait(60)
            except subprocess.TimeoutExpired:
                worker.kill()
                worker.wait()

    def start_stopped(self, wait_s: float = WAIT_S) -> str:
        """Starts a worker, and waits until it has stopped a partition, and lives on; what it has logged by then."""
        self.start()
        file, until = self._log(len(self.workers) - 1), time.monotonic() + wait_s
        while "partition stopped" not in (log := file.read_text()):
            assert time.monotonic() < until, self.explain()
            time.sleep(0.2)
        assert self.workers[-1].poll() is None, self.explain()
        return log

    def add(self, count: int, keys: int = 500, amount: int = 1) -> None:
        """Publishes `count` messages over two topics."""
        for _ in range(count):
            number = len(self.sent)
            topic = (self.commands, self.results)[number % 2]
            self.send(topic, "AddToCounter", f"counter-{number % keys}", {"amount": amount + number % 2})
        assert self.producer.flush(60) == 0

    def send(
        self,
        topic: str,
        message_type: str,
        counter_id: str,
        payload: dict[str, Any],
        message_id: str = "",
        **where: Any,
    ) -> str:
        """Publishes one message; `partition=` sends it elsewhere than its key says."""
        message_id = message_id or f"message-{len(self.sent)}-{uuid.uuid4().hex[:6]}"
        self.sent.add(message_id)
        header = Header(message_id, message_type, 1_700_000_000_000_000, counter_id, "", "", "", "", "test")
        value = encode_message(header, {"counter_id": counter_id, **payload})
        while True:
            try:
                self.producer.produce(topic, value, counter_id, on_delivery=note_undelivered, **where)
                self.producer.poll(0)
                return message_id
            except BufferError:
                self.producer.poll(0.2)

    def events(self, topic: str) -> Iterator[tuple[Record, Envelope, dict[str, Any]]]:
        """All committed events of a topic, partition by partition."""
        for partition in range(self.partitions):
            for message in self._read(topic, partition):
                decoded = decode(message.value or b"", "event")
                assert isinstance(decoded.head, Envelope)
                yield message, decoded.head, decoded.payload

    def dead_letters(self) -> list[dict[str, Any]]:
        """The dead letters that came from this system's topics."""
        topics = AdminClient(self.config).list_topics("dead.letters", timeout=60).topics
        partitions = topics["dead.letters"].partitions  # another test may have made the topic
        letters = [
            decode(m.value or b"", "message").payload
            for p in partitions
            for m in self._read("dead.letters", p)
        ]
        return [letter for letter in letters if letter["source_topic"].endswith(self.suffix)]

    def _read(self, topic: str, partition: int) -> Iterator[Record]:
        begin = begin_offsets(self.config, [(topic, partition)])[topic, partition]
        return read_committed(self.config, topic, partition, begin, None)

    def lag(self) -> int:
        """Input records (and markers) behind the group's committed offsets."""
        topics = dict.fromkeys(self.system.topics, self.partitions)
        routed = self.results_partitions != self.partitions
        lag = 0
        if routed:
            del topics[self.results]
            lag = self._lag(
                f"{self.system.name}.router.{self.results}", {self.results: self.results_partitions}
            )
        return lag + self._lag(self.system.name, topics)

    def _lag(self, group: str, topics: dict[str, int]) -> int:
        kept = self._asking.pop(group, None)  # whoever waits asks often, and a new client takes 20 ms
        consumer = kept or Consumer(self.config | {"group.id": group})
        places = [(topic, p) for topic, count in topics.items() for p in range(count)]
        try:
            committed = consumer.committed([TopicPartition(*place) for place in places], 60)
            ends = self._offsets.ends(places)
        except KafkaException as error:
            consumer.close()
            if kept is not None or error.args[0].code() in PASSING:
                return UNKNOWN_LAG
            raise
        self._asking[group] = consumer
        return sum(ends[at.topic, at.partition] - max(at.offset, 0) for at in committed)

    def wait_until_done(self, wait_s: float = WAIT_S) -> float:
        """Waits until every input is behind the committed offsets. Returns how long it took, s."""
        started = time.monotonic()
        while self.lag() > 0:
            if time.monotonic() - started > wait_s:
                raise AssertionError(f"lag {self.lag()} after {wait_s} s\n{self.explain()}")
            self.replace_fenced()
            time.sleep(0.2)
        return time.monotonic() - started

    def check(self) -> Counter[str]:
        """The oracle: one answer to each input, chains and sequences whole, state equal to the fold."""
        causes: Counter[tuple[str, str]] = Counter()
        chains: dict[str, tuple[int, bytes]] = {}
        sequences: dict[int, list[int]] = {}
        kinds: Counter[str] = Counter()
        for topic in self.event_topics:
            for message, envelope, _ in self.events(topic):
                key = f"{envelope.aggregate_type}/{envelope.aggregate_id}"
                version, digest = chains.get(key, (0, NO_HASH))
                assert envelope.version == version + 1, f"{key}: {version} is followed by {envelope.version}"
                assert envelope.prev_hash == digest, f"{key} version {envelope.version}: broken chain"
                chains[key] = (envelope.version, sha256(message.value or b"").digest())
                sequences.setdefault(message.partition, []).append(envelope.sequence)
                causes[key, envelope.causation_id] += 1
                kinds[envelope.event_type] += 1
        for partition, found in sequences.items():
            assert sorted(found) == list(range(1, len(found) + 1)), f"sequence of partition {partition}"
        doubled = [cause for cause, count in causes.items() if count > 1]
        assert not doubled, f"answered twice: {doubled[:3]}"
        answered = {cause for (_, cause) in causes}
        lost = self.sent - answered - self._refused()
        assert not lost, f"{len(lost)} of {len(self.sent)} lost, e.g. {sorted(lost)[:3]}"
        return kinds

    def _refused(self) -> set[str]:
        found = set()
        for letter in self.dead_letters():
            try:
                head = decode(letter["value"], "message").head
            except Exception:  # bytes that are no message have no id
                continue
            assert isinstance(head, Header)
            found.add(head.message_id)
        return found

    def check_state(self) -> int:
        """Every partition's RocksDB equals the fold of its log. Call when all workers have stopped."""
        compared = 0
        topic_ids = cluster_of(self.config, self.system).topic_ids
        for partition in range(self.partitions):
            fresh = Store(self.folder / f"refolded-{partition}-{uuid.uuid4().hex[:6]}")
            log = KafkaPartitionLog(self.config, "refold", "refold", partition, 10)
            position = recover(Fold(self.system.all_aggregates, fresh), log, topic_ids, "refolded").position
            expected = dict(fresh.rows())
            fresh.close()
            for kept in self._stores(partition, position.sequence):
                assert dict(kept.rows()) == expected, (
                    f"state of partition {partition} is not the fold of its log"
                )
                compared += 1
                kept.close()
        return compared

    def _stores(self, partition: int, sequence: int) -> Iterator[Store]:
        """The stores that reach the log's end; those of earlier owners stand still behind it."""
        for folder in self.folder.glob(f"toy{self.suffix}/worker-*/{partition}/*"):
            if folder.name.endswith(DAMAGED_SUFFIX):
                continue
            store = Store(folder)
            position = store.position()
            if position is not None and position.sequence == sequence:
                yield store
            else:
                store.close()


def _state(worker: subprocess.Popen[bytes]) -> str | None:
    """The letter of Linux for what a living process does: T is stopped. None: it has ended."""
    if worker.poll() is not None:
        return None
    return Path(f"/proc/{worker.pid}/stat").read_text().rpartition(")")[2].split()[0]


def _catches(worker: subprocess.Popen[bytes]) -> bool:
    """Whether a living process takes SIGUSR1: one that has just begun would die of it."""
    status = Path(f"/proc/{worker.pid}/status").read_text()
    caught = int(status.partition("SigCgt:")[2].split()[0], 16)
    return bool(caught >> (signal.SIGUSR1 - 1) & 1)
