"""Exactly once, whatever is killed with -9, and when."""

import contextlib
import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable

import pytest

from neural_hive.connectors.kafka_log import read_committed
from neural_hive.projections.catalogue import PROJECTIONS
from neural_hive.projections.comparing import compare
from neural_hive.projections.positions import Positions, TakenOver, read_standing
from tests.fixtures_clickhouse import ClickHouseServer
from tests.projections.support import WAIT_S, Follower, Log, completed, dead_letter, ready, started

Make = Callable[..., Follower]
STEPS = (
    "pending",
    "events",
    "messages",
    "workflows_versions",
    "tickets_versions",
    "dead_letters_versions",
    "done",
)


def _write(log: Log, name: str, count: int) -> None:
    """Events on both partitions and messages, with aborted records between."""
    for partition in (0, 1):
        tickets = [f"{name}-{partition}-{n}" for n in range(count)]
        log.write(log.events, [ready(t) for t in tickets], partition)
        log.write(log.events, [ready("never")], partition, commit=False)
        log.write(log.events, [started(t) for t in tickets], partition)
        log.write(log.inputs, [dead_letter(t.encode()) for t in tickets], partition)
        log.write(log.events, [completed(t) for t in tickets], partition)


def _dying(
    server: ClickHouseServer, database: str, log: Log, step: str, count: int = 1
) -> subprocess.Popen[bytes]:
    told = {
        "host": server.host,
        "port": server.port,
        "user": server.user,
        "password": server.password,
        "database": database,
        "config": log.config,
        "kinds": {name: kind.value for name, kind in log.kinds.items()},
        "step": step,
        "count": count,
    }
    return subprocess.Popen([sys.executable, "-m", "tests.projections.dying_projector", json.dumps(told)])


def _tables_are_the_log(f: Follower, log: Log) -> None:
    """Every committed record is there once, and every read model is what the archive gives."""
    for topic, table in ((log.events, "events"), (log.inputs, "messages")):
        for partition in (0, 1):
            expected = [r.offset for r in read_committed(log.config, topic, partition, 0, None)]
            found = f.store.rows(
                f"SELECT offset FROM {table} WHERE topic = '{topic}' AND partition = {partition} ORDER BY offset"
            )
            assert [offset for (offset,) in found] == expected
    for projection in PROJECTIONS:
        assert compare(f.store, projection).equal, projection.name


@pytest.mark.slow
def test_projector_killed_at_every_step(
    log: Log, clickhouse: ClickHouseServer, database: str, follower: Make
) -> None:
    for number, step in enumerate(STEPS):
        _write(log, f"{number}", 20)
        assert _dying(clickhouse, database, log, step).wait(WAIT_S) == -9, step
    _write(log, "last", 5)
    total = (len(STEPS) * 20 + 5) * 2
    with follower().running() as f:
        f.wait_rows("events", total * 3)
        f.wait_rows("dead_letters", total)
        f.wait_rows("tickets", total)
        f.wait(lambda: compare(f.store, PROJECTIONS[1]).rows_expected == total * 3, "positions")
        _tables_are_the_log(f, log)
        standing = read_standing(f.store)
        assert sum(p.archived for p in standing.positions.values()) == total * 4


@pytest.mark.slow
def test_clickhouse_killed_after_every_step_and_in_the_middle(
    log: Log, clickhouse_server: ClickHouseServer
) -> None:
    server = clickhouse_server
    left = list(STEPS)

    def reached(step: str) -> None:
        if left and step == left[0]:
            server.kill()
            server.start()
            left.pop(0)  # only now: who waits for it kills the server next

    f = Follower(log, server, "killed", reached=reached)
    with f.running():
        for number in range(len(STEPS)):
            _write(log, f"{number}", 20)
            f.wait(lambda n=number: len(left) < len(STEPS) - n, "the next step")  # type: ignore[misc]
        for number in range(3):
            writer = threading.Thread(target=_write, args=(log, f"middle-{number}", 300))
            writer.start()
            time.sleep(0.15 + 0.2 * number)
            server.kill()
            server.start()
            writer.join()
        total = (len(STEPS) * 20 + 3 * 300) * 2
        f.wait(lambda: _answers(f) and f.one("SELECT count() FROM events") >= total * 3, "all events")
        f.wait(lambda: compare(f.store, PROJECTIONS[1]).rows_expected == total * 3, "positions")
        f.wait_rows("dead_letters", total)
        _tables_are_the_log(f, log)


def _answers(f: Follower) -> bool:
    try:
        return bool(f.store.rows("EXISTS TABLE events")[0][0])
    except OSError:
        return False


@pytest.mark.slow
def test_stopped_projector_that_wakes_after_a_takeover_writes_nothing(
    log: Log, clickhouse: ClickHouseServer, database: str, follower: Make
) -> None:
    _write(log, "a", 20)
    first = follower()
    sleeper = _dying(clickhouse, database, log, "never")
    try:
        first.wait_rows("events", 120)
        sleeper.send_signal(signal.SIGSTOP)
        _write(log, "b", 20)
        with follower().running() as second:
            second.wait_rows("events", 240)
            sleeper.send_signal(signal.SIGCONT)
            _write(log, "c", 20)
            assert sleeper.wait(WAIT_S) == 1
            second.wait_rows("events", 360)
            second.wait(lambda: compare(second.store, PROJECTIONS[1]).rows_expected == 360, "positions")
            _tables_are_the_log(second, log)
    finally:
        sleeper.kill()
        sleeper.wait()


def test_claims_of_one_epoch_leave_one_holder(
    clickhouse: ClickHouseServer, database: str, follower: Make
) -> None:
    store = follower().store
    holders: list[Positions] = [Positions(store) for _ in range(6)]
    threads = [threading.Thread(target=_claim, args=(positions,)) for positions in holders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(_holds(positions) for positions in holders) == 1


def _claim(positions: Positions) -> None:
    with contextlib.suppress(TakenOver):
        positions.claim()


def _holds(positions: Positions) -> bool:
    try:
        positions.check()
    except TakenOver:
        return False
    return True


@pytest.mark.slow
def test_rows_lost_in_a_restart_of_clickhouse_come_back_while_the_projector_runs(
    log: Log, clickhouse_server: ClickHouseServer
) -> None:
    f = Follower(log, clickhouse_server, "torn")
    with f.running():
        _write(log, "a", 20)
        f.wait_rows("events", 120)
        f.wait(lambda: compare(f.store, PROJECTIONS[1]).rows_expected == 120, "positions")
        f.store.command("DELETE FROM events WHERE offset % 2 = 0 SETTINGS mutations_sync = 2")
        time.sleep(2.1)  # a start is told apart by its second
        clickhouse_server.kill()
        clickhouse_server.start()
        _write(log, "b", 1)
        f.wait(lambda: _answers(f) and f.one("SELECT count() FROM events") == 126, "the lost rows")
        _tables_are_the_log(f, log)
