"""Brokers and workers of the toy system, each in a namespace of its own."""

import logging
from pathlib import Path
from typing import Final

from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import AdminClient

from neural_hive.connectors.kafka_embedded import EmbeddedKafka
from tests.faults.network import Network
from tests.toy.harness import Toy

OBSERVER: Final = "observer"  # the test itself: it publishes, reads, and is never cut off
BROKERS: Final = ("broker-1", "broker-2", "broker-3")
PROCESSORS: Final = ("processor-1", "processor-2", "processor-3")
CLICKHOUSE: Final = "clickhouse"
_PORT, _CONTROLLER_PORT = 9092, 9093
_PUBLISHER: Final = {"partitioner": "murmur2_random", "linger.ms": 10, "enable.idempotence": True}
# A leader that hears no other broker does not answer.
_IMPATIENT: Final = {"request.timeout.ms": 4_000, "socket.timeout.ms": 8_000}
_SILENT: Final = logging.getLogger("neural_hive.kafka_probe")  # of a broker that is not there yet


class SpreadKafka(EmbeddedKafka):
    """One broker or three, each with an address of its own."""

    def __init__(self, data: Path, network: Network, brokers: int) -> None:
        super().__init__(data, brokers, [_PORT] * brokers)
        self._network = network

    @property
    def bootstrap(self) -> str:
        """See EmbeddedKafka.bootstrap."""
        return ",".join(self._address(number) for number in self.numbers)

    def _address(self, number: int, port: int = _PORT) -> str:
        return f"{self._network.address(BROKERS[number - 1])}:{port}"

    def command(self, number: int) -> list[str]:
        """See EmbeddedKafka.command."""
        return self._network.command(BROKERS[number - 1], super().command(number))

    def is_ready(self, number: int, pid: int) -> bool:
        """See EmbeddedKafka.is_ready."""
        admin = AdminClient({"bootstrap.servers": self._address(number)}, logger=_SILENT)
        try:
            return number in admin.list_topics(timeout=2).brokers
        except KafkaException:
            return False

    def _settings(self, number: int) -> dict[str, object]:
        voters = (f"{node}@{self._address(node, _CONTROLLER_PORT)}" for node in self.numbers)
        here, to_controller = self._address(number), self._address(number, _CONTROLLER_PORT)
        return super()._settings(number) | {
            "controller.quorum.voters": ",".join(voters),
            "listeners": f"PLAINTEXT://{here},CONTROLLER://{to_controller}",
            "advertised.listeners": f"PLAINTEXT://{here}",
        }


class SpreadToy(Toy):
    """A toy system whose workers are each in a namespace of their own, in which their successors start too."""

    def __init__(self, network: Network, bootstrap: str, folder: Path, partitions: int = 4) -> None:
        super().__init__(bootstrap, folder, partitions)
        self.producer = Producer({**self.config, **_PUBLISHER, **_IMPATIENT})
        self._network = network
        self.roles: list[str] = []  # by index of the worker

    def start(self, workers: int = 1, version: str = "") -> None:
        """See Toy.start."""
        for _ in range(workers):
            taken = {
                role for role, worker in zip(self.roles, self.workers, strict=True) if worker.poll() is None
            }
            role = next(role for role in PROCESSORS if role not in taken)
            with self._network.inside(role):
                super().start(1, version)
            self.roles.append(role)

    def send_all(self, count: int) -> None:
        """As `add`, but waits for no answer: whoever leads may give none."""
        for _ in range(count):
            number = len(self.sent)
            self.send(
                (self.commands, self.results)[number % 2],
                "AddToCounter",
                f"counter-{number % 500}",
                {"amount": 1},
            )
