"""The readers of a server of one's own, as far as the embedded engine can try them: it parses every statement, holds
the role's rights, and knows the settings. Profiles, quotas and users themselves need a server.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from neural_hive.api.services import TABLES_MAX
from neural_hive.connectors.reader_rules import SYSTEM_TABLES
from tests.docs.pages import ROOT
from tests.fixtures_clickhouse import ClickHouseServer

FILE = ROOT / "deploy" / "clickhouse" / "readers.sql"
ROLE, CALLERS, API_USER = "neural_hive_reader", "neural_hive_callers", "neural_hive_api"
TRY = """
import json, sys
from pathlib import Path
from xml.sax.saxutils import escape
from neural_hive.connectors import clickhouse_embedded as embedded
from neural_hive.connectors.clickhouse_connection import EngineError
from neural_hive.connectors.clickhouse_definitions import Definitions

data, grants, asked = Path(sys.argv[1]), json.loads(sys.argv[2]), json.loads(sys.argv[3])
embedded._RIGHTS = embedded._RIGHTS.replace(
    "<{role}>", "<tried><grants>%s</grants></tried><{role}>" % "".join(f"<query>{escape(g)}</query>" for g in grants)
).replace("GRANT writer, {role}", "GRANT writer, {role}, tried")
engine = embedded._engine(data, "neural_hive", Definitions(data / "engine", data / "definitions"))
reader = engine.connect()
reader.run("CREATE TABLE neural_hive.t (a UInt8) ENGINE = MergeTree ORDER BY a", "TSV", {})
reader.run("CREATE DATABASE other", "TSV", {})
reader.run("CREATE TABLE other.t (a UInt8) ENGINE = MergeTree ORDER BY a", "TSV", {})
reader.run("SET ROLE tried", "TSV", {})
codes = {}
for sql in asked:
    try:
        reader.run(sql, "TSV", {})
        codes[sql] = 0
    except EngineError as error:
        codes[sql] = error.code
print(json.dumps(codes))
reader.close()
engine.close()
"""


def statements() -> list[str]:
    text = re.sub(r"^--.*$", "", FILE.read_text(), flags=re.MULTILINE)
    return [one.strip() for one in text.split(";") if one.strip()]


def settings() -> dict[str, str]:
    """The limits of the reader's profile."""
    (profile,) = (
        one for one in statements() if one.startswith(f"CREATE SETTINGS PROFILE OR REPLACE {ROLE} ")
    )
    return dict(re.findall(r"^\s*(\w+) = (\S+) ", profile, re.MULTILINE))


def test_the_engine_parses_every_statement(clickhouse: ClickHouseServer) -> None:
    assert len(statements()) > 15
    with clickhouse.client() as client:
        for sql in statements():
            assert client.rows("SELECT formatQuery({sql:String})", {"sql": sql}), sql


def test_a_statement_that_is_none_is_found_out(clickhouse: ClickHouseServer) -> None:
    with clickhouse.client() as client, pytest.raises(Exception, match="SYNTAX_ERROR"):
        client.rows(
            "SELECT formatQuery({sql:String})", {"sql": "CREATE QUOTA q FOR INTERVAL 1 hour MAX x = 1"}
        )


def test_the_rights_are_those_of_a_reader(tmp_path: Path) -> None:
    grants = [
        one.removesuffix(f" TO {ROLE}, {CALLERS}")
        for one in statements()
        if re.fullmatch(rf"GRANT .* ON .* TO {ROLE}, {CALLERS}", one)
    ]
    assert len(grants) > 10
    allowed = [
        "SELECT * FROM neural_hive.t",
        "SELECT number FROM numbers(3)",
        "SELECT name FROM system.settings LIMIT 1",
    ]
    refused = [
        "SELECT * FROM other.t",
        "SELECT * FROM file('/etc/passwd', 'LineAsString')",
        "SELECT * FROM url('http://127.0.0.1:1/', 'CSV', 'a String')",
        "SELECT * FROM s3('http://127.0.0.1:1/bucket/key.csv', 'CSV', 'a String')",
        "SELECT * FROM remote('127.0.0.1', system.one)",
        "SELECT * FROM mysql('127.0.0.1:1', 'd', 't', 'u', 'p')",
        "SELECT * FROM postgresql('127.0.0.1:1', 'd', 't', 'u', 'p')",
        "SELECT * FROM executable('x.sh', 'CSV', 'a String')",
        "SELECT * FROM system.users",
        "INSERT INTO neural_hive.t VALUES (1)",
        "DROP TABLE neural_hive.t",
        "CREATE TEMPORARY TABLE x (a UInt8)",
        "SYSTEM SHUTDOWN",
        "CREATE USER u",
    ]
    command = [sys.executable, "-c", TRY, str(tmp_path), json.dumps(grants), json.dumps(allowed + refused)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    codes = json.loads(done.stdout.splitlines()[-1])
    assert {sql: codes[sql] for sql in allowed} == dict.fromkeys(allowed, 0)
    assert {sql: codes[sql] for sql in refused} == dict.fromkeys(refused, 497)


def test_tables_of_the_server_are_in_the_gates_list_too() -> None:
    granted = set(re.findall(r"ON system\.(\w+) TO", FILE.read_text()))
    assert granted and granted <= SYSTEM_TABLES


def test_every_setting_is_one_and_may_have_its_value(clickhouse: ClickHouseServer) -> None:
    found = settings()
    assert found["readonly"] == "1" and found["max_execution_time"] == "30"
    names = set(re.findall(r"^\s*(\w+) (?:= \S+ )?(?:CONST|MIN|CHANGEABLE)", FILE.read_text(), re.MULTILINE))
    assert set(found) < names
    with clickhouse.client() as client:
        known = {name for (name,) in client.rows("SELECT name FROM system.settings")}
        assert names <= known
        changes = {name: value for name, value in found.items() if name != "readonly"}
        assert client.command("SELECT 1", settings=changes) == 1


def test_limits_are_those_of_the_embedded_engine() -> None:
    from neural_hive.connectors.clickhouse_accounts import ROLES

    ours = ROLES["reader"]
    assert {name: value for name, value in settings().items() if name in ours and name != "max_threads"} == {
        name: ours[name] for name in settings() if name in ours and name != "max_threads"
    }


def test_nobody_can_log_in_before_a_password_is_given() -> None:
    users = [one for one in statements() if one.startswith("CREATE USER")]
    assert users and all(re.search(r"IDENTIFIED WITH sha256_hash BY '0{64}'", one) for one in users)


def test_callers_are_counted_by_their_key_and_nobody_else_is() -> None:
    quotas = {
        name: (key, to)
        for one in statements()
        for name, key, to in re.findall(
            r"CREATE QUOTA OR REPLACE (\w+) KEYED BY (.+?)\n.* TO (.+)", one, re.DOTALL
        )
    }
    assert quotas == {ROLE: ("user_name", ROLE), CALLERS: ("client_key, user_name", CALLERS)}
    # One quota holds for a user: the server's choice if there are two.
    given = {one for one in statements() if re.fullmatch(r"GRANT \w+ TO .*", one)}
    assert {one for one in given if API_USER in one or CALLERS in one} == {f"GRANT {CALLERS} TO {API_USER}"}
    (user,) = (one for one in statements() if one.startswith(f"CREATE USER IF NOT EXISTS {API_USER}\n"))
    assert user.endswith(f"DEFAULT ROLE {CALLERS}")


def test_what_callers_share_is_more_than_one_readers() -> None:
    """And the API's own reads, of which it has TABLES_MAX at once, leave room for theirs and use up no quota."""
    (quota,) = (one for one in statements() if one.startswith(f"CREATE QUOTA OR REPLACE {CALLERS} "))
    assert "queries =" not in quota and int(re.findall(r"execution_time = (\d+)", quota)[0]) > TABLES_MAX * 60
    at_once = {
        to: int(most)
        for one in statements()
        for most, to in re.findall(r"max_concurrent_queries_for_user = (\d+) CONST\n    TO (\w+)", one)
    }
    assert at_once[CALLERS] > 2 * TABLES_MAX and at_once[ROLE] == 2
