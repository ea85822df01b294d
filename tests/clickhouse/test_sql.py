"""Cutting statements: where data begins, which format is asked for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neural_hive.connectors.clickhouse_sql import SqlError, first_word, output_format, parse_insert

FORMATS = frozenset({"CSV", "Avro", "Native", "JSONEachRow", "Values"})


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT 1 FORMAT JSON", "JSON"),
        ("select 1 format JSON settings max_threads=1;", "JSON"),
        ("SELECT 1", None),
        ("SELECT 'FORMAT JSON'", None),
        ("SELECT 1 -- FORMAT JSON", None),
        ("SELECT (SELECT 1 FORMAT JSON)", None),
        ("SELECT 1 /* FORMAT CSV */ FORMAT\nTSV", "TSV"),
    ],
)
def test_output_format(sql: str, expected: str | None) -> None:
    assert output_format(sql) == expected


def test_first_word_skips_brackets_and_comments() -> None:
    assert first_word("/* x */ ((select 1))") == "SELECT"
    assert first_word("'x'") == ""


def test_plain_insert_reads_a_file_before_its_settings() -> None:
    insert = parse_insert(b"INSERT INTO t (a, b) SETTINGS x=1 FORMAT CSV\n1,2\n", FORMATS)
    assert insert
    assert insert.data_at == len(b"INSERT INTO t (a, b) SETTINGS x=1 FORMAT CSV\n")
    sql = " ".join(insert.reading("/d/it's").split())
    assert sql == r"INSERT INTO t (a, b) FROM INFILE '/d/it\'s' COMPRESSION 'none' SETTINGS x=1 FORMAT CSV"


def test_input_becomes_the_file_with_its_structure() -> None:
    insert = parse_insert(
        "INSERT INTO t SELECT x, 'ü)', input FROM input('x UInt32, y String') WHERE x IN (1) FORMAT Avro\nObj".encode(),
        FORMATS,
    )
    assert insert
    sql = "INSERT INTO t SELECT x, 'ü)', input FROM file('/d/f', 'Avro', 'x UInt32, y String', 'none') WHERE x IN (1)"
    assert insert.reading("/d/f").strip() == sql


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1 FORMAT CSV",
        "INSERT INTO t SELECT format FROM u",
        "CREATE TABLE t (a Int8)",
        "",
        "INSERT INTO t FORMAT Nonsense 1",
    ],
)
def test_no_data_in_the_request(sql: str) -> None:
    assert parse_insert(sql.encode(), FORMATS) is None


def test_data_of_a_select_without_input_is_refused() -> None:
    with pytest.raises(SqlError, match="input"):
        parse_insert(b"INSERT INTO t SELECT 1 FORMAT CSV 1", FORMATS)


@given(st.binary(max_size=200))
def test_data_is_cut_at_its_first_byte(data: bytes) -> None:
    """Whatever the data is, and it is never read as SQL."""
    head = "INSERT INTO `ä b` (é) FORMAT Native\n".encode()
    insert = parse_insert(head + data, FORMATS)
    assert insert
    assert (head + data)[insert.data_at :] == data
    assert insert.statement.split() == "INSERT INTO `ä b` (é) FORMAT Native".split()  # noqa: SIM905
