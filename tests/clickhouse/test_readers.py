"""What readers may not do. Every refusal comes back as an error, and leaves nothing behind."""

from pathlib import Path

import pytest

from tests.clickhouse.conftest import Ask

ALLOWED = [
    "SELECT 1",
    "WITH 1 AS x SELECT x",
    "SELECT count() FROM system.tables",
    "SHOW TABLES",
    "DESCRIBE TABLE system.one",
    "EXPLAIN SELECT 1",
    "SELECT sum(number) FROM numbers(10)",
    "SELECT 'file(''x'')', format('{}', 'url(') -- file('/etc/passwd')",
    "SELECT * FROM values('a UInt8', 1, 2)",
    "SELECT 1 INTERSECT SELECT 1",
]

REFUSED = [
    "SELECT * FROM file('/etc/passwd', 'LineAsString')",
    "SELECT * FROM File('/etc/passwd', 'LineAsString')",
    "SELECT * FROM `file`('/etc/passwd', 'LineAsString')",
    "SELECT * FROM /* x */ file /* y */ ('/etc/passwd', 'LineAsString')",
    "SELECT file('/etc/passwd')",
    "SELECT 1 WHERE 1 IN (SELECT 1 FROM url('http://127.0.0.1:1/', 'CSV', 'a String'))",
    "SELECT * FROM remote('127.0.0.1', system.one)",
    "SELECT * FROM executable('x.sh', 'CSV', 'a String')",
    "SELECT * FROM python('x')",
    "SELECT * FROM sqlite('/tmp/x', 'y')",
    "SELECT * FROM merge('default', '.*')",
    "SELECT * FROM default.`/etc/passwd`",
    "SELECT * FROM `default`.`/etc/passwd`",
    "SELECT * FROM 'default'.'/etc/passwd'",
    "SELECT * FROM {t:Identifier}",
    "SELECT * FROM `/etc/passwd`",
    "SELECT * FROM '/etc/passwd'",
    "DESCRIBE TABLE file('/etc/passwd')",
    "DESCRIBE file('/etc/passwd')",
    "EXPLAIN SELECT * FROM file('/etc/passwd')",
    "SELECT 1 INTO OUTFILE '{out}'",
    "SELECT 1 INTO/**/OUTFILE '{out}' FORMAT CSV",
    "INSERT INTO FUNCTION file('{out}') SELECT 1",
    "INSERT INTO FUNCTION file('{out}', 'CSV', 'a UInt8') VALUES (1)",
    "CREATE TABLE x (a UInt8) ENGINE = File(CSV, '{out}')",
    "CREATE TEMPORARY TABLE x (a UInt8)",
    "KILL QUERY WHERE 1",
    "SYSTEM SHUTDOWN",
    "SET max_threads = 1",
    "USE system",
    "BACKUP DATABASE neural_hive TO File('{out}')",
    "SELECT 1 SETTINGS max_execution_time = 0",
    "SELECT 1 SETTINGS readonly = 0",
    "SELECT 1; SELECT 2",
    "SELECT 1 AS a$b$, file('/etc/passwd') AS c$b$",
    "SELECT ‘ ' ’ AS x, file('/etc/passwd') AS y, ‘ ' ’ AS z",
    "SELECT 1 − '\n , file('/etc/passwd') -- '",
    "SELECT $x$ $x$, file('/etc/passwd')",
]


@pytest.mark.parametrize("sql", ALLOWED)
def test_allowed(ask: Ask, sql: str) -> None:
    assert ask(sql, user="default").status == 200


@pytest.mark.parametrize("sql", REFUSED)
def test_refused(ask: Ask, tmp_path: Path, sql: str) -> None:
    out = tmp_path / "out"
    answer = ask(sql.replace("{out}", str(out)), user="default", param_t="default.`/etc/passwd`")
    assert answer.status >= 400, answer.data
    assert b"root:" not in answer.data
    assert not out.exists()


def test_the_database_default_is_replaced(ask: Ask) -> None:
    assert ask("SELECT currentDatabase()", user="default", database="default").data == b"neural_hive\n"
    assert ask("SELECT * FROM '/etc/passwd'", user="default", database="default").status == 404


@pytest.mark.parametrize("setting", ["max_execution_time", "readonly", "max_memory_usage", "log_queries"])
def test_limits_are_locked_in_the_url_too(ask: Ask, setting: str) -> None:
    answer = ask("SELECT 1", user="default", **{setting: "0"})
    assert answer.headers["X-ClickHouse-Exception-Code"] == "164"


def test_how_an_answer_looks_may_be_set(ask: Ask) -> None:
    answer = ask(
        "SELECT toUInt64(1) AS a FORMAT JSONEachRow",
        user="default",
        output_format_json_quote_64bit_integers="1",
    )
    assert answer.data == b'{"a":"1"}\n'
