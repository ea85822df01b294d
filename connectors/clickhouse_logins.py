"""Who may ask the embedded engine: the system's own users, and those of the file of SQL users, read again when it
changes. A wrong password takes as long as a right one; who guesses is made to wait.
"""

import asyncio
import hashlib
import hmac
import re
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, TypeVar

import structlog

from neural_hive.connectors.clickhouse_connection import EngineError
from neural_hive.connectors.clickhouse_lanes import Lane
from neural_hive.connectors.clickhouse_request import Account, Credentials
from neural_hive.connectors.sql_users import BadUsers, SqlUser, hash_password, is_password, read_users

log = structlog.get_logger(__name__)

FAILURES_MAX: Final = 5
PEER_FAILURES_MAX: Final = 50  # of one address, whomever it says it is
WAIT_S: Final = 60.0
_LOOK_S: Final = 0.5
_HELD_MAX: Final = 10_000
_CHECKING_MAX: Final = 32
_LOOPBACK: Final = re.compile(r"((127\.0\.0\.1|localhost|\[::1\])(:\d{1,5})?)?", re.IGNORECASE)

K = TypeVar("K")
V = TypeVar("V")
MakeAccount = Callable[[str, SqlUser], Account]


class Logins:
    """Finds the account of a request. `own` are the system's users, by name.

    `unlocked` is the account of `default`, who needs no password while there is no `file`. A file that cannot be read
    lets none of its users in, and `default` neither.
    """

    def __init__(
        self,
        own: Mapping[str, Account],
        unlocked: Account | None = None,
        file: Path | None = None,
        make: MakeAccount | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._own, self._unlocked, self._file, self._make = own, unlocked, file, make
        self._clock = clock
        self._accounts: dict[str, tuple[SqlUser, Account]] = {}
        self._seen: tuple[int, int, int] | None = None
        self._looked_at = float("-inf")
        self._has_file = False
        self._key = secrets.token_bytes(32)
        self._known: OrderedDict[bytes, None] = OrderedDict()
        self._failures: OrderedDict[tuple[str, str], tuple[int, float]] = OrderedDict()
        self._threads = ThreadPoolExecutor(1, thread_name_prefix="clickhouse-login")
        self._checking = 0
        self._nobody = hash_password(secrets.token_urlsafe(24))

    def close(self) -> None:
        """Ends the thread that compares passwords."""
        self._threads.shutdown(wait=True)

    def lanes_of_users(self) -> list[Lane]:
        """The lanes of those in the file."""
        return [account.lane for _, account in self._accounts.values()]

    def look(self) -> None:
        """Reads the file if it has changed. Raises BadUsers if it cannot be used; then it has no users."""
        self._looked_at = self._clock()
        if self._file is None:
            return
        try:
            found = self._file.stat()
        except FileNotFoundError:
            self._accounts, self._seen, self._has_file = {}, None, False
            return
        self._has_file = True
        seen = (found.st_mtime_ns, found.st_ino, found.st_mode)
        if seen == self._seen:
            return
        self._seen = seen
        before, self._accounts = self._accounts, {}
        users = read_users(self._file)
        for name, user in users.items():
            kept = before.get(name)
            if kept is not None and kept[0] == user:
                self._accounts[name] = kept
            elif self._make is not None:
                self._accounts[name] = (user, self._make(name, user))
        log.info("sql users read", users=len(users), file=str(self._file))

    async def account(self, given: Credentials, peer: str, host: str) -> Account:
        """The account of who asks. Raises EngineError (516, AUTHENTICATION_FAILED)."""
        self._look_again()
        if given.user in self._own:
            account = self._own[given.user]
            expected = account.password or secrets.token_hex()
            if not secrets.compare_digest(
                given.password.encode("utf-8", "surrogateescape"), expected.encode()
            ):
                raise _failed(given.user)
            return account
        if given.user == "default" and self._unlocked is not None and not self._has_file:
            if not _LOOPBACK.fullmatch(host):
                raise _failed(
                    given.user
                )  # a page of a browser that was told another address for its own name
            return self._unlocked
        return await self._of_file(given, peer)

    def _look_again(self) -> None:
        if self._clock() - self._looked_at < _LOOK_S:
            return
        try:
            self.look()
        except BadUsers as error:
            log.error("no sql user can log in", why=str(error))

    async def _of_file(self, given: Credentials, peer: str) -> Account:
        found = self._accounts.get(given.user)
        hashed = found[0].password if found else self._nobody
        proof = self._proof(given, hashed)
        if found is not None and proof in self._known:
            self._known.move_to_end(proof)
            return found[1]
        self._check_patience(given.user, peer)
        if not await self._compare(given.password, hashed) or found is None:
            self._note_failure(given.user, peer)
            raise _failed(given.user)
        self._failures.pop((given.user, peer), None)
        _keep(self._known, proof, None)
        return found[1]

    async def _compare(self, password: str, hashed: str) -> bool:
        if self._checking >= _CHECKING_MAX:
            raise EngineError.own(
                202, "TOO_MANY_SIMULTANEOUS_QUERIES", "Too many logins at once; try again later"
            )
        self._checking += 1
        try:
            running = asyncio.get_running_loop().run_in_executor(self._threads, is_password, password, hashed)
            return await running
        finally:
            self._checking -= 1

    def _proof(self, given: Credentials, hashed: str) -> bytes:
        """Stands for a password that was right, so that it is compared once only; a new hash needs a new proof."""
        text = "\0".join((given.user, hashed, given.password)).encode("utf-8", "surrogateescape")
        return hmac.new(self._key, text, hashlib.sha256).digest()

    def _check_patience(self, user: str, peer: str) -> None:
        for key, most in (((user, peer), FAILURES_MAX), (("", peer), PEER_FAILURES_MAX)):
            count, last = self._failures.get(key, (0, 0.0))
            if count >= most and self._clock() - last < WAIT_S:
                raise _failed(user, f"; after {most} wrong passwords wait {WAIT_S:g} s")

    def _note_failure(self, user: str, peer: str) -> None:
        for key in ((user, peer), ("", peer)):
            count, last = self._failures.pop(key, (0, 0.0))
            fresh = self._clock() - last < WAIT_S
            _keep(self._failures, key, (count + 1 if fresh else 1, self._clock()))
        log.warning("sql login failed", user=user[:64], peer=peer)


def _keep(held: OrderedDict[K, V], key: K, value: V) -> None:
    held[key] = value
    if len(held) > _HELD_MAX:
        held.popitem(last=False)


def _failed(user: str, more: str = "") -> EngineError:
    reason = (
        f"{user[:64]}: Authentication failed: password is incorrect, or there is no user with such name{more}"
    )
    return EngineError.own(516, "AUTHENTICATION_FAILED", reason)
