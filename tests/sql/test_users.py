"""SQL users of the real engine: made by the command, asked by clickhouse-connect, curl and asyncio code."""

import asyncio
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import clickhouse_connect
import pytest
import urllib3
from clickhouse_connect.driver.exceptions import ClickHouseError as DriverError

from neural_hive.connectors.clickhouse import ClickHouseAway, ClickHouseError
from neural_hive.connectors.sql_reader import SqlReader
from neural_hive.connectors.sql_users import SqlUser, hash_password, write_users
from tests.fixtures_clickhouse import ClickHouseServer, free_port
from tests.sql.conftest import Asker
from tests.sql.test_logins import FAILED, WAYS, WRONG, basic

PASSWORD = "correct-horse-battery"
DENIED, READONLY, TIMEOUT, TOO_MANY = 497, 164, 159, 202


def sql_user(folder: Path, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "neural_hive.cli", "sql-user", *arguments, "--data", str(folder)]
    return subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asker]:
    """An engine with the users alice, who has a second, and bob, an analyst."""
    folder = tmp_path_factory.mktemp("users")
    server = ClickHouseServer(folder / "clickhouse").start()
    try:
        added = sql_user(folder, "add", "alice", "--max-execution-s", "1", stdin=f"{PASSWORD}\n")
        assert added.returncode == 0, added.stderr
        assert "from now on nobody asks without a password" in added.stdout
        made = sql_user(folder, "add", "bob", "--role", "analyst", "--queries-at-once", "1", "--make")
        (folder / "bob").write_text(made.stdout.splitlines()[0].removeprefix("password: "))
        with server.client() as client:
            client.command("CREATE TABLE numbered (a UInt32) ENGINE = MergeTree ORDER BY a")
            client.command("INSERT INTO numbered SELECT number FROM numbers(1000)")
        yield Asker(server)
    finally:
        server.kill()


@pytest.fixture(scope="module")
def folder(engine: Asker) -> Path:
    return engine.server.data.parent


def test_the_file_keeps_no_password(folder: Path) -> None:
    text = (folder / "clickhouse" / "sql-users.toml").read_text()
    assert PASSWORD not in text and (folder / "bob").read_text() not in text
    shown = json.loads(sql_user(folder, "list", "--json").stdout)
    assert [(user["name"], user["role"]) for user in shown] == [("alice", "reader"), ("bob", "analyst")]
    assert "scrypt" not in json.dumps(shown) + sql_user(folder, "list").stdout


@pytest.mark.parametrize(
    ("arguments", "stdin", "said"),
    [
        (("add", "alice"), "another-one\n", "there already"),
        (("add", "carol"), "short\n", "8 letters"),
        (("add", "carol"), "", "8 letters"),
        (("add", "a b"), "long enough\n", "no user's name"),
        (("add", "ingest"), "long enough\n", "own user"),
        (("remove", "carol"), "", "no user carol"),
        (("password", "carol"), "long enough\n", "no user carol"),
    ],
)
def test_errors_of_the_command(folder: Path, arguments: tuple[str, ...], stdin: str, said: str) -> None:
    done = sql_user(folder, *arguments, stdin=stdin)
    assert done.returncode == 1
    assert said in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize("way", WAYS)
def test_each_way_to_say_who_asks(engine: Asker, way: str) -> None:
    for password, code in ((PASSWORD, 0), (WRONG, FAILED), ("", FAILED)):
        headers, fields = WAYS[way]("alice", password)
        assert engine.code("SELECT 1", headers, **fields) == code
    for user, code in (("default", FAILED), ("nobody", FAILED), ("", FAILED)):
        headers, fields = WAYS[way](user, "")
        assert engine.code("SELECT 1", headers, **fields) == code


def test_nobody_says_it_twice(engine: Asker) -> None:
    assert engine.code("SELECT 1", basic("alice", PASSWORD), user="alice", password=PASSWORD) == FAILED
    both = basic("alice", PASSWORD) | {"X-ClickHouse-User": "ingest"}
    assert engine.code("SELECT 1", both) == FAILED
    assert engine.code("SELECT 1", {"Authorization": "Bearer x"}) == FAILED
    assert engine.code("SELECT 1", {"Authorization": "Basic ???"}) == FAILED


def test_nobody_learns_the_names_of_users(engine: Asker) -> None:
    assert set(engine.running()) == {"ingest", "api", "users", "sql-users"}


def test_no_answer_without_a_password(engine: Asker) -> None:
    answer = engine("SELECT 1")
    assert (answer.status, answer.headers["X-ClickHouse-Exception-Code"]) == (403, str(FAILED))
    assert b"Authentication failed" in answer.data


def test_users_pass_the_same_gate(engine: Asker) -> None:
    login = basic("alice", PASSWORD)
    assert engine("SELECT sum(a) FROM numbered", login).data == b"499500\n"
    assert engine.code("SELECT file('/etc/passwd')", login) == DENIED
    assert engine.code("INSERT INTO numbered VALUES (1)", login) == READONLY
    assert engine.code("SELECT 1 SETTINGS max_execution_time = 2", login) == READONLY


def test_each_has_limits_of_his_own(engine: Asker, folder: Path) -> None:
    endless = "SELECT count() FROM numbers(1000000000000) WHERE NOT ignore(sipHash64(number))"
    assert engine.code(endless, basic("alice", PASSWORD)) == TIMEOUT
    bob = basic("bob", (folder / "bob").read_text())
    value = "SELECT value FROM system.settings WHERE name = 'max_execution_time'"
    assert engine(value, bob).data == b"300\n"
    large = "SELECT groupArray(toString(number)) FROM numbers(1000000000)"
    assert engine.code(large, bob, max_memory_usage=str(64 << 20)) == 241
    assert engine.code("SELECT number FROM numbers(100)", bob, max_result_rows="10") == 396


def test_one_user_leaves_room_for_others_and_for_the_sink(engine: Asker, folder: Path) -> None:
    bob = basic("bob", (folder / "bob").read_text())
    with ThreadPoolExecutor(30) as threads:
        asked = [threads.submit(engine.code, "SELECT sleep(0.3)", bob) for _ in range(24)]
        wait_until(lambda: engine.running()["sql-users"] > 1)
        assert engine.code("SELECT 1", basic("alice", PASSWORD)) == 0
        with engine.server.client() as client:
            client.command("INSERT INTO numbered VALUES (1000)")
        assert not all(one.done() for one in asked)
        codes = [one.result() for one in asked]
    assert TOO_MANY in codes, "17 may run and wait"
    assert set(codes) <= {0, TOO_MANY}


def test_clickhouse_connect(engine: Asker) -> None:
    place = {"host": engine.server.host, "port": engine.server.port, "database": "neural_hive"}
    client = clickhouse_connect.get_client(**place, username="alice", password=PASSWORD)
    try:
        assert client.query("SELECT sum(a), max(a) FROM numbered WHERE a < 1000").result_rows == [
            (499500, 999)
        ]
        bound = client.query("SELECT {s:String} AS s, {n:UInt8} AS n", parameters={"s": "it's", "n": 4})
        assert (bound.column_names, bound.result_rows) == (("s", "n"), [("it's", 4)])
        with client.query_row_block_stream("SELECT number FROM numbers(200000)") as blocks:
            assert sum(len(block) for block in blocks) == 200_000
        assert client.query_np("SELECT a FROM numbered ORDER BY a LIMIT 3").tolist() == [[0], [1], [2]]
        assert client.query_df("SELECT a FROM numbered ORDER BY a LIMIT 3")["a"].tolist() == [0, 1, 2]
        assert client.query_arrow("SELECT a FROM numbered ORDER BY a LIMIT 3").column("a").to_pylist() == [
            0,
            1,
            2,
        ]
        with pytest.raises(DriverError, match="DENIED"):
            client.query("SELECT * FROM file('/etc/passwd', 'LineAsString')")
        with pytest.raises(DriverError, match="READONLY"):
            client.insert("numbered", [[1]], column_names=["a"])
    finally:
        client.close()
    with pytest.raises(DriverError, match="AUTHENTICATION_FAILED"):
        clickhouse_connect.get_client(**place, username="alice", password=WRONG)


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl")
def test_curl(engine: Asker) -> None:
    def curl(*arguments: str) -> str:
        done = subprocess.run(
            ["curl", "-s", *arguments], capture_output=True, text=True, timeout=30, check=True
        )
        return done.stdout

    login = ["--user", f"alice:{PASSWORD}"]
    url = f"{engine.server.url}/"
    assert curl(*login, url, "--data-binary", "SELECT 1 + 1") == "2\n"
    assert curl(*login, "--get", url, "--data-urlencode", "query=SELECT 2 FORMAT CSV") == "2\n"
    assert curl(*login, f"{url}?param_n=5", "--data-binary", "SELECT {n:UInt8}") == "5\n"
    assert "AUTHENTICATION_FAILED" in curl("--user", "alice:no", url, "--data-binary", "SELECT 1")
    assert "ACCESS_DENIED" in curl(*login, url, "--data-binary", "SELECT file('/etc/passwd')")
    header = ["-H", "X-ClickHouse-User: alice", "-H", f"X-ClickHouse-Key: {PASSWORD}"]
    assert curl(*header, url, "--data-binary", "SELECT 3") == "3\n"


def test_the_query_command(engine: Asker, folder: Path) -> None:
    port = {"NEURAL_HIVE_CLICKHOUSE_PORT": str(engine.server.port)}

    def query(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "neural_hive.cli", "query", "SELECT currentUser() != ''", *arguments]
        command += ["--format", "TSV", "--data", str(folder)]
        return subprocess.run(
            command,
            input="",
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env=os.environ | port | environment,
        )

    assert query().stdout == "1\n", "whose data folder it is may read as `api`"
    assert query("--user", "alice", NEURAL_HIVE_CLICKHOUSE_PASSWORD=PASSWORD).stdout == "1\n"
    wrong = query("--user", "alice", NEURAL_HIVE_CLICKHOUSE_PASSWORD=WRONG)
    assert wrong.returncode == 1 and "AUTHENTICATION_FAILED" in wrong.stderr


def test_from_asyncio_code(engine: Asker) -> None:
    server = engine.server
    password = (server.data / "api.password").read_text().strip()

    async def asked() -> None:
        reader = SqlReader(server.host, server.port, "api", password, server.database)
        try:
            async with reader.ask("SELECT {n:UInt8} AS n", params={"n": "4"}, on_behalf_of="eve") as answer:
                assert json.loads(await answer.read(1000))["data"] == [[4]]
                assert (answer.output_format, answer.content_type) == (
                    "JSONCompact",
                    "application/json; charset=UTF-8",
                )
            async with reader.ask("SELECT number FROM numbers(300000)", output_format="CSV") as answer:
                assert len([piece async for piece in answer.pieces]) > 1
            with pytest.raises(ClickHouseError, match="larger than"):
                async with reader.ask("SELECT number FROM numbers(300000)") as answer:
                    await answer.read(1000)
            late = "SELECT throwIf(number = 3000000) FROM numbers(4000000)"
            with pytest.raises(ClickHouseError, match="not complete"):
                async with reader.ask(late, output_format="TSV") as answer:
                    [piece async for piece in answer.pieces]
            for sql, code in (
                ("SELECT file('x')", DENIED),
                ("DROP TABLE numbered", READONLY),
                ("SELECT nope", 47),
            ):
                with pytest.raises(ClickHouseError) as refused:
                    async with reader.ask(sql):
                        pass
                assert refused.value.code == code and "version" not in str(refused.value)
            async with reader.ask("SELECT 1", login=("alice", PASSWORD), output_format="TSV") as answer:
                assert await answer.read(10) == b"1\n"
            with pytest.raises(ClickHouseError) as refused:
                async with reader.ask("SELECT 1", login=("alice", WRONG)):
                    pass
            assert refused.value.code == FAILED
        finally:
            await reader.aclose()

    async def away() -> None:
        reader = SqlReader(server.host, free_port(), "api", password, server.database)
        with pytest.raises(ClickHouseAway, match="is it running"):
            async with reader.ask("SELECT 1"):
                pass
        await reader.aclose()

    asyncio.run(asked())
    asyncio.run(away())


def test_one_person_leaves_room_for_others_behind_the_api(engine: Asker) -> None:
    server = engine.server
    password = (server.data / "api.password").read_text().strip()

    async def code(reader: SqlReader, sql: str, person: str) -> int:
        try:
            async with reader.ask(sql, on_behalf_of=person, output_format="TSV") as answer:
                await answer.read(100)
        except ClickHouseError as error:
            return error.code
        return 0

    async def all_of_them() -> None:
        reader = SqlReader(server.host, server.port, "api", password, server.database)
        many = [asyncio.create_task(code(reader, "SELECT sleep(0.3)", "eve")) for _ in range(24)]
        await asyncio.sleep(0.3)
        assert await code(reader, "SELECT 1", "adam") == 0
        assert not all(one.done() for one in many)
        assert set(await asyncio.gather(*many)) == {0, TOO_MANY}
        await reader.aclose()

    asyncio.run(all_of_them())


def test_a_user_is_removed_at_once(engine: Asker, folder: Path) -> None:
    sql_user(folder, "add", "carol", stdin=f"{PASSWORD}\n")
    login = basic("carol", PASSWORD)
    wait_until(lambda: engine.code("SELECT 1", login) == 0)
    assert sql_user(folder, "password", "carol", stdin="a new password\n").returncode == 0
    wait_until(lambda: engine.code("SELECT 1", login) == FAILED)
    assert sql_user(folder, "remove", "carol").returncode == 0
    wait_until(lambda: engine.code("SELECT 1", basic("carol", "a new password")) == FAILED)


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.05)


def test_an_engine_does_not_start_with_users_that_cannot_be_read(tmp_path: Path) -> None:
    server = ClickHouseServer(tmp_path)
    (tmp_path / "sql-users.toml").write_text("nonsense")
    (tmp_path / "sql-users.toml").chmod(0o600)
    with pytest.raises(RuntimeError, match=r"error: .*sql-users\.toml is not valid"):
        server.start()


def test_an_engine_that_dies_under_a_users_query_comes_back_whole(
    clickhouse_server: ClickHouseServer,
) -> None:
    asker = Asker(clickhouse_server)
    with clickhouse_server.client() as client:
        client.command("CREATE TABLE kept (a UInt32) ENGINE = MergeTree ORDER BY a")
        client.command("INSERT INTO kept SELECT number FROM numbers(1000)")
    users = {"alice": SqlUser(hash_password(PASSWORD))}
    write_users(clickhouse_server.data / "sql-users.toml", users)
    wait_until(lambda: asker.code("SELECT 1") == FAILED)
    login = basic("alice", PASSWORD)
    endless = "SELECT count() FROM numbers(1000000000000) WHERE NOT ignore(sipHash64(number))"
    with ThreadPoolExecutor(1) as threads:
        dying = threads.submit(asker, endless, login)
        wait_until(lambda: asker.running()["sql-users"] == 1)
        clickhouse_server.kill()
        with pytest.raises(urllib3.exceptions.HTTPError):
            dying.result()
    clickhouse_server.start()
    assert asker("SELECT sum(a) FROM kept", login).data == b"499500\n"
    assert asker.code("SELECT 1") == FAILED, "the file of users holds from the start"
