"""Nothing is lost or doubled, and all goes on, when processors and their broker do not hear each other."""

import re
import time
from collections.abc import Callable

import pytest

from neural_hive.streams.kernel.processor import EXIT_FENCED
from tests.faults.conftest import SpreadToyFactory
from tests.faults.network import Network
from tests.faults.spread import BROKERS, PROCESSORS, SpreadKafka

pytestmark = pytest.mark.long

BROKER = BROKERS[:1]
FAULTS: dict[str, Callable[[Network, str], None]] = {
    "cut off": lambda network, role: network.cut([role], BROKER),
    "cannot send": lambda network, role: network.lose([role], BROKER),
    "cannot receive": lambda network, role: network.lose(BROKER, [role]),
}
FENCED = re.compile(r"\] stopped .*fenced by a newer instance")
SLOW_S, TOO_SLOW_S = 0.1, 2.5  # each way
TOO_SLOW_FOR_S = 12.0


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
        toy.add(3_000)
        spread_network.heal()
        assert toy.workers[cut].wait(120) == EXIT_FENCED, fault
        log = (toy.folder / f"worker-{other}.log").read_text()
        assert not FENCED.search(log), f"{fault}: who was cut off took its successor down"
        after_s = toy.wait_until_done()
        print(f"{fault}: done without it after {without_s:.1f} s, and after {after_s:.1f} s when it was back")
    toy.stop()
    assert toy.check()["CounterRaised"] == len(toy.sent)
    assert toy.check_state() >= toy.partitions


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_slow_network(
    make_spread_toy: SpreadToyFactory, one_broker: SpreadKafka, spread_network: Network
) -> None:
    """It is slower for it; when an answer takes longer than a transaction may, all waits until that is over."""
    toy = make_spread_toy(one_broker)
    toy.wait_sharing(2)
    _delay(spread_network, SLOW_S)
    toy.add(3_000)
    slow_s = toy.wait_until_done()
    _delay(spread_network, TOO_SLOW_S)
    toy.add(3_000)
    time.sleep(TOO_SLOW_FOR_S)
    spread_network.heal()
    healed_s = toy.wait_until_done()
    print(f"{SLOW_S:g} s each way: done after {slow_s:.1f} s; healed: after {healed_s:.1f} s")
    toy.stop()
    assert toy.check()["CounterRaised"] == len(toy.sent)
    assert toy.check_state() >= toy.partitions


def _delay(network: Network, seconds: float) -> None:
    """Each way between the processors and their broker."""
    network.delay(PROCESSORS, BROKER, seconds)
    network.delay(BROKER, PROCESSORS, seconds)
