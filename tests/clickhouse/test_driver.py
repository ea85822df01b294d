"""clickhouse-connect with its default settings, and our client on top of it."""

import datetime as dt
from collections.abc import Iterator
from typing import Any

import clickhouse_connect
import pytest
from clickhouse_connect.driver.exceptions import DatabaseError, StreamFailureError

from neural_hive.connectors.clickhouse import ClickHouse, ClickHouseAway, ClickHouseError
from tests.clickhouse.test_http import avro
from tests.fixtures_clickhouse import ClickHouseServer, free_port


@pytest.fixture
def driver(clickhouse: ClickHouseServer) -> Iterator[Any]:
    client = clickhouse_connect.get_client(
        host=clickhouse.host,
        port=clickhouse.port,
        username=clickhouse.user,
        password=clickhouse.password,
        database=clickhouse.database,
    )
    yield client
    client.close()


def test_insert_and_query_with_typed_parameters(driver: Any) -> None:
    driver.command(
        "CREATE TEMPORARY TABLE d "
        "(a UInt32, b String, c DateTime64(6, 'UTC'), d Nullable(Float64), e Map(String, UInt8))"
    )
    at = dt.datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=dt.UTC)
    given = [[1, "it's\t\\ é", at, None, {"k": 1}], [2, "", at, 0.5, {}]]
    assert driver.insert("d", given, column_names=list("abcde")).written_rows == 2
    result = driver.query(
        "SELECT * FROM d WHERE b = {b:String} AND a IN {l:Array(UInt32)} AND c = {c:DateTime64(6, 'UTC')}",
        parameters={"b": "it's\t\\ é", "l": [1, 2], "c": at},
    )
    assert [list(row) for row in result.result_rows] == [
        [1, "it's\t\\ é", at.replace(tzinfo=None), None, {"k": 1}]
    ]
    assert result.column_names == ("a", "b", "c", "d", "e")


@pytest.mark.parametrize("compress", [False, "lz4", "zstd", "gzip"])
def test_every_compression(clickhouse: ClickHouseServer, compress: bool | str) -> None:
    client = clickhouse_connect.get_client(
        host=clickhouse.host,
        port=clickhouse.port,
        username=clickhouse.user,
        password=clickhouse.password,
        compress=compress,
    )
    client.command("CREATE TEMPORARY TABLE d (a UInt32, b String)")
    client.insert("d", [[n, f"row {n}"] for n in range(20_000)], column_names=["a", "b"])
    rows = client.query("SELECT * FROM d ORDER BY a").result_rows
    assert (len(rows), rows[-1]) == (20_000, (19_999, "row 19999"))
    client.close()


def test_errors(driver: Any) -> None:
    with pytest.raises(DatabaseError, match="UNKNOWN_TABLE") as caught:
        driver.query("SELECT * FROM nowhere")
    assert caught.value.code == 60
    sql = "SELECT number, throwIf(number = 3000000) FROM numbers(4000000)"
    with pytest.raises(StreamFailureError, match="throwIf"), driver.query_rows_stream(sql) as rows:
        list(rows)


def test_a_reader_without_password(clickhouse: ClickHouseServer) -> None:
    client = clickhouse_connect.get_client(host=clickhouse.host, port=clickhouse.port)
    assert client.query("SELECT {x:UInt8} AS a", parameters={"x": 3}).first_item == {"a": 3}
    with pytest.raises(DatabaseError, match="READONLY"):
        client.command("CREATE TABLE x (a UInt8) ENGINE = MergeTree ORDER BY a")
    client.close()


def test_our_client(clickhouse: ClickHouseServer, table: str) -> None:
    with clickhouse.client() as client:
        written = client.insert_avro(
            f"INSERT INTO {table} SELECT a, e.b FROM input('a UInt32, e Tuple(b String)')",
            avro(1000),
            {"insert_deduplication_token": "x"},
        )
        assert written.rows == 1000
        assert client.insert(f"INSERT INTO {table}", "CSV", b"5000,last\n").rows == 1
        assert client.query(f"SELECT count() AS n, max(a) AS m FROM {table}") == [{"n": 1001, "m": 5000}]
        assert client.rows(f"SELECT b FROM {table} WHERE a = {{a:UInt32}}", {"a": 7}) == [("row 7",)]
        assert client.raw(f"SELECT b FROM {table} WHERE a = 7", output_format="CSV") == b'"row 7"\n'
        with client.stream(f"SELECT a FROM {table}") as rows:
            assert sum(1 for _ in rows) == 1001


def test_our_client_streams_what_the_server_formats(clickhouse: ClickHouseServer) -> None:
    with clickhouse.client() as client:
        with client.raw_stream("SELECT number FROM numbers(2000000)", output_format="TSV") as pieces:
            assert sum(piece.count(b"\n") for piece in pieces) == 2_000_000
        broken = "SELECT throwIf(number = 3000000) FROM numbers(4000000)"
        with (
            pytest.raises(ClickHouseError, match="not complete: Code: 395") as caught,
            client.raw_stream(broken, output_format="TSV") as pieces,
        ):
            list(pieces)
        assert caught.value.code == 395


def test_our_clients_errors_say_what_is_wrong(clickhouse: ClickHouseServer) -> None:
    with clickhouse.client() as client, pytest.raises(ClickHouseError, match=r"^Code: 60\. ") as caught:
        client.query("SELECT * FROM nowhere")
    assert (caught.value.code, caught.value.is_passing) == (60, False)
    with (
        clickhouse.client(password="wrong") as client,
        pytest.raises(ClickHouseError, match="Authentication"),
    ):
        client.query("SELECT 1")
    with ClickHouse("127.0.0.1", free_port(), retry_s=0.3) as client:
        with pytest.raises(ClickHouseAway, match="is it running") as away:
            client.query("SELECT 1")
        assert away.value.is_passing
        assert not client.is_up()
