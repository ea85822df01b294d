"""Nothing is lost or doubled, and all goes on, when processors and their broker do not hear each other."""

from collections.abc import Callable

import pytest

from neural_hive.streams.kernel.processor import EXIT_FENCED
from tests.faults.conftest import SpreadToyFactory
from tests.faults.network import Network
from tests.faults.spread import BROKERS, SpreadKafka

BROKER = BROKERS[:1]
FAULTS: dict[str, Callable[[Network, str], None]] = {
    "cut off": lambda network, role: network.cut([role], BROKER),
    "cannot send": lambda network, role: network.lose([role], BROKER),
    "cannot receive": lambda network, role: network.lose(BROKER, [role]),
}


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_cut_off_for_longer_than_the_session(
    make_spread_toy: SpreadToyFactory, one_broker: SpreadKafka, spread_network: Network
) -> None:
    """Its partitions go on elsewhere; when it is back it ends, and the one that has them goes on undisturbed."""
    toy = make_spread_toy(one_broker)
    for fault, happens in FAULTS.items():
        cut, other = toy.wait_sharing(2)
        toy.add(3_000)
        happens(spread_network, toy.roles[cut])
        toy.add(3_000)
        without_s = toy.wait_until_done()
        assert toy.owned(other) == set(range(toy.partitions))
        toy.add(3_000)
        spread_network.heal()
        assert toy.workers[cut].wait(120) == EXIT_FENCED, fault
        assert toy.workers[other].poll() is None, f"{fault}: whoever was cut off took its successor down"
        after_s = toy.wait_until_done()
        print(f"{fault}: done without it after {without_s:.1f} s, and after {after_s:.1f} s when it was back")
    toy.stop()
    assert toy.check()["CounterRaised"] == len(toy.sent)
    assert toy.check_state() >= toy.partitions
