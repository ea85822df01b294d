"""`neural-hive query` as a user runs it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fixtures_clickhouse import ClickHouseServer, free_port


def query(
    server: ClickHouseServer, folder: Path, *arguments: str, port: int = 0, stdin: str = ""
) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"NEURAL_HIVE_CLICKHOUSE_PORT": str(port or server.port), "COLUMNS": "200"}
    command = [sys.executable, "-m", "neural_hive.cli", "query", *arguments, "--data", str(folder)]
    return subprocess.run(
        command, input=stdin, capture_output=True, text=True, timeout=60, check=False, env=environment
    )


def test_parameters_and_formats(clickhouse: ClickHouseServer, tmp_path: Path) -> None:
    sql = "SELECT {s:String} AS s, {n:UInt8} + 1 AS n"
    done = query(clickhouse, tmp_path, sql, "--param", "s=it's", "--param", "n=4", "--format", "JSONEachRow")
    assert (done.returncode, json.loads(done.stdout)) == (0, {"s": "it's", "n": 5})


def test_standard_input_and_a_format_of_its_own(clickhouse: ClickHouseServer, tmp_path: Path) -> None:
    done = query(clickhouse, tmp_path, "-", stdin="SELECT 1 AS a FORMAT CSVWithNames;\n")
    assert done.stdout == '"a"\n1\n'


def test_a_table_by_default(clickhouse: ClickHouseServer, tmp_path: Path) -> None:
    assert "┌─a─┐" in query(clickhouse, tmp_path, "SELECT 1 AS a").stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("SELECT nope",), "UNKNOWN_IDENTIFIER"),
        (("DROP TABLE x",), "READONLY"),
        (("SELECT 1", "--format", "Nope"), "UNKNOWN_FORMAT"),
        (("SELECT 1", "--param", "x"), "name=value"),
        ((" ; ",), "no statement"),
        (("SELECT throwIf(number = 3000000) FROM numbers(4000000)", "--format", "TSV"), "not complete"),
    ],
)
def test_errors_are_one_line(
    clickhouse: ClickHouseServer, tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    done = query(clickhouse, tmp_path, *arguments)
    assert done.returncode != 0
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_no_server(clickhouse: ClickHouseServer, tmp_path: Path) -> None:
    done = query(clickhouse, tmp_path, "SELECT 1", port=free_port())
    assert done.returncode == 1
    assert "is it running?" in done.stderr
