"""A network with brokers in it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.faults.network import Network, why_not
from tests.faults.spread import BROKERS, CLICKHOUSE, OBSERVER, PROCESSORS, SpreadKafka, SpreadToy
from tests.kernel.conftest import toy_schemas as toy_schemas

SpreadToyFactory = Callable[..., SpreadToy]


@pytest.fixture(scope="module")
def spread_network() -> Iterator[Network]:
    """Namespaces for brokers, processors, and the test itself, which is in its own as long as the module runs."""
    if reason := why_not():
        pytest.skip(reason)
    network = Network((OBSERVER, *BROKERS, *PROCESSORS, CLICKHOUSE))
    with network.inside(OBSERVER):
        yield network
    network.close()


@pytest.fixture(scope="module")
def one_broker(spread_network: Network, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SpreadKafka]:
    """A broker on it."""
    with SpreadKafka(tmp_path_factory.mktemp("one-broker"), spread_network, 1) as kafka:
        yield kafka


@pytest.fixture(scope="module")
def three_brokers(spread_network: Network, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SpreadKafka]:
    """Three brokers on it."""
    with SpreadKafka(tmp_path_factory.mktemp("three-brokers"), spread_network, 3) as kafka:
        yield kafka


@pytest.fixture
def make_spread_toy(spread_network: Network, tmp_path: Path) -> Iterator[SpreadToyFactory]:
    """`make_spread_toy(kafka, partitions=4)`: a toy system on it. The network is whole again after the test."""
    made: list[SpreadToy] = []

    def make(kafka: SpreadKafka, partitions: int = 4) -> SpreadToy:
        made.append(SpreadToy(spread_network, kafka.bootstrap, tmp_path, partitions))
        return made[-1]

    yield make
    spread_network.heal()
    for toy in made:
        toy.stop()
