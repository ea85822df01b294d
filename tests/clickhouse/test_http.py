"""ClickHouse's HTTP interface on the real process, as curl and any HTTP client see it."""

import gzip
import io
import json
import shutil
import subprocess
import threading
import time
from typing import Any

import fastavro
import pytest

from neural_hive.connectors.clickhouse_encoding import CODINGS, Decoder, encoder
from tests.clickhouse.conftest import Ask
from tests.fixtures_clickhouse import ClickHouseServer

SCHEMA: dict[str, Any] = fastavro.parse_schema(
    {
        "type": "record",
        "name": "Row",
        "fields": [
            {"name": "a", "type": "long"},
            {
                "name": "e",
                "type": {"type": "record", "name": "E", "fields": [{"name": "b", "type": "string"}]},
            },
        ],
    }
)


def avro(count: int) -> bytes:
    out = io.BytesIO()
    fastavro.writer(out, SCHEMA, [{"a": n, "e": {"b": f"row {n}"}} for n in range(count)])
    return out.getvalue()


def rows(ask: Ask, table: str) -> int:
    return int(ask(f"SELECT count() FROM {table}").data)


def test_curl(clickhouse: ClickHouseServer) -> None:
    curl = shutil.which("curl")
    if curl is None:
        pytest.skip("curl is not installed")
    url = f"{clickhouse.url}/?query=SELECT+%7Bx:UInt32%7D*2&param_x=21"
    assert subprocess.run([curl, "-sS", url], capture_output=True, check=True, timeout=30).stdout == b"42\n"


def test_ping_and_replicas_status(ask: Ask) -> None:
    for path in ("/ping", "/replicas_status"):
        assert ask(method="GET", path=path, user="default").data == b"Ok.\n"


def test_health_tells_of_broken_parts(ask: Ask) -> None:
    health = json.loads(ask(method="GET", path="/health", user="default").data)
    assert health["status"] == "ok"
    assert health["detached_parts"] == []


def test_query_in_url_goes_on_in_the_body(ask: Ask) -> None:
    assert ask("+ 2", query="SELECT 1").data == b"3\n"


def test_typed_parameters_are_the_servers(ask: Ask) -> None:
    answer = ask(
        "SELECT {s:String}, {l:Array(UInt8)}, {n:Nullable(Int8)} FORMAT JSONCompactEachRow",
        param_s="it's \\t",
        param_l="[1,2]",
        param_n="\\N",
    )
    assert json.loads(answer.data) == ["it's \t", [1, 2], None]
    assert ask("SELECT {x:UInt8}", param_x="abc").headers["X-ClickHouse-Exception-Code"] == "457"


@pytest.mark.parametrize(
    ("asked", "content_type", "starts"),
    [
        ("TabSeparated", "text/tab-separated-values; charset=UTF-8", b"7\n"),
        ("CSVWithNames", "text/csv; charset=UTF-8; header=absent", b'"a"\n7\n'),
        ("JSON", "application/json; charset=UTF-8", b"{"),
        ("JSONEachRow", "application/x-ndjson; charset=UTF-8", b'{"a":7}'),
        ("Native", "application/octet-stream", b"\x01\x01\x01a\x05UInt8\x07"),
        ("RowBinary", "application/octet-stream", b"\x07"),
        ("Parquet", "application/octet-stream", b"PAR1"),
        ("PrettyNoEscapes", "text/plain; charset=UTF-8", "   ┏".encode()),
        ("XML", "application/xml; charset=UTF-8", b"<?xml"),
    ],
)
def test_formats_by_clause_and_by_default(ask: Ask, asked: str, content_type: str, starts: bytes) -> None:
    by_clause = ask(f"SELECT 7 AS a FORMAT {asked}")
    by_default = ask("SELECT 7 AS a", default_format=asked)
    for answer in (by_clause, by_default):
        assert answer.status == 200
        assert answer.headers["X-ClickHouse-Format"] == asked
        assert answer.headers["Content-Type"] == content_type
        assert answer.data.startswith(starts)


@pytest.mark.parametrize(
    ("sql", "status", "code"),
    [
        ("SELECT * FROM nowhere", 404, 60),
        ("SELECT nope", 404, 47),
        ("SELEC 1", 400, 62),
        ("", 400, 62),
        ("SELECT 1; SELECT 2", 400, 62),
        ("SELECT 1 FORMAT Nope", 404, 73),
        ("SELECT 1 SETTINGS nope = 1", 404, 115),
        ("SELECT throwIf(1)", 500, 395),
        ("SELECT sleep(2) SETTINGS max_execution_time = 1", 408, 159),
    ],
)
def test_errors_have_the_servers_code_and_status(ask: Ask, sql: str, status: int, code: int) -> None:
    answer = ask(sql)
    assert (answer.status, answer.headers["X-ClickHouse-Exception-Code"]) == (status, str(code))
    text = answer.data.decode()
    assert text.startswith(f"Code: {code}. DB::Exception: ")
    assert text.count("DB::Exception") == 1


def test_unknown_setting_in_the_url(ask: Ask) -> None:
    assert ask("SELECT 1", no_such_setting="1").headers["X-ClickHouse-Exception-Code"] == "115"
    assert ask("SELECT getSetting('max_block_size')", max_block_size="77").data == b"77\n"
    assert ask("SELECT getSetting('max_block_size')").data != b"77\n"


def test_query_id_is_given_back(ask: Ask) -> None:
    assert ask("SELECT 1", query_id="mine").headers["X-ClickHouse-Query-Id"] == "mine"


@pytest.mark.parametrize("password", ["", "wrong"])
def test_wrong_password(ask: Ask, password: str) -> None:
    answer = ask(
        "SELECT 1", user="default", headers={"X-ClickHouse-User": "ingest", "X-ClickHouse-Key": password}
    )
    assert answer.status == 403
    assert answer.headers["X-ClickHouse-Exception-Code"] == "516"


def test_password_in_every_place(clickhouse: ClickHouseServer, ask: Ask) -> None:
    from base64 import b64encode

    basic = b64encode(f"ingest:{clickhouse.password}".encode()).decode()
    create = "CREATE TEMPORARY TABLE x (a Int8)"
    assert ask(create, user="default", headers={"Authorization": f"Basic {basic}"}).status == 200
    assert ask(create, user="default", password=clickhouse.password).status != 200
    bearer = ask("SELECT 1", user="default", headers={"Authorization": "Bearer x"})
    assert bearer.headers["X-ClickHouse-Exception-Code"] == "516"


def test_password_files_are_the_owners(clickhouse: ClickHouseServer) -> None:
    for user in ("ingest", "api"):
        assert (clickhouse.data / f"{user}.password").stat().st_mode & 0o777 == 0o600


def test_get_does_not_change_data(ask: Ask, table: str) -> None:
    answer = ask(method="GET", query=f"INSERT INTO {table} VALUES (1, 'x')")
    assert answer.headers["X-ClickHouse-Exception-Code"] == "164"
    assert rows(ask, table) == 0


@pytest.mark.parametrize(
    ("data_format", "data"),
    [
        ("CSV", b"1,x\n2,y\n"),
        ("JSONEachRow", b'{"a":1,"b":"x"}\n{"a":2,"b":"y"}\n'),
        ("TabSeparated", b"1\tx\n2\ty\n"),
        ("RowBinary", b"\x01\0\0\0\x01x\x02\0\0\0\x01y"),
        ("Native", b"\x02\x02\x01a\x06UInt32\x01\0\0\0\x02\0\0\0\x01b\x06String\x01x\x01y"),
        ("Values", b"(1, 'x'), (1 + 1, lower('Y'))"),
    ],
)
@pytest.mark.parametrize("place", ["body", "url"])
def test_insert_in_every_format(ask: Ask, table: str, data_format: str, data: bytes, place: str) -> None:
    sql = f"INSERT INTO {table} (a, b) FORMAT {data_format}"
    answer = ask(data, query=sql) if place == "url" else ask(f"{sql}\n".encode() + data)
    assert answer.status == 200, answer.data
    assert json.loads(answer.headers["X-ClickHouse-Summary"])["written_rows"] == "2"
    assert "X-ClickHouse-Format" not in answer.headers
    assert ask(f"SELECT * FROM {table} ORDER BY a").data == b"1\tx\n2\ty\n"


def test_insert_values_and_select(ask: Ask, table: str) -> None:
    assert ask(f"INSERT INTO {table} VALUES (1, 'é')").status == 200
    assert ask(f"INSERT INTO {table} SELECT a + 1, b FROM {table}").status == 200
    assert ask(f"SELECT sum(a), any(b) FROM {table}").data.decode() == "3\té\n"


def test_avro_through_input_is_one_whole_part(ask: Ask, table: str) -> None:
    sql = f"INSERT INTO {table} SELECT a, e.b FROM input('a UInt32, e Tuple(b String)') FORMAT Avro\n"
    body = sql.encode() + avro(100_000)
    for _ in range(2):
        answer = ask(body, insert_deduplication_token="one")
        assert answer.status == 200, answer.data
    parts = f"SELECT count(), sum(rows) FROM system.parts WHERE table = '{table}' AND active"
    assert ask(parts).data == b"1\t100000\n"
    assert ask(f"SELECT sum(a), max(b) FROM {table}").data == b"4999950000\trow 99999\n"


def test_a_damaged_insert_leaves_nothing(clickhouse: ClickHouseServer, ask: Ask, table: str) -> None:
    sql = f"INSERT INTO {table} SELECT a, e.b FROM input('a UInt32, e Tuple(b String)') FORMAT Avro\n"
    answer = ask(sql.encode() + avro(50_000)[:-1000])
    assert answer.status >= 400
    assert rows(ask, table) == 0
    assert list((clickhouse.data / "incoming").iterdir()) == []


@pytest.mark.parametrize("coding", CODINGS)
def test_compressed_both_ways(ask: Ask, table: str, coding: str) -> None:
    pack = encoder(coding)
    data = b"".join(b"%d,row %d\n" % (n, n) for n in range(5000))
    body = pack.feed(data) + pack.end()
    inserted = ask(body, query=f"INSERT INTO {table} FORMAT CSV", headers={"Content-Encoding": coding})
    assert inserted.status == 200, inserted.data
    answer = ask(
        f"SELECT * FROM {table} ORDER BY a FORMAT CSV",
        headers={"Accept-Encoding": coding},
        enable_http_compression="1",
        decode_content=False,
    )
    assert answer.headers["Content-Encoding"] == coding
    decoder = Decoder(coding)
    plain = b"".join(decoder.feed(answer.data))
    decoder.end()
    assert plain.replace(b'"', b"") == data


def test_compression_only_when_asked_for(ask: Ask) -> None:
    answer = ask("SELECT 1", headers={"Accept-Encoding": "gzip"}, decode_content=False)
    assert "Content-Encoding" not in answer.headers
    asked = ask(
        "SELECT 1", headers={"Accept-Encoding": "gzip"}, enable_http_compression="1", decode_content=False
    )
    assert gzip.decompress(asked.data) == b"1\n"


@pytest.mark.parametrize("headers", [{"Content-Encoding": "snappy"}])
def test_unknown_codings_are_named(ask: Ask, headers: dict[str, str]) -> None:
    answer = ask("SELECT 1", headers=headers)
    assert answer.status == 501
    assert b"snappy" in answer.data
    assert ask("SELECT 1", compress="1").status == 501


def test_a_large_result_streams(ask: Ask) -> None:
    answer = ask("SELECT number FROM numbers(3000000)")
    assert answer.headers["Transfer-Encoding"] == "chunked"
    assert answer.data.count(b"\n") == 3_000_000


def test_an_error_after_the_answer_began(ask: Ask) -> None:
    answer = ask("SELECT throwIf(number = 3000000) FROM numbers(4000000)")
    assert answer.status == 200
    tag = answer.headers["X-ClickHouse-Exception-Tag"].encode()
    assert b"\r\n__exception__\r\n" + tag + b"\r\nCode: 395. " in answer.data


def test_sessions_keep_settings_and_temporary_tables(ask: Ask) -> None:
    session = {"session_id": "keeps"}
    assert ask("CREATE TEMPORARY TABLE kept (a UInt8)", **session).status == 200
    assert ask("INSERT INTO kept VALUES (5)", **session).status == 200
    assert ask("SET max_block_size = 99", **session).status == 200
    assert ask("SELECT a, getSetting('max_block_size') FROM kept", **session).data == b"5\t99\n"
    assert ask("SELECT getSetting('max_block_size')", max_block_size="7", **session).data == b"7\n"
    assert ask("SELECT getSetting('max_block_size')", **session).data == b"99\n"
    assert ask("SELECT * FROM kept").status == 404
    assert (
        ask("SELECT 1", session_id="unknown", session_check="1").headers["X-ClickHouse-Exception-Code"]
        == "372"
    )


def test_a_session_does_one_thing_at_a_time(ask: Ask) -> None:
    busy = threading.Thread(target=ask, args=("SELECT sleep(1.5)",), kwargs={"session_id": "busy"})
    busy.start()
    time.sleep(0.5)
    assert ask("SELECT 1", session_id="busy").headers["X-ClickHouse-Exception-Code"] == "373"
    busy.join()
    assert ask("SELECT 1", session_id="busy").data == b"1\n"


def test_a_large_query_is_refused_and_large_data_is_not(ask: Ask, table: str) -> None:
    answer = ask("SELECT '" + "x" * (2 << 20) + "'")
    assert answer.status == 413
    assert (
        ask(f"INSERT INTO {table} VALUES " + ",".join(f"({n},'{'x' * 20}')" for n in range(100_000))).status
        == 200
    )
    assert rows(ask, table) == 100_000


def test_a_form_as_clients_send_long_parameters(ask: Ask) -> None:
    from urllib3 import encode_multipart_formdata

    body, kind = encode_multipart_formdata({"query": "SELECT length({x:String})", "param_x": "é" * 20_000})
    assert ask(body, headers={"Content-Type": kind}).data == b"40000\n"


def test_a_refusal_reaches_a_client_that_still_sends(ask: Ask) -> None:
    body = b"INSERT INTO nowhere FORMAT CSV\n" + b"1,x\n" * (4 << 20)
    assert ask(body).headers["X-ClickHouse-Exception-Code"] == "60"
    wrong = {"X-ClickHouse-User": "ingest", "X-ClickHouse-Key": "wrong"}
    assert ask(body, user="default", headers=wrong).headers["X-ClickHouse-Exception-Code"] == "516"
    assert ask(body, user="default").headers["X-ClickHouse-Exception-Code"] == "164"
