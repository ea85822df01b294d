"""What readers may ask and what not, each statement tried on the real engine over HTTP."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from neural_hive.connectors.reader_functions import functions, installed, listed, refusal
from neural_hive.connectors.reader_rules import FORMATS, SYSTEM_TABLES, TABLE_FUNCTIONS
from tests.sql import refused
from tests.sql.conftest import Asker

ALLOWED = (Path(__file__).parent / "allowed.sql").read_text().strip().split("\n\n")
PARAMS = {
    "param_s": "x",
    "param_n": "1",
    "param_a": "['x']",
    "param_d": "2026-01-01 00:00:00",
    "param_x": "a",
}
SYNTAX, READONLY, TOO_MANY_BYTES, DENIED, UNKNOWN_FORMAT = 62, 164, 307, 497, 73
REFUSALS = {SYNTAX, READONLY, TOO_MANY_BYTES, DENIED, UNKNOWN_FORMAT}
SECRETS = (b"root:", b"a secret of others")
Named = Callable[[str], str]


def test_what_is_allowed_is_answered(reader: Asker, named: Named) -> None:
    refusals = [
        (sql, answer.data[:200]) for sql in ALLOWED if (answer := reader(named(sql), **PARAMS)).status != 200
    ]
    assert not refusals
    assert len(ALLOWED) > 100


@pytest.mark.parametrize("kind", ["FILES", "OUT", "OTHERS", "TABLES", "SETTINGS"])
def test_what_is_refused_is_refused(reader: Asker, named: Named, tmp_path: Path, kind: str) -> None:
    out = tmp_path / "out"
    let_through = []
    for sql in getattr(refused, kind):
        text = named(sql.replace("{out}", str(out)))
        answer = reader(text, param_t="default.`/etc/passwd`", param_s="/etc/passwd")
        code = int(answer.headers.get("X-ClickHouse-Exception-Code", "0"))
        if code not in REFUSALS or any(secret in answer.data for secret in SECRETS):
            let_through.append((sql, code, answer.data[:200]))
        assert not out.exists(), sql
    assert not let_through


def test_tables_are_still_what_they_were(reader: Asker, named: Named) -> None:
    assert reader(named("SELECT count() FROM tickets")).data == b"0\n"


def table_functions(reader: Asker) -> list[str]:
    names = reader("SELECT name FROM system.table_functions ORDER BY name FORMAT TSV").data.decode().split()
    return [name for name in names if name.lower() not in TABLE_FUNCTIONS]


def places(name: str) -> Iterator[str]:
    yield f"SELECT * FROM {name}('a', 'b', 'c')"
    yield f"SELECT * FROM `{name}`()"
    yield f"SELECT * FROM {name.upper()} (1)"
    yield f"SELECT 1 FROM system.one JOIN {name}('a') AS x ON 1"
    yield f"SELECT 1 IN (SELECT 1 FROM {name}('a', 'b'))"
    if name not in functions().all:
        yield f"SELECT 1 IN {name}('a', 'b')"
    yield f"WITH x AS (SELECT * FROM {name}('a', 'b')) SELECT * FROM x"
    yield f"DESCRIBE TABLE {name}('a', 'b')"
    yield f"EXPLAIN SELECT * FROM {name}('a', 'b')"


def test_every_other_table_function_is_refused_everywhere(reader: Asker) -> None:
    others = table_functions(reader)
    assert {"file", "url", "s3", "remote", "executable", "python", "mysql", "postgresql", "jdbc", "odbc", "input",
            "cluster", "merge", "dictionary", "hdfs", "eval"} <= set(others)  # fmt: skip
    codes = {sql: reader.code(sql) for name in others for sql in places(name)}
    assert not {sql: code for sql, code in codes.items() if code not in REFUSALS}


def test_every_function_outside_the_list_is_refused(reader: Asker) -> None:
    others = [name for name, _ in installed() if refusal(name)]
    assert len(others) > 100
    forms = ("SELECT {}('a', 'b')", "SELECT arrayMap(x -> {}(x), [1])", "SELECT * APPLY({}) FROM system.one")
    codes = {form.format(name): reader.code(form.format(name)) for name in others for form in forms}
    assert not {sql: code for sql, code in codes.items() if code not in REFUSALS}


def test_every_other_table_of_the_engine_is_refused(reader: Asker) -> None:
    names = (
        reader("SELECT name FROM system.tables WHERE database = 'system' ORDER BY name").data.decode().split()
    )
    others = [name for name in names if name not in SYSTEM_TABLES]
    assert len(others) > 80
    assert not [name for name in others if reader.code(f"SELECT * FROM system.{name} LIMIT 1") != DENIED]
    assert not [name for name in SYSTEM_TABLES if reader.code(f"SELECT * FROM system.{name} LIMIT 1")]


def test_every_format_in_the_list_is_answered_and_no_other(reader: Asker) -> None:
    known = reader("SELECT name FROM system.formats WHERE is_output").data.decode().split()
    assert set(known) >= FORMATS
    for name in known:
        code = reader.code(f"SELECT 'a' AS a FORMAT {name}")
        assert code == (0 if name in FORMATS else UNKNOWN_FORMAT), name
        assert reader.code("SELECT 'a' AS a", default_format=name) == code, name


def test_the_list_of_functions_is_the_engines() -> None:
    file = Path("connectors/reader_functions.txt")
    text = (Path(__file__).parents[2] / file).read_text()
    assert text == listed(installed()), f"look at the new functions, then write {file} anew"


def test_no_function_is_open_under_another_spelling() -> None:
    closed = {name.lower() for name, _ in installed() if refusal(name)}
    assert not closed & functions().all
    assert not [name for name in closed if refusal(name) is None]


def test_data_types_are_no_closed_functions(reader: Asker) -> None:
    types = reader("SELECT lower(name) FROM system.data_type_families").data.decode().split()
    assert not {name for name in types if refusal(name)}
    assert not set(types) & {name.lower() for name in table_functions(reader)}


def test_a_function_of_the_server_is_not_open_because_it_is_there(reader: Asker) -> None:
    with reader.server.client() as client:
        client.command("CREATE FUNCTION sneak AS x -> file(x)")
        try:
            time.sleep(1.1)  # a second is how old the list of such functions may be
            assert reader.code("SELECT sneak('/etc/passwd')") == DENIED
            assert reader.code("SELECT 1 AS sneak, sneak('/etc/passwd')") == DENIED
        finally:
            client.command("DROP FUNCTION sneak")


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"database": "system"}, DENIED),
        ({"database": "other"}, DENIED),
        ({"database": "information_schema"}, DENIED),
        ({"database": "no`such"}, DENIED),
        ({"database": "default"}, 0),
        ({"default_format": "Template"}, UNKNOWN_FORMAT),
        ({"format_template_row": "/etc/passwd"}, READONLY),
        ({"format_schema": "/etc/passwd"}, READONLY),
        ({"output_format_schema": "/etc/passwd"}, READONLY),
        ({"max_execution_time": "0"}, READONLY),
        ({"max_execution_time": "1000"}, READONLY),
        ({"max_execution_time": "5"}, 0),
        ({"max_threads": "64"}, READONLY),
        ({"max_threads": "1"}, 0),
        ({"max_result_rows": "0"}, READONLY),
        ({"max_memory_usage": "0"}, READONLY),
        ({"readonly": "0"}, READONLY),
        ({"log_queries": "0"}, READONLY),
        ({"allow_ddl": "1"}, READONLY),
        ({"dialect": "kusto"}, READONLY),
        ({"format_display_secrets_in_show_and_select": "1"}, READONLY),
        ({"max_block_size": "1000000"}, READONLY),
        ({"readonly": "1"}, 0),
        ({"additional_result_filter": "1"}, READONLY),
        ({"session_id": "s"}, 0),
        ({"role": "writer"}, 0),
        ({"profile": "default"}, READONLY),
        ({"output_format_json_quote_64bit_integers": "1"}, 0),
        ({"join_use_nulls": "1"}, 0),
    ],
)
def test_fields_of_the_url(reader: Asker, fields: dict[str, str], code: int) -> None:
    assert reader.code("SELECT 1", **fields) == code


def test_a_role_in_the_url_gives_no_right(reader: Asker, named: Named) -> None:
    named("")
    assert reader.code("SELECT * FROM other.secrets", role="writer", session_id="s") == DENIED


def test_parameters_are_values_only(reader: Asker) -> None:
    hostile = [
        "' OR 1 --",
        "default.`/etc/passwd`",
        "x') UNION ALL SELECT file('/etc/passwd') --",
        "{x:Identifier}",
    ]
    for value in hostile:
        answer = reader("SELECT {s:String} FORMAT TSVRaw", param_s=value.replace("\\", "\\\\"))
        assert (answer.status, answer.data) == (200, f"{value}\n".encode())
        assert reader.code("SELECT * FROM {s:String}", param_s=value)


def test_the_query_in_the_url_and_in_the_body_is_one_statement(reader: Asker) -> None:
    assert reader("+ 1", query="SELECT 1").data == b"2\n"
    assert reader.code("file('/etc/passwd')", query="SELECT") == DENIED
    assert reader.code("TRUNCATE", query="SELECT 1 INTO OUTFILE '/dev/null'") == DENIED


def test_bytes_that_are_no_text_are_refused(reader: Asker) -> None:
    for body in ("SELECT '\udcff'", "SELECT * FROM file\udca0('/etc/passwd')"):
        assert reader.code(body) == SYNTAX
    utf_16 = "SELECT 1".encode("utf-16").decode("utf-8", "surrogateescape")
    assert reader.code(utf_16) in REFUSALS


def test_what_is_too_long_or_too_deep_is_refused(reader: Asker) -> None:
    assert reader.code(f"SELECT '{'x' * 70_000}'") == TOO_MANY_BYTES
    assert reader.code(f"SELECT {'(' * 3000}1{')' * 3000}") in {DENIED, SYNTAX, 306, 167}
    assert reader.code(f"SELECT {'[' * 5000}") in {DENIED, SYNTAX, 306, 167}
    assert reader.code(f"SELECT {'-' * 1}{'(1+' * 900}1{')' * 900}") in {0, DENIED, SYNTAX, 306, 167}
    assert reader.code("SELECT 1") == 0


def test_what_cannot_be_checked_is_refused_with_a_hint(reader: Asker) -> None:
    """The engine can do these; sqlglot cannot parse them."""
    for sql in (
        "SELECT number FROM numbers(3) ORDER BY number WITH FILL STALENESS 1",
        "SELECT * APPLY(x -> x + 1) FROM numbers(3)",
    ):
        answer = reader(sql)
        assert answer.headers["X-ClickHouse-Exception-Code"] == str(DENIED)
        assert b"cannot be checked" in answer.data and b"in another way" in answer.data


def test_the_engine_says_what_is_wrong(reader: Asker) -> None:
    assert reader.code("SELECT nope") == 47
    for sql, position in (("SELECT 1 +", 11), ("EXPLAIN SELECT 1 +", 19)):
        answer = reader(sql)
        assert answer.headers["X-ClickHouse-Exception-Code"] == "62"
        assert f"failed at position {position} " in answer.data.decode()


BEHIND = """
import json, sys
from pathlib import Path
from neural_hive.connectors.clickhouse_connection import EngineError
from neural_hive.connectors.clickhouse_definitions import Definitions
from neural_hive.connectors.clickhouse_embedded import _engine

data = Path(sys.argv[1])
engine = _engine(data, "neural_hive", Definitions(data / "engine", data / "definitions"))
owner, reader = engine.connect(), engine.connect()
for sql in json.loads(sys.argv[2]):
    owner.run(sql, "TSV", {})
reader.become_reader("neural_hive", {"max_execution_time": "5"})
codes = {}
for sql in json.loads(sys.argv[3]):
    try:
        reader.run(sql, "TSV", {})
        codes[sql] = 0
    except EngineError as error:
        codes[sql] = error.code
print(json.dumps(codes))
reader.close()
owner.close()
engine.close()
"""


def test_behind_the_gate_the_engine_gives_a_reader_no_other_right(tmp_path: Path) -> None:
    """What would happen if the gate let it through: asked of the engine with a reader's connection."""
    made = [
        "CREATE TABLE neural_hive.t (a UInt8) ENGINE = MergeTree ORDER BY a",
        "CREATE DATABASE other",
        "CREATE TABLE other.t (a UInt8) ENGINE = MergeTree ORDER BY a",
        "CREATE VIEW neural_hive.v AS SELECT * FROM other.t",
    ]
    no_right = [
        "SELECT * FROM file('/etc/passwd', 'LineAsString')",
        "SELECT * FROM default.`/etc/passwd`",
        "SELECT * FROM url('http://127.0.0.1:1/', 'CSV', 'a String')",
        "SELECT * FROM s3('http://127.0.0.1:1/bucket/key.csv', 'CSV', 'a String')",
        "SELECT * FROM remote('127.0.0.1', system.one)",
        "SELECT * FROM mysql('127.0.0.1:1', 'd', 't', 'u', 'p')",
        "SELECT * FROM postgresql('127.0.0.1:1', 'd', 't', 'u', 'p')",
        "SELECT * FROM sqlite('/tmp/x.db', 't')",
        "SELECT * FROM executable('x.sh', 'CSV', 'a String')",
        "SELECT * FROM other.t",
        "SELECT * FROM neural_hive.v",
        "SELECT * FROM system.users",
        "INSERT INTO neural_hive.t VALUES (1)",
        "DROP TABLE neural_hive.t",
        "CREATE TABLE neural_hive.x (a UInt8) ENGINE = Memory",
        "CREATE TEMPORARY TABLE x (a UInt8)",
        "ALTER TABLE neural_hive.t DELETE WHERE 1",
        "SYSTEM SHUTDOWN",
        "CREATE USER u",
    ]
    locked = ["SET max_execution_time = 0", "SET readonly = 0", "SELECT 1 SETTINGS max_threads = 64"]
    asked = ["SELECT * FROM neural_hive.t", *no_right, *locked]
    command = [sys.executable, "-c", BEHIND, str(tmp_path), json.dumps(made), json.dumps(asked)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    codes = json.loads(done.stdout.splitlines()[-1])
    assert codes.pop("SELECT * FROM neural_hive.t") == 0
    assert {sql: code for sql, code in codes.items() if code not in (DENIED, READONLY)} == {}
