"""Who may ask: users of the file by each way that ClickHouse has, wrong passwords, changes while the engine runs."""

import asyncio
import base64
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from neural_hive.connectors import clickhouse_logins
from neural_hive.connectors.clickhouse_connection import EngineError
from neural_hive.connectors.clickhouse_lanes import Lane
from neural_hive.connectors.clickhouse_logins import FAILURES_MAX, WAIT_S, Logins
from neural_hive.connectors.clickhouse_request import Account, Credentials
from neural_hive.connectors.sql_users import (
    BadUsers,
    SqlUser,
    hash_password,
    is_password,
    read_users,
    write_users,
)

PASSWORD = "correct horse ß"
WRONG, FAILED = "wrong horse", 516


@pytest.fixture(scope="module")
def hashed() -> str:
    return hash_password(PASSWORD)


def test_a_hash_is_of_its_password_only(hashed: str) -> None:
    assert PASSWORD not in hashed
    assert is_password(PASSWORD, hashed)
    assert not is_password(PASSWORD + " ", hashed)
    assert hash_password(PASSWORD) != hashed, "a salt of its own"


@pytest.mark.parametrize("bad", ["", "short", "two\nlines of it", "nul\0nul nul"])
def test_bad_passwords(bad: str) -> None:
    with pytest.raises(BadUsers):
        hash_password(bad)


def test_a_hash_that_would_fill_the_memory_is_no_password(hashed: str) -> None:
    assert not is_password(PASSWORD, re.sub(r"^scrypt:\d+", "scrypt:4194304", hashed))
    assert not is_password(PASSWORD, re.sub(r"^scrypt:\d+", "scrypt:16385", hashed))
    assert not is_password(PASSWORD, PASSWORD)


def test_the_file_is_what_was_written_and_its_owners(tmp_path: Path, hashed: str) -> None:
    file = tmp_path / "users.toml"
    users = {"alice": SqlUser(hashed, max_execution_s=5), "b.ob-2": SqlUser(hashed, role="analyst")}
    write_users(file, users)
    assert read_users(file) == users
    assert file.stat().st_mode & 0o777 == 0o600
    file.chmod(0o640)
    with pytest.raises(BadUsers, match="chmod 600"):
        read_users(file)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("nonsense", "not valid"),
        ("[users.alice]\nrole = 'reader'", "password"),
        ("[users.alice]\npassword = 'in plain letters'", "never the password itself"),
        ("[users.alice]\npassword = 'HASH'\nrole = 'writer'", "role"),
        ("[users.alice]\npassword = 'HASH'\nmore = 1", "more"),
        ("[users.alice]\npassword = 'HASH'\nmax_execution_s = 0", "max_execution_s"),
        ("[users.ingest]\npassword = 'HASH'", "own user"),
        ("[users.api]\npassword = 'HASH'", "own user"),
        ("[users.'a b']\npassword = 'HASH'", "no user's name"),
        ("[people.alice]\npassword = 'HASH'", "people"),
    ],
)
def test_a_file_that_is_not_right_is_told(tmp_path: Path, hashed: str, text: str, said: str) -> None:
    file = tmp_path / "users.toml"
    file.touch(mode=0o600)
    file.write_text(text.replace("HASH", hashed))
    with pytest.raises(BadUsers, match=re.escape(said)):
        read_users(file)


class World:
    """Logins with a clock of their own."""

    def __init__(self, file: Path) -> None:
        self.now = 0.0
        self.file = file
        lane = Lane("test", 1, 1)
        self.unlocked = Account(lane, None, True, {})
        own = {"ingest": Account(lane, "ingest's", False, {})}
        self.logins = Logins(
            own, self.unlocked, file, lambda name, user: Account(lane, None, True, {}), lambda: self.now
        )
        self.lane = lane

    def code(self, user: str, password: str, peer: str = "10.0.0.1", host: str = "localhost:1") -> int:
        self.now += 1
        try:
            asyncio.run(self.logins.account(Credentials(user, password), peer, host))
        except EngineError as error:
            return error.code
        return 0


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path / "users.toml")
    yield made
    made.logins.close()
    made.lane.close()


def test_without_a_file_default_needs_no_password(world: World) -> None:
    assert world.code("default", "") == 0
    assert world.code("ingest", "ingest's") == 0
    assert world.code("ingest", "") == FAILED
    assert world.code("alice", PASSWORD) == FAILED


@pytest.mark.parametrize("host", ["evil.example:18123", "evil.example", "127.0.0.1.evil.example"])
def test_a_browser_that_was_told_a_wrong_address_is_nobody(world: World, host: str) -> None:
    assert world.code("default", "", host=host) == FAILED
    assert world.code("ingest", "ingest's", host=host) == 0


def test_the_file_counts_from_its_first_moment_to_its_last(world: World, hashed: str) -> None:
    write_users(world.file, {"alice": SqlUser(hashed)})
    assert world.code("alice", PASSWORD) == 0
    assert world.code("default", "") == FAILED
    write_users(world.file, {"alice": SqlUser(hash_password("another one"))})
    assert world.code("alice", PASSWORD) == FAILED, "a proof of the old password must not do"
    write_users(world.file, {})
    assert world.code("alice", "another one") == FAILED
    assert world.code("default", "") == FAILED, "an empty file is no open door"
    world.file.unlink()
    assert world.code("default", "") == 0


def test_a_file_that_cannot_be_read_lets_nobody_in(world: World, hashed: str) -> None:
    write_users(world.file, {"alice": SqlUser(hashed)})
    assert world.code("alice", PASSWORD) == 0
    world.file.write_text("nonsense")
    assert world.code("alice", PASSWORD) == FAILED
    assert world.code("default", "") == FAILED
    assert world.code("ingest", "ingest's") == 0, "the system goes on"


def test_who_guesses_must_wait_and_who_knows_need_not(world: World, hashed: str) -> None:
    write_users(world.file, {"alice": SqlUser(hashed)})
    assert world.code("alice", PASSWORD) == 0
    for _ in range(FAILURES_MAX):
        assert world.code("alice", WRONG) == FAILED
    with pytest.raises(EngineError, match="wait"):
        asyncio.run(world.logins.account(Credentials("alice", WRONG), "10.0.0.1", ""))
    assert world.code("alice", PASSWORD) == 0, "known already"
    assert world.code("alice", WRONG, peer="10.0.0.2") == FAILED
    world.now += WAIT_S
    with pytest.raises(EngineError) as refused:
        asyncio.run(world.logins.account(Credentials("alice", WRONG), "10.0.0.1", ""))
    assert "wait" not in str(refused.value)


def test_names_are_not_guessed_from_one_address_for_ever(
    world: World, hashed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clickhouse_logins, "PEER_FAILURES_MAX", 8)
    write_users(world.file, {"alice": SqlUser(hashed)})
    for at in range(8):
        assert world.code(f"u{at}", WRONG) == FAILED
        world.now -= 1
    with pytest.raises(EngineError, match="8 wrong passwords"):
        asyncio.run(world.logins.account(Credentials("alice", PASSWORD), "10.0.0.1", ""))
    assert world.code("alice", PASSWORD, peer="10.0.0.2") == 0


def basic(user: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


WAYS: dict[str, Callable[[str, str], tuple[dict[str, str], dict[str, str]]]] = {
    "headers": lambda user, password: ({"X-ClickHouse-User": user, "X-ClickHouse-Key": password}, {}),
    "basic": lambda user, password: (basic(user, password), {}),
    "url": lambda user, password: ({}, {"user": user, "password": password}),
}
