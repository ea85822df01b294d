"""SQL through the API: what is answered, what is refused, and that one caller leaves room for the others."""

import asyncio
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from starlette.testclient import TestClient

from neural_hive.api.auth import Identity
from neural_hive.api.quota_keys import FILE, QuotaKeys
from neural_hive.api.services import NoReader, Services
from neural_hive.connectors.sql_reader import SqlReader
from neural_hive.settings import Settings
from tests.api.making import Api, away, problem
from tests.sdk.conftest import CLI, Hive

QUERY = "/api/v1/query"
SLOW = {"sql": "SELECT sleep(0.5)", "output_format": "CSVWithNames"}
MANY = 24  # more than one caller may have running and waiting


@pytest.mark.slow
def test_sql_in_each_format(api: Api, caller: TestClient) -> None:
    asked = {"sql": "SELECT {p:String} AS plan_id LIMIT 1;", "params": {"p": "asked"}}
    assert caller.post(QUERY, json=asked).json()["data"] == [{"plan_id": "asked"}]
    lines = caller.post(QUERY, json=asked | {"output_format": "CSVWithNames"})
    assert lines.text.split() == ['"plan_id"', '"asked"'] and lines.headers["content-type"].startswith(
        "text/csv"
    )
    parquet = caller.post(QUERY, json=asked | {"output_format": "Parquet"})
    assert parquet.content[:4] == b"PAR1" == parquet.content[-4:]
    problem(api.caller("publisher").post(QUERY, json=asked), 403, "forbidden")


@pytest.mark.slow
@pytest.mark.parametrize(
    "text", ["a\\b", "a\\tb", "tab\there", "two\nlines\r", 'it\'s "quoted"', "é ✔", "\\N", ""]
)
def test_a_parameter_arrives_as_it_was_given(caller: TestClient, text: str) -> None:
    asked = {"sql": "SELECT {p:String} AS p", "params": {"p": text}}
    assert caller.post(QUERY, json=asked).json()["data"] == [{"p": text}]


@pytest.mark.slow
def test_parameters_of_other_types(caller: TestClient) -> None:
    asked = {
        "sql": "SELECT {a:Array(String)} AS a, {n:UInt64} AS n, {t: DateTime} AS t",
        "params": {"a": "['x', 'it\\'s']", "n": "7", "t": "2026-01-02 03:04:05"},
    }
    answer = caller.post(QUERY, json=asked | {"output_format": "JSONEachRow"})
    assert answer.json() == {"a": ["x", "it's"], "n": 7, "t": "2026-01-02 03:04:05"}, answer.text


@pytest.mark.slow
@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM file('/etc/passwd')",
        "DROP TABLE events",
        "SELECT 1; SELECT 2",
        "SELEC",
        "SELECT 1 FORMAT CSV",
        "SELECT {not_given:String}",
    ],
)
def test_what_is_refused_is_told(caller: TestClient, sql: str) -> None:
    problem(caller.post(QUERY, json={"sql": sql}), 400, "sql-refused")


class Server:
    """A server that answers with these pieces."""

    def __init__(self, status: int, *pieces: bytes, **headers: str) -> None:
        self.status, self.pieces = status, pieces
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}
        self.is_left = False

    def answers(self, api: Api) -> None:
        """Makes it the one that an API asks."""
        transport = httpx.MockTransport(self._answer)
        api.services.sql._client = httpx.AsyncClient(transport=transport)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        return httpx.Response(self.status, content=self._pieces(), headers=self.headers)

    async def _pieces(self) -> AsyncIterator[bytes]:
        try:
            for piece in self.pieces:
                yield piece
        finally:
            self.is_left = True


def test_half_an_answer_does_not_pass_for_a_whole_one(lonely: Api) -> None:
    late = b"\r\n__exception__\r\ntag\r\nCode: 395. DB::Exception: too bad\n40 tag\r\n__exception__\r\n"
    server = Server(200, b"x" * 1_000, late, X_ClickHouse_Exception_Tag="tag")
    server.answers(lonely)
    reader = TestClient(lonely.app, headers=lonely.caller().headers)
    with pytest.raises(ConnectionAbortedError):  # which ends the connection
        reader.post(QUERY, json={"sql": "SELECT 1", "output_format": "JSONEachRow"})
    assert server.is_left


@pytest.mark.parametrize("code", [201, 202])
def test_a_server_that_has_had_enough_of_a_caller(lonely: Api, code: int) -> None:
    Server(503, f"Code: {code}. DB::Exception: Quota for user `x` (version 25.8)".encode()).answers(lonely)
    answer = lonely.caller().post(QUERY, json={"sql": "SELECT 1"})
    told = problem(answer, 429, "too-many-requests")
    assert told["code"] == code and "version" not in told["detail"] and answer.headers["Retry-After"]


def test_a_server_that_is_away(lonely: Api) -> None:
    problem(lonely.caller().post(QUERY, json={"sql": "SELECT 1"}), 503, "unavailable")


@pytest.mark.slow
def test_one_caller_leaves_room_for_the_others(api: Api) -> None:
    greedy, modest = api.caller("auditor"), api.caller("operator")
    with ThreadPoolExecutor(MANY) as threads:
        began = time.monotonic()
        many = [threads.submit(greedy.post, QUERY, json=SLOW) for _ in range(MANY)]
        time.sleep(1.0)
        others = modest.post(QUERY, json={"sql": "SELECT 1 AS one"})
        took_s, still_waiting = time.monotonic() - began, [one for one in many if not one.done()]
        answers = [one.result() for one in many]
    assert others.status_code == 200 and still_waiting, "it did not wait behind who had come before"
    assert took_s < time.monotonic() - began
    codes = [answer.status_code for answer in answers]
    assert codes.count(200) >= 18 and set(codes) == {200, 429}, codes
    refused = next(answer for answer in answers if answer.status_code == 429)
    told = problem(refused, 429, "too-many-requests")
    assert told["code"] == 202 and int(refused.headers["Retry-After"]) > 0


def test_quota_keys_tell_callers_apart_and_name_nobody(tmp_path: Path) -> None:
    keys = QuotaKeys.of(tmp_path)
    ann, bob = Identity("ann", key="jwt:ann@example.org"), Identity("ann", key="key:ann")
    found = keys.of_caller(ann)
    assert found != keys.of_caller(bob) and "ann" not in found and len(found) == 32
    assert QuotaKeys.of(tmp_path).of_caller(ann) == found, "also after a restart"
    assert QuotaKeys(b"another").of_caller(ann) != found
    assert (tmp_path / FILE).stat().st_mode & 0o777 == 0o600


def test_without_a_reader_of_its_own_the_api_does_not_start(tmp_path: Path) -> None:
    writer = {"clickhouse_password": SecretStr("of the writer"), "clickhouse_host": "db.example.org"}
    with pytest.raises(NoReader, match=r"api\.password.*clickhouse_api_user and clickhouse_api_password"):
        Services(Settings(data=tmp_path, **writer))
    with pytest.raises(NoReader, match="writes the tables"):
        Services(away(tmp_path, clickhouse_user="default", clickhouse_api_user="default"))
    (tmp_path / "clickhouse").mkdir()
    (tmp_path / "clickhouse" / "api.password").write_text("made by the engine\n")
    Services(Settings(data=tmp_path, **writer)).close()


@pytest.mark.slow
def test_the_process_says_what_is_missing(hive: Hive, tmp_path: Path) -> None:
    environment = {**hive.environment, "NEURAL_HIVE_DATA": str(tmp_path)}
    line = [sys.executable, *CLI, "api"]
    ended = subprocess.run(line, env=environment, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 1 and "clickhouse_api_password" in ended.stderr, ended.stderr
    assert "Traceback" not in ended.stderr


def test_the_contract_with_a_server_is_a_header(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a server counts by: X-ClickHouse-Quota, beside X-ClickHouse-User and -Key."""
    asked: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(200, content=b"1\n")

    async def ask() -> Any:
        reader = SqlReader("db", 1, "hive_api", "secret", "neural_hive")
        reader._client = httpx.AsyncClient(transport=httpx.MockTransport(answer))
        async with reader.ask("SELECT 1", output_format="TSV", on_behalf_of="abc") as found:
            assert await found.read(10) == b"1\n"

    asyncio.run(ask())
    [request] = asked
    assert (
        request.headers["X-ClickHouse-Quota"] == "abc" and request.headers["X-ClickHouse-User"] == "hive_api"
    )
    assert "abc" not in str(request.url) and "secret" not in str(request.url)
    assert request.url.params["readonly"] == "1"
