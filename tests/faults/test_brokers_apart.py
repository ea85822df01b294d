"""The leader of partitions does not hear the other brokers any more, and clients still hear it."""

import time

import pytest
from confluent_kafka.admin import AdminClient

from tests.faults.conftest import SpreadToyFactory
from tests.faults.network import Network
from tests.faults.spread import BROKERS, SpreadKafka, SpreadToy
from tests.toy.harness import WAIT_S

pytestmark = pytest.mark.long


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_leader_hears_no_other_broker(
    make_spread_toy: SpreadToyFactory, three_brokers: SpreadKafka, spread_network: Network
) -> None:
    """What the old one takes until it hears of the new one has no second copy, and counts for nobody.

    A client may ask the old one only, and stay with it: all goes on once they hear each other again.
    """
    toy = make_spread_toy(three_brokers)
    toy.wait_sharing(2)
    toy.add(3_000)
    old = _leader(toy)
    others = [broker for broker in BROKERS if broker != old]
    spread_network.cut([old], others)
    toy.send_all(3_000)
    elected_s = _wait_for_another(toy, old)
    toy.send_all(3_000)
    spread_network.heal()
    toy.add(3_000)
    done_s = toy.wait_until_done()
    print(
        f"another leader after {elected_s:.1f} s; all was done {done_s:.1f} s after they heard each other again"
    )
    toy.stop()
    assert toy.check()["CounterRaised"] == len(toy.sent)
    assert toy.check_state() >= toy.partitions


def _leader(toy: SpreadToy) -> str:
    """The broker that leads the first partition of a topic."""
    leads = (
        AdminClient(toy.config)
        .list_topics(toy.commands, timeout=60)
        .topics[toy.commands]
        .partitions[0]
        .leader
    )
    return BROKERS[leads - 1] if leads > 0 else ""


def _wait_for_another(toy: SpreadToy, old: str) -> float:
    """Waits until a broker says that another one leads: the old one never does. Returns how long it took, s."""
    began = time.monotonic()
    while (now := _leader(toy)) in (old, ""):
        assert time.monotonic() - began < WAIT_S, f"{now or 'nobody'} leads after {WAIT_S} s"
        time.sleep(0.5)
    return time.monotonic() - began
