"""The process that owns one data folder of the embedded ClickHouse engine and serves ClickHouse's HTTP interface.

    <data>/engine/            the engine's files
    <data>/incoming/          data of INSERTs while they run; emptied at start
    <data>/definitions/       copies of what defines its tables
    <data>/ingest.password    made at the first start, readable by the owner only; so is api.password

    <data>/sql-users.toml     SQL users, if there are any (sql_users.py)
    <data>/rights.xml         the engine's roles: a reader's connection keeps one that reads the database

Users, each in a lane of its own: `ingest` may write; `api`, the SQL users and, while there is no file of them,
`default` (no password) read through a gate (clickhouse_gate.py), with locked settings, time and memory limited.

What this does not protect from: while there are no SQL users, every local user can read as `default`; a query can still
take the process down (nothing committed is lost, whoever supervises starts it again); HTTP is not encrypted.
"""

import argparse
import asyncio
import fcntl
import os
import re
import secrets
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from xml.sax.saxutils import escape

import structlog
import uvicorn
import uvloop

from neural_hive.connectors.clickhouse_accounts import Accounts
from neural_hive.connectors.clickhouse_connection import READER_ROLE
from neural_hive.connectors.clickhouse_definitions import Definitions
from neural_hive.connectors.clickhouse_engine import Engine
from neural_hive.connectors.clickhouse_http import ClickHouseHttp
from neural_hive.connectors.disk import room
from neural_hive.connectors.sql_users import BadUsers

log = structlog.get_logger(__name__)

REQUEST_BYTES_MAX = 256 << 20
USERS_FILE = "sql-users.toml"

_CONFIG = """<clickhouse>
  <user_directories><users_xml><path>{users}</path></users_xml></user_directories>
  <merge_tree>
    <fsync_after_insert>1</fsync_after_insert>
    <fsync_part_directory>1</fsync_part_directory>
  </merge_tree>
</clickhouse>
"""
# All connections are the engine's user `default`. His rights come with roles, and a reader's connection keeps one.
_RIGHTS = """<clickhouse>
  <profiles><default/></profiles>
  <quotas><default/></quotas>
  <roles>
    <writer><grants><query>GRANT ALL ON *.* WITH GRANT OPTION</query></grants></writer>
    <{role}>
      <grants>
        <query>GRANT SELECT, SHOW ON `{database}`.*</query>
        <query>GRANT SHOW ON system.*</query>
        <query>GRANT SHOW ON information_schema.*</query>
      </grants>
    </{role}>
  </roles>
  <users>
    <default>
      <password></password>
      <networks><ip>::/0</ip></networks>
      <profile>default</profile>
      <quota>default</quota>
      <grants><query>GRANT writer, {role}</query></grants>
    </default>
  </users>
</clickhouse>
"""


class EmbeddedError(Exception):
    """The engine cannot start here; the text says what to do."""


def run(
    data: Path,
    port: int,
    host: str = "127.0.0.1",
    *,
    password: str | None = None,
    database: str = "neural_hive",
    ready: Path | None = None,
    users: Path | None = None,
) -> None:
    """Serves `data` until SIGTERM or SIGINT, then stops cleanly.

    `password` is the one of `ingest`; None takes or makes the one in the folder. `database` is made if it is not
    there. `ready` is a file that is written when queries are answered and removed at the end. `users` is the file of
    SQL users; without one it is sql-users.toml in the folder, and need not be there.
    Raises EmbeddedError when the folder, the port or the users cannot be used.
    """
    data = _folder(data)
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", database):
        raise EmbeddedError(f"{database!r} is no database's name: letters, digits and _ only")
    with _owned(data), _listening(host, port) as listener:
        definitions = Definitions(data / "engine", data / "definitions")
        engine = _engine(data, database, definitions)
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(_serve(engine, definitions, data, password, listener, ready, users))
        finally:
            engine.close()
            definitions.close()
    log.info("clickhouse stopped", data=str(data))


def ingest_password(data: Path) -> str:
    """The password of `ingest` kept in a data folder, made when there is none."""
    return _password(data, "ingest")


async def _serve(
    engine: Engine,
    definitions: Definitions,
    data: Path,
    password: str | None,
    listener: socket.socket,
    ready: Path | None,
    users: Path | None,
) -> None:
    accounts = Accounts(
        password or _password(data, "ingest"), _password(data, "api"), users or data / USERS_FILE
    )
    try:
        accounts.logins.look()
    except BadUsers as error:
        raise EmbeddedError(str(error)) from None
    http = ClickHouseHttp(engine, accounts, data / "incoming", REQUEST_BYTES_MAX, definitions)
    for part in engine.detached_parts():
        log.error(
            "broken part set aside: rebuild the table",
            table=f"{part.database}.{part.table}",
            part=part.name,
        )
    config = uvicorn.Config(
        http.app,
        log_config=None,
        access_log=False,
        lifespan="off",
        limit_concurrency=512,
        timeout_graceful_shutdown=5,
    )
    server = _Server(config)
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, server.stop)
    stopping = asyncio.create_task(_stop_queries(server, engine))
    log.info("clickhouse ready", version=engine.version, port=listener.getsockname()[1], data=str(data))
    # Now, not when uvicorn gets to it: who sees the ready file may connect.
    listener.listen(512)
    if ready:
        ready.write_text(f"{listener.getsockname()[1]}\n")
    try:
        await server.serve(sockets=[listener])
    finally:
        stopping.cancel()
        if ready:
            ready.unlink(missing_ok=True)
        await asyncio.to_thread(accounts.close)


class _Server(uvicorn.Server):
    """Leaves signals to the process: uvicorn's own handling raises them again at the end."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    def stop(self) -> None:
        self.should_exit = True


async def _stop_queries(server: uvicorn.Server, engine: Engine) -> None:
    """At the end of the time that running statements get, they are stopped: a connection is closed only when idle."""
    while not server.should_exit:
        await asyncio.sleep(0.1)
    await asyncio.sleep(4)
    await asyncio.to_thread(engine.cancel_all)


def _folder(data: Path) -> Path:
    data = data.absolute()
    if re.search(r"""[?*{}\[\]'"\\%&#]""", str(data)):
        raise EmbeddedError(
            f"the data folder's path holds a character that the engine would read as a pattern: {data}"
        )
    data.mkdir(parents=True, exist_ok=True, mode=0o700)
    return data


@contextmanager
def _owned(data: Path) -> Iterator[None]:
    """The folder for this process alone: two engines on one folder would damage it."""
    with (data / "lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise EmbeddedError(
                f"another process uses {data}: stop it, or choose another data folder"
            ) from None
        yield


@contextmanager
def _listening(host: str, port: int) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Named TCP, or asyncio leaves Nagle's algorithm on and every small answer waits 40 ms.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise EmbeddedError(
            f"cannot listen on {host}:{port} ({error.strerror}): choose another port"
        ) from None
    with listener:
        yield listener


def _engine(data: Path, database: str, definitions: Definitions) -> Engine:
    config, rights = data / "engine.xml", data / "rights.xml"
    config.write_text(_CONFIG.format(users=escape(str(rights))))
    rights.write_text(_RIGHTS.format(role=READER_ROLE, database=database))
    incoming = data / "incoming"
    incoming.mkdir(exist_ok=True)
    for left in incoming.iterdir():
        left.unlink()
    definitions.mend()
    try:
        engine = Engine(data / "engine", config, database)
    except Exception as error:
        definitions.distrust()
        raise EmbeddedError(
            f"the engine cannot open {data / 'engine'}: {error}. Its log says more; {room(data)}. A folder that "
            "cannot be mended may be moved away: the projector fills an empty one as far as the log reaches"
        ) from error
    definitions.keep()
    return engine


def _password(data: Path, user: str) -> str:
    file = data / f"{user}.password"
    if not file.exists():
        draft = data / f"{user}.password.{os.getpid()}"
        descriptor = os.open(draft, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600)
        try:
            with open(descriptor, "w") as out:  # noqa: PTH123 (a descriptor, not a path)
                out.write(secrets.token_urlsafe(24) + "\n")
            with suppress(FileExistsError):
                os.link(draft, file)  # whole, or on a full disk not at all
        finally:
            draft.unlink()
    password = file.read_text().strip()
    if not password:
        raise EmbeddedError(f"{file} is empty: remove it, and another one is made")
    return password


def main() -> None:
    """`python -m neural_hive.connectors.clickhouse_embedded --data DIR --port N`"""
    parser = argparse.ArgumentParser(
        description="Embedded ClickHouse engine behind ClickHouse's HTTP interface"
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--port", type=int, default=18123)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--database", default="neural_hive")
    parser.add_argument("--users", type=Path, help="file of SQL users [default: sql-users.toml in the data]")
    parser.add_argument("--ready", type=Path, help="file written when queries are answered")
    options = parser.parse_args()
    password = os.environ.get("NEURAL_HIVE_CLICKHOUSE_PASSWORD")
    try:
        run(
            options.data,
            options.port,
            options.host,
            password=password,
            database=options.database,
            ready=options.ready,
            users=options.users,
        )
    except EmbeddedError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
