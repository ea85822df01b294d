"""A projector that does not hear the broker, or ClickHouse: each record is in each table once, and it goes on."""

import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient, NewTopic

from neural_hive.connectors.kafka_log import read_committed
from neural_hive.projections.catalogue import PROJECTIONS
from neural_hive.projections.comparing import compare
from neural_hive.projections.store import StoreUnavailable
from tests.conftest import wait_known
from tests.faults.network import Network
from tests.faults.spread import BROKERS, CLICKHOUSE, PROCESSORS, SpreadKafka
from tests.fixtures_clickhouse import ClickHouseServer
from tests.projections.support import Follower, Log, ready, started

pytestmark = pytest.mark.long

PROJECTOR = PROCESSORS[0]
CUT_OFF_S = 8.0
SILENT_S = 3.0  # in which ClickHouse takes an insert
EVENTS = 120  # written at once


@pytest.fixture
def log(one_broker: SpreadKafka) -> Log:
    """Topics of this test, to which only the test writes, from its own place in the network."""
    admin = AdminClient({"bootstrap.servers": one_broker.bootstrap})
    for future in admin.create_topics([NewTopic("tickets", 1, 1), NewTopic("inputs", 1, 1)]).values():
        future.result(60)
    wait_known(admin, {"tickets": 1, "inputs": 1})
    return Log(one_broker.bootstrap, "tickets", "inputs")


@pytest.fixture
def server(spread_network: Network, tmp_path: Path) -> Iterator[ClickHouseServer]:
    """A ClickHouse process in its own namespace."""
    server = ClickHouseServer(tmp_path / "clickhouse")
    server.host = spread_network.address(CLICKHOUSE)
    with spread_network.inside(CLICKHOUSE):
        # As if the machine died with the process: else the kernel would go on sending the last answer for minutes.
        Path("/proc/sys/net/ipv4/tcp_orphan_retries").write_text("1")
        server.start()
    yield server
    spread_network.heal()
    server.kill()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_projector_that_hears_nobody(log: Log, server: ClickHouseServer, spread_network: Network) -> None:
    """Nothing of the broker; nothing of a ClickHouse that did what it was told; nothing of one whose machine dies."""
    falls_silent: list[Callable[[], object]] = []  # what happens when the next insert begins

    def reached(step: str) -> None:
        if step == "pending" and falls_silent:
            falls_silent.pop()()

    def restart_after(silence: Callable[[], object], name: str) -> None:
        falls_silent.append(silence)
        _write(log, name)
        f.wait(lambda: not falls_silent, "the next insert")
        time.sleep(SILENT_S)
        spread_network.cut([CLICKHOUSE], [PROJECTOR])
        server.kill()
        with spread_network.inside(CLICKHOUSE):
            server.start()
        spread_network.heal()

    with spread_network.inside(PROJECTOR):
        f = Follower(log, server, "cut_off", reached=reached)
        with f.running():
            spread_network.lose(BROKERS, [PROJECTOR])
            _write(log, "unheard")
            time.sleep(CUT_OFF_S)
            spread_network.heal()
            _wait_rows(f, EVENTS)
            restart_after(lambda: spread_network.lose([CLICKHOUSE], [PROJECTOR]), "untold")
            told_s = _wait_rows(f, 2 * EVENTS)
            restart_after(lambda: server.signal(signal.SIGSTOP), "undone")
            done_s = _wait_rows(f, 3 * EVENTS)
            print(f"all rows were there after {told_s:.1f} s and {done_s:.1f} s")
            _tables_are_the_log(f, log)


def _write(log: Log, name: str) -> None:
    tickets = [f"{name}-{n}" for n in range(EVENTS // 2)]
    log.write(log.events, [ready(ticket) for ticket in tickets])
    log.write(log.events, [started(ticket) for ticket in tickets])


def _wait_rows(f: Follower, count: int) -> float:
    """Waits until that many events are there. Returns how long it took, s."""
    began = time.monotonic()
    f.wait(lambda: _answers(f), "ClickHouse answers")  # a connection of before may be of no use
    f.wait_rows("events", count)
    f.wait(lambda: compare(f.store, PROJECTIONS[1]).rows_expected == count, "positions")
    return time.monotonic() - began


def _answers(f: Follower) -> bool:
    try:
        return bool(f.store.rows("SELECT 1"))
    except StoreUnavailable:
        return False


def _tables_are_the_log(f: Follower, log: Log) -> None:
    """Every committed event is there once, and every read model is what the archive gives."""
    expected = [record.offset for record in read_committed(log.config, log.events, 0, 0, None)]
    found = [offset for (offset,) in f.store.rows("SELECT offset FROM events ORDER BY offset")]
    assert found == expected
    for projection in PROJECTIONS:
        assert compare(f.store, projection).equal, projection.name
