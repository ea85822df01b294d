"""The process: lanes, cancelling, stopping, being killed."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest
import urllib3

from neural_hive.connectors.clickhouse import ClickHouseError
from tests.clickhouse.conftest import Ask, asker
from tests.clickhouse.test_http import avro
from tests.fixtures_clickhouse import ClickHouseServer

ENDLESS = "SELECT count() FROM numbers(1000000000000) WHERE NOT ignore(sipHash64(number))"


def running(ask: Ask) -> dict[str, int]:
    counts: dict[str, int] = json.loads(ask(method="GET", path="/health").data)["running"]
    return counts


def wait_until(condition: Callable[[], bool], timeout_s: float = 20) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.05)


def test_slow_readers_do_not_hold_up_the_sink(ask: Ask, table: str) -> None:
    with ThreadPoolExecutor(6) as threads:
        slow = [threads.submit(ask, "SELECT sleep(2.5)", user="default") for _ in range(6)]
        wait_until(lambda: running(ask)["users"] == 6)
        assert ask(f"INSERT INTO {table} VALUES (1, 'x')").status == 200
        assert running(ask)["users"] > 2, "the insert waited for the readers"
        assert all(answer.result().status == 200 for answer in slow)


def test_too_many_are_refused_with_503(ask: Ask) -> None:
    with ThreadPoolExecutor(24) as threads:
        answers = list(threads.map(lambda _: ask("SELECT sleep(1)", user="default"), range(24)))
    refused = [answer for answer in answers if answer.status == 503]
    # 2 run and 16 wait; a slow machine lets some end before the last one comes.
    assert 1 <= len(refused) <= 24 - 18
    assert refused[0].headers["X-ClickHouse-Exception-Code"] == "202"
    assert b"try again later" in refused[0].data
    assert {answer.status for answer in answers} == {200, 503}


@pytest.mark.parametrize("output_format", ["TSV", "JSON"])
def test_a_read_whose_client_has_gone_is_stopped(
    clickhouse: ClickHouseServer, ask: Ask, output_format: str
) -> None:
    with suppress(urllib3.exceptions.TimeoutError):
        urllib3.PoolManager(retries=False).request(
            "POST",
            f"{clickhouse.url}/?database=neural_hive",
            body=f"{ENDLESS} FORMAT {output_format}",
            timeout=0.7,
        )
    wait_until(lambda: running(ask)["users"] == 0)
    others = "SELECT count() FROM system.processes WHERE query LIKE '%ignore(sip%' AND query_id != queryID()"
    wait_until(lambda: ask(others).data == b"0\n")


def test_a_reader_cannot_stop_others_by_taking_their_query_id(
    clickhouse: ClickHouseServer, ask: Ask, table: str
) -> None:
    with ThreadPoolExecutor(1) as threads:
        sql = f"INSERT INTO {table} SELECT number, toString(sleepEachRow(0.02)) FROM numbers(100)"
        writing = threads.submit(ask, sql, query_id="taken")
        wait_until(lambda: running(ask)["ingest"] == 1)
        with suppress(urllib3.exceptions.TimeoutError):
            urllib3.PoolManager(retries=False).request(
                "POST", f"{clickhouse.url}/?query_id=taken", body=ENDLESS, timeout=0.3
            )
        wait_until(lambda: running(ask)["users"] == 0)
        assert writing.result().status == 200
    assert ask(f"SELECT count() FROM {table}").data == b"100\n"


def test_stops_cleanly_and_comes_back(clickhouse_server: ClickHouseServer) -> None:
    with clickhouse_server.client() as client:
        client.command("CREATE TABLE t (a UInt32, b String) ENGINE = MergeTree ORDER BY a")
        client.command("INSERT INTO t VALUES (1, 'x')")
    slow = threading.Thread(target=asker(clickhouse_server), args=(ENDLESS,), daemon=True)
    slow.start()
    time.sleep(0.5)
    assert clickhouse_server.stop() == 0
    assert not (clickhouse_server.data / "ready").exists()
    assert "Traceback" not in clickhouse_server.log.read_text()
    password = clickhouse_server.password
    clickhouse_server.start()
    assert clickhouse_server.password == password
    with clickhouse_server.client() as client:
        assert client.rows("SELECT * FROM t") == [(1, "x")]


def test_one_process_for_a_folder(clickhouse_server: ClickHouseServer) -> None:
    module = "neural_hive.connectors.clickhouse_embedded"
    second = subprocess.run(
        [sys.executable, "-m", module, "--data", str(clickhouse_server.data), "--port", "0"],
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert second.returncode == 1
    assert b"another process uses" in second.stderr
    assert b"Traceback" not in second.stderr


def test_a_taken_port_is_named(clickhouse: ClickHouseServer, tmp_path: Path) -> None:
    module = "neural_hive.connectors.clickhouse_embedded"
    second = subprocess.run(
        [sys.executable, "-m", module, "--data", str(tmp_path / "x"), "--port", str(clickhouse.port)],
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert second.returncode == 1
    assert b"choose another port" in second.stderr


def test_killed_in_the_middle_of_inserts_whole_blocks_are_left(clickhouse_server: ClickHouseServer) -> None:
    """Every block is there as a whole or not at all, every acknowledged one is there, a repeat adds nothing."""
    block = avro(20_000)
    sql = "INSERT INTO t SELECT a, e.b FROM input('a UInt32, e Tuple(b String)')"
    with clickhouse_server.client() as client:
        client.command(
            "CREATE TABLE t (a UInt32, b String) ENGINE = MergeTree ORDER BY a "
            "SETTINGS non_replicated_deduplication_window = 1000"
        )
    acknowledged = 0
    for kill in range(4):
        killer = threading.Timer(1 + kill * 0.17, clickhouse_server.kill)
        killer.start()
        with clickhouse_server.client() as client, pytest.raises(ClickHouseError) as caught:
            while True:
                client.insert_avro(sql, block, {"insert_deduplication_token": f"block {acknowledged}"})
                acknowledged += 1
        killer.join()
        assert caught.value.is_passing
        clickhouse_server.start()
        assert list((clickhouse_server.data / "incoming").iterdir()) == []
        with clickhouse_server.client() as client:
            count, distinct = client.rows("SELECT count(), uniqExact(a) FROM t")[0]
            assert count % 20_000 == 0
            assert acknowledged <= count // 20_000 <= acknowledged + 1
            assert distinct in (0, 20_000)
            client.insert_avro(sql, block, {"insert_deduplication_token": f"block {acknowledged}"})
            acknowledged += 1
            assert client.rows("SELECT count() FROM t") == [(acknowledged * 20_000,)]
    assert acknowledged > 4
    assert json.loads(asker(clickhouse_server)(method="GET", path="/health").data)["detached_parts"] == []


def test_a_broken_part_is_told(clickhouse_server: ClickHouseServer) -> None:
    with clickhouse_server.client() as client:
        client.command("CREATE TABLE t (a UInt32) ENGINE = MergeTree ORDER BY a")
        client.command("INSERT INTO t VALUES (1)")
        client.command("INSERT INTO t VALUES (2)")
        path = client.rows(
            "SELECT path FROM system.parts WHERE table = 't' AND active ORDER BY name LIMIT 1"
        )[0][0]
    clickhouse_server.kill()
    (Path(path) / "checksums.txt").write_bytes(b"torn")
    (Path(path) / "count.txt").write_bytes(b"")
    clickhouse_server.start()
    health = json.loads(asker(clickhouse_server)(method="GET", path="/health").data)
    assert health["status"] == "rebuild"
    assert [part["table"] for part in health["detached_parts"]] == ["t"]
    assert "broken part" in clickhouse_server.log.read_text()
