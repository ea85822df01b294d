"""What all tests share: a real broker, and topics of their own on it."""

import os
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any, Final

import pytest
from confluent_kafka.admin import AdminClient, NewTopic
from xdist.scheduler import LoadFileScheduling

from neural_hive.connectors.kafka_embedded import EmbeddedKafka
from tests.durations import Keeper, file_of, longest_first

pytest_plugins = ["tests.fixtures_clickhouse"]

TopicFactory = Callable[..., str]

# Brokers of tests end before Java's second compiler has paid for itself: half the CPU of a start (3.6 and 2.0 s).
os.environ.setdefault("JDK_JAVA_OPTIONS", "-XX:TieredStopAtLevel=1")

SHARE_A_SYSTEM: Final = frozenset({"api", "sdk"})  # folders whose tests use one whole system


def scope_of(nodeid: str) -> str:
    """What runs in one process, since it shares fixtures: a file, or a folder with its system."""
    file = file_of(nodeid)
    folder = PurePosixPath(file).parent
    return str(folder) if folder.name in SHARE_A_SYSTEM else file


class ByFileOrFolder(LoadFileScheduling):  # type: ignore[misc]
    """Gives pytest-xdist's processes what belongs together, in the order of the tests."""

    def _split_scope(self, nodeid: str) -> str:
        return scope_of(nodeid)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByFileOrFolder:
    """The one above, whatever --dist says."""
    config.option.loadscopereorder = False
    return ByFileOrFolder(config, log)


def pytest_addoption(parser: pytest.Parser) -> None:
    """See `durations`."""
    parser.addoption("--keep-durations", action="store_true", help="write how long each file of tests takes")


def pytest_configure(config: pytest.Config) -> None:
    """See `durations`."""
    if config.getoption("--keep-durations") and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Keeper())


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The longest first, where several processes share them."""
    if hasattr(config, "workerinput"):
        items[:] = longest_first(items, scope_of)


def wait_known(admin: AdminClient, topics: Mapping[str, int], wait_s: float = 60) -> None:
    """Waits until the broker tells of new topics: it answers before it does, and then who asks too early is told no."""
    until = time.monotonic() + wait_s
    while True:
        known = admin.list_topics(timeout=wait_s).topics
        if all(name in known and _is_led(known[name], count) for name, count in topics.items()):
            return
        assert time.monotonic() < until, (
            f"topics not known after {wait_s:g} s: {sorted(topics.keys() - known.keys())}"
        )
        time.sleep(0.05)


def _is_led(topic: Any, partitions: int) -> bool:
    led = [p for p in topic.partitions.values() if p.error is None and p.leader >= 0]
    return topic.error is None and len(led) == partitions


def note_undelivered(error: Any, message: Any) -> None:
    """For a producer of a test: a record that did not arrive is the test's failure, not the system's."""
    assert error is None, f"not delivered to {message.topic()}:{message.partition()}: {error.str()}"


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedKafka]:
    """A running broker of this test session (one per pytest-xdist worker), on free ports."""
    with EmbeddedKafka(tmp_path_factory.mktemp("kafka")) as broker:
        yield broker


@pytest.fixture(scope="session")
def topic_factory(kafka: EmbeddedKafka) -> TopicFactory:
    """`topic_factory(prefix, partitions=4, **config)` creates a topic and returns its unique name."""
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap})

    def create(prefix: str = "topic", partitions: int = 4, **config: str) -> str:
        name = f"{prefix}.{uuid.uuid4().hex[:8]}"
        settings = {"message.timestamp.type": "LogAppendTime", **config}
        topic = NewTopic(name, num_partitions=partitions, replication_factor=1, config=settings)
        admin.create_topics([topic])[name].result(30)
        wait_known(admin, {name: partitions})
        return name

    return create
